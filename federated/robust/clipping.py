"""Norm clipping: no device moves the model further than a bound.

Sun et al. 2019, "Can You Really Backdoor Federated Learning?": each delta is scaled to a norm of at most C, which takes
the force out of scaled updates and model replacement. Where C is not given it is the median of the round's norms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from federated.robust.submission import (
    Memory,
    Outcome,
    Submission,
    Vector,
    keep_all,
    matrix,
    trusted_counts,
    weighted_mean,
)


def norms(x: Vector) -> Vector:
    """The Euclidean norm of each row of float64[n, d]."""
    found: Vector = np.linalg.norm(x, axis=1)
    return found


def clip(x: Vector, bound: float) -> Vector:
    """Rows of float64[n, d], each scaled to a norm of at most `bound`; its direction stays."""
    found: Vector = x * np.minimum(1, bound / np.maximum(norms(x), 1e-300))[:, None]
    return found


@dataclass(frozen=True, slots=True)
class Clipping:
    """The weighted mean of clipped submissions; `norm` 0: at the median of the round's norms."""

    norm: float = 0.0
    inspects = True
    fine = False

    def __post_init__(self) -> None:
        if not 0 <= self.norm < np.inf:
            raise InputError(
                f"clipping: norm {self.norm:g}: expected a bound such as 1.0, or 0 for the median norm"
            )

    def least(self, devices: int) -> int:
        """Three for a median of norms, one for a given bound."""
        return 1 if self.norm else 3

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        x = matrix(submissions)
        bound = self.norm or float(np.median(norms(x)))
        mean = weighted_mean(clip(x, bound), trusted_counts(submissions))
        return Outcome(mean, keep_all(submissions, norms(x) / max(bound, 1e-300)), memory)
