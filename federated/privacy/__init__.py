"""What a server may learn of a single device: differential privacy, secure aggregation, homomorphic encryption.

`dp` clips and adds noise, `accountant` says what (epsilon, delta) that spends; `secagg` shows a server nothing but the
sum of a group, `masked` makes updates into the small integers that it sums; `he` is encryption for small heads.
"""
