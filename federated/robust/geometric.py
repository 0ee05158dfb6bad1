"""The geometric median: the point whose distances to all submissions have the least sum.

Pillutla, Kakade and Harchaoui 2022, "Robust Aggregation for Federated Learning" (RFA), Algorithm 2: the smoothed
Weiszfeld iteration ``z <- sum b_i x_i / sum b_i`` with ``b_i = a_i / max(nu, |z - x_i|)``, where a_i are the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from federated.robust.clipping import norms
from federated.robust.submission import (
    Memory,
    Outcome,
    Submission,
    Vector,
    keep_all,
    matrix,
    too_few,
    trusted_counts,
    weighted_mean,
)

_NU = 1e-6  # of the median distance: where z falls on a submission the weight must stay finite


def geometric_median(x: Vector, weights: Vector, steps: int = 8, tolerance: float = 1e-6) -> Vector:
    """The smoothed geometric median of rows float64[n, d] with weights float64[n].

    The paper finds 3 to 5 steps enough; the iteration ends early once it moves by less than `tolerance`, relative.
    """
    z = weighted_mean(x, weights)
    for _ in range(steps):
        apart = norms(x - z)
        nu = max(_NU * float(np.median(apart)), 1e-300)
        new = weighted_mean(x, weights / np.maximum(apart, nu))
        moved, z = float(np.linalg.norm(new - z)), new
        if moved <= tolerance * max(float(np.linalg.norm(z)), 1e-300):
            break
    return z


@dataclass(frozen=True, slots=True)
class GeometricMedian:
    """The geometric median, by `steps` of the smoothed Weiszfeld iteration."""

    steps: int = 32
    inspects = True
    fine = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"geometric-median: steps {self.steps}: at least 1 is needed")

    def least(self, devices: int) -> int:
        """Three: of two it is any point between."""
        return 3

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        x = matrix(submissions)
        few = too_few(submissions, 3)
        if few:
            return few
        centre = geometric_median(x, trusted_counts(submissions), self.steps)
        return Outcome(centre, keep_all(submissions, norms(x - centre)), memory)
