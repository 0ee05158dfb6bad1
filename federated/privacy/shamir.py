"""Shamir's secret sharing: any t of n shares give a secret back, fewer say nothing about it.

Shamir 1979, "How to Share a Secret". Secrets and shares are numbers below the prime 2**128 - 159, so each is 16 bytes;
the share of holder x (1, 2, ...) is the value at x of a random polynomial of degree t - 1 whose constant term is the
secret.
"""

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

from edge_runtime.errors import FleetError

PRIME = 2**128 - 159
BYTES = 16


def draw() -> int:
    """A random secret."""
    return secrets.randbelow(PRIME)


def split(secret: int, holders: Sequence[int], threshold: int) -> dict[int, int]:
    """A share for each of the holders (numbers of at least 1); any `threshold` of them give the secret back."""
    polynomial = [secret, *(draw() for _ in range(threshold - 1))]
    return {holder: _at(polynomial, holder) for holder in holders}


def join(shares: Mapping[int, int], threshold: int) -> int:
    """The secret, from at least `threshold` shares by their holders; further ones are not looked at.

    Raises:
        FleetError: there are too few.
    """
    if len(shares) < threshold:
        raise FleetError(f"{len(shares)} shares of a secret; {threshold} are needed to recover it")
    holders = tuple(sorted(shares)[:threshold])
    return sum(c * shares[x] for c, x in zip(_at_zero(holders), holders, strict=True)) % PRIME


def _at(polynomial: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * x + coefficient) % PRIME
    return value


@lru_cache(maxsize=64)
def _at_zero(holders: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's coefficients at 0: the same for all secrets that the same holders hold."""
    found = []
    for x in holders:
        above = below = 1
        for other in holders:
            if other != x:
                above, below = above * other % PRIME, below * (other - x) % PRIME
        found.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(found)
