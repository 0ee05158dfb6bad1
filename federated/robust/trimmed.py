"""The coordinate-wise trimmed mean.

Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", Definition 2: of each
coordinate the smallest and the largest fraction beta are left out, and the rest is averaged. Flower's FedTrimmedAvg
gives the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from federated.robust.submission import Memory, Outcome, Submission, Vector, keep_all, matrix, too_few


def trimmed_mean(x: Vector, beta: float) -> Vector:
    """The mean of each column of float64[n, d] without its int(beta n) smallest and largest."""
    cut = int(beta * len(x))
    mean: Vector = np.sort(x, axis=0)[cut : len(x) - cut].mean(axis=0)
    return mean


@dataclass(frozen=True, slots=True)
class TrimmedMean:
    """The mean of each coordinate without the fraction `beta` at either end; `beta` 0.2 bears 20 % hostile devices."""

    beta: float = 0.2
    inspects = True
    fine = True

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 0.5:
            raise InputError(
                f"trimmed-mean: beta {self.beta:g}: expected 0 or more and less than 0.5, such as 0.2"
            )

    def least(self, devices: int) -> int:
        """So many that something is cut off at all."""
        return 3 if self.beta == 0 else max(3, int(np.ceil(1 / self.beta - 1e-9)))

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        x = matrix(submissions)
        few = too_few(submissions, self.least(len(x)))
        return few or Outcome(trimmed_mean(x, self.beta), keep_all(submissions), memory)
