"""Krum and Multi-Krum: keep what lies close to its neighbours.

Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent". Of n submissions, f of
them hostile with 2 f + 2 < n, the score of i is the sum of the squared distances to its n - f - 2 nearest others. Krum
takes the submission of the lowest score, Multi-Krum the mean of the m lowest (n - f here, unless said otherwise).
Flower's Krum and MultiKrum select the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from federated.robust.submission import (
    Memory,
    Outcome,
    Submission,
    Vector,
    Verdict,
    hostile,
    matrix,
    too_few,
    trusted_counts,
    weighted_mean,
)


def squared_distances(x: Vector) -> Vector:
    """Squared Euclidean distances between the rows of float64[n, d]: float64[n, n], zero on the diagonal."""
    norms = np.square(x).sum(axis=1)
    found: Vector = np.maximum(norms[:, None] + norms[None, :] - 2 * x @ x.T, 0)
    np.fill_diagonal(found, 0)
    return found


def krum_scores(distances: Vector, f: int) -> Vector:
    """Each row's score of float64[n, n] squared distances: the sum over its n - f - 2 nearest, at least one."""
    nearest = max(1, len(distances) - f - 2)
    others = np.sort(distances + np.diag(np.full(len(distances), -1.0)), axis=1)[:, 1:]  # itself comes first
    scores: Vector = others[:, :nearest].sum(axis=1)
    return scores


def select(x: Vector, f: int, m: int) -> NDArray[np.int64]:
    """The rows of the `m` lowest scores, lowest first."""
    found: NDArray[np.int64] = np.argsort(krum_scores(squared_distances(x), f), kind="stable")[:m]
    return found


@dataclass(frozen=True, slots=True)
class MultiKrum:
    """The mean of the `m` submissions that lie closest to their neighbours; `m` 0: all but the hostile `f`."""

    f: float = 0.2
    m: int = 0
    inspects = True
    fine = True

    def __post_init__(self) -> None:
        if self.f < 0 or self.m < 0:
            raise InputError(f"krum: f {self.f:g}, m {self.m}: expected 0 or more, such as f=0.2")

    def least(self, devices: int) -> int:
        """2 f + 3, as the paper's guarantee asks."""
        return 2 * hostile(self.f, devices) + 3

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        n = len(submissions)
        few = too_few(submissions, self.least(n))
        if few:
            return few
        x = matrix(submissions)
        f = hostile(self.f, n)
        scores = krum_scores(squared_distances(x), f)
        chosen = np.argsort(scores, kind="stable")[: self.m or n - f]
        kept = np.isin(np.arange(n), chosen)
        limit = scores[chosen[-1]]
        verdicts = tuple(
            Verdict(each.device, bool(k), "" if k else _reason(s, limit), float(s))
            for each, k, s in zip(submissions, kept, scores, strict=True)
        )
        return Outcome(weighted_mean(x[kept], trusted_counts(submissions)[kept]), verdicts, memory)


@dataclass(frozen=True, slots=True)
class Krum:
    """The one submission that lies closest to its neighbours."""

    f: float = 0.2
    inspects = True
    fine = True

    def least(self, devices: int) -> int:
        """2 f + 3, as the paper's guarantee asks."""
        return MultiKrum(self.f).least(devices)

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        return MultiKrum(self.f, 1)(submissions, memory)


def _reason(score: float, limit: float) -> str:
    return f"far from its neighbours: Krum score {score:.3g}, the limit is {limit:.3g}"
