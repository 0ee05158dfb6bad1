"""Dividing one labelled data set among clients: equal random shares, or skewed labels as devices have them.

The skew is that of Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated
Visual Classification": labels by a Dirichlet distribution, where alpha -> infinity is the IID split and
alpha -> 0 gives every client one class. It is drawn class by class (Yurochkin et al. 2019), so that clients
differ in size too, which averaging by n_k / n is about.

A split is a list with one int64 array a client: the sorted indices of its samples. The arrays are disjoint,
cover the data, and none is empty.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from federated import seeds

Indices = NDArray[np.int64]
ALPHA_RANGE = (1e-3, 1e6)  # beyond, the draw underflows or is an IID split in all but name


def iid(n: int, clients: int, seed: int) -> list[Indices]:
    """`n` samples in `clients` random shares whose sizes differ by one at most.

    Raises:
        InputError: there are more clients than samples, or none.
    """
    _check_counts(n, clients)
    return [np.sort(part) for part in np.array_split(seeds.generator(seed, "split").permutation(n), clients)]


def dirichlet(y: NDArray[np.integer], clients: int, alpha: float, seed: int) -> list[Indices]:
    """Samples with labels `y` (int[n]) among `clients`: each class in proportions from Dirichlet(`alpha`).

    A client that the draw leaves empty is given one sample of the client that has most.

    Raises:
        InputError: there are more clients than samples, or none, or alpha is out of range.
    """
    _check_counts(len(y), clients)
    low, high = ALPHA_RANGE
    if not low <= alpha <= high:
        raise InputError(
            f"alpha {alpha:g}: expected {low:g} to {high:g}; for equal shares ask for the IID split"
        )
    rng = seeds.generator(seed, "split")
    shares: list[list[int]] = [[] for _ in range(clients)]
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        cuts = np.rint(np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1] * len(members)).astype(int)
        for share, part in zip(shares, np.split(members, cuts), strict=True):
            share.extend(part.tolist())
    for share in shares:
        if not share:
            share.append(max(shares, key=len).pop())
    return [np.sort(np.array(share, np.int64)) for share in shares]


def hold_out(n: int, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Indices to train on and to hold out; both sorted, `fraction` of the `n` samples held out, at least one.

    Raises:
        InputError: the fraction is not between 0 and 1, or would leave nothing to train on.
    """
    if not 0 < fraction < 1:
        raise InputError(f"holdout {fraction:g}: expected a fraction between 0 and 1, such as 0.2")
    held = max(1, round(n * fraction))
    if held >= n:
        raise InputError(f"holdout {fraction:g} of {n} samples leaves nothing to train on")
    order = seeds.generator(seed, "holdout").permutation(n)
    return np.sort(order[held:]), np.sort(order[:held])


def histogram(y: NDArray[np.integer], parts: Sequence[Indices], classes: int) -> NDArray[np.int64]:
    """How many samples of each class each client has: int64[clients, classes]."""
    return np.stack([np.bincount(y[part], minlength=classes) for part in parts]).astype(np.int64)


def _check_counts(n: int, clients: int) -> None:
    if clients < 1:
        raise InputError(f"clients {clients}: at least 1 is needed")
    if clients > n:
        raise InputError(
            f"clients {clients}: more than the {n} samples to divide; every client needs at least one"
        )
