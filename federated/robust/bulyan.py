"""Bulyan: select by Krum, then take of each coordinate the mean of the values nearest to the median.

El Mhamdi et al. 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium", section 4, for n >= 4 f + 3:

1. theta = n - 2 f times, move the submission of the lowest Krum score from the candidates to the selected;
2. of each coordinate, average the beta = theta - 2 f selected values that are nearest to their median.

Flower's Bulyan takes the theta lowest scores at once instead of scoring anew after each choice; `again=0` does that
too, and then gives the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from federated.robust.krum import krum_scores, select, squared_distances
from federated.robust.submission import Memory, Outcome, Submission, Vector, Verdict, hostile, matrix, too_few


def nearest_to_median(x: Vector, count: int) -> Vector:
    """Of each column of float64[n, d], the mean of the `count` values nearest to its median."""
    apart = np.abs(x - np.median(x, axis=0))
    nearest = np.argpartition(apart, count - 1, axis=0)[:count]
    mean: Vector = np.take_along_axis(x, nearest, axis=0).mean(axis=0)
    return mean


def select_repeatedly(x: Vector, f: int, theta: int) -> NDArray[np.int64]:
    """The rows that Krum chooses one after the other, each time among those that are left."""
    distances = squared_distances(x)
    left = list(range(len(x)))
    chosen: list[int] = []
    for _ in range(theta):
        among = distances[np.ix_(left, left)]
        scores = krum_scores(among, f) if len(left) > 1 else np.zeros(1)
        # Of few candidates two are each other's nearest, with equal scores: then it is the more central one.
        equal = scores <= scores.min() * (1 + 1e-9)
        chosen.append(left.pop(int(np.argmin(np.where(equal, among.sum(axis=1), np.inf)))))
    return np.array(chosen, np.int64)


@dataclass(frozen=True, slots=True)
class Bulyan:
    """Krum's selection, then a mean around the median of each coordinate; `again`: score anew after each choice."""

    f: float = 0.2
    again: int = 1
    inspects = True
    fine = True

    def __post_init__(self) -> None:
        if self.f < 0 or self.again not in (0, 1):
            raise InputError(
                f"bulyan: f {self.f:g}, again {self.again}: expected f of 0 or more, and again 0 or 1"
            )

    def least(self, devices: int) -> int:
        """4 f + 3, as the paper's guarantee asks."""
        return 4 * hostile(self.f, devices) + 3

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        n = len(submissions)
        few = too_few(submissions, self.least(n))
        if few:
            return few
        x = matrix(submissions)
        f = hostile(self.f, n)
        theta = n - 2 * f
        chosen = (select_repeatedly if self.again else select)(x, f, theta)
        kept = np.isin(np.arange(n), chosen)
        verdicts = tuple(
            Verdict(each.device, bool(k), "" if k else f"not among the {theta} that Krum selects")
            for each, k in zip(submissions, kept, strict=True)
        )
        return Outcome(nearest_to_median(x[chosen], theta - 2 * f), verdicts, memory)
