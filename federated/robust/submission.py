"""What a rule of aggregation takes and gives: submissions in, a change of the model and verdicts out.

A submission is one device's change of the model, delta = w_k - w, as a flat vector. Rules see nothing else of a
device but the number of examples that it claims, and that claim cannot be checked: where it weights a mean, it counts
at most `CAP` times the round's median claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_runtime.tensors import Array

Vector = NDArray[np.float64]
Memory = Mapping[int, float]
"""What a rule remembers of each device from round to round: its suspicion, 0 (none) to 1."""

CAP = 3.0  # honest devices of a skewed split differ by this much and more; a claim a hundredfold is an attack


@dataclass(frozen=True, slots=True)
class Submission:
    """One device's change of the model, float64[d], and the number of examples that it says this rests on."""

    device: int
    delta: Vector
    num_examples: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a device's submission is in the aggregate; if not, why, as a phrase for the history.

    `score` is the rule's own measure of how odd the submission is: higher is odder, comparable within a round.
    """

    device: int
    kept: bool
    reason: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The change of the model, float64[d], a verdict on each device, and what to remember for the next round."""

    delta: Vector
    verdicts: tuple[Verdict, ...]
    memory: Memory = field(default_factory=dict)

    @property
    def set_aside(self) -> dict[int, str]:
        """The devices that are not in the aggregate, and why."""
        return {each.device: each.reason for each in self.verdicts if not each.kept}


class Rule(Protocol):
    """A rule of aggregation: a frozen dataclass of its parameters that is called once a round."""

    @property
    def inspects(self) -> bool:
        """Whether it looks at single submissions, which secure aggregation does not show."""

    @property
    def fine(self) -> bool:
        """Whether it compares values or directions of single updates, which less than 4 bits drown in noise."""

    def least(self, devices: int) -> int:
        """How many submissions it needs of `devices`; with fewer it would promise more than it can hold."""

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round's submissions, at least one, with what the last round left in `memory`."""


def matrix(submissions: Sequence[Submission]) -> Vector:
    """The submissions as rows: float64[n, d]."""
    return np.stack([each.delta for each in submissions])


def trusted_counts(submissions: Sequence[Submission]) -> Vector:
    """The claimed numbers of examples, each at most `CAP` times the median of them: float64[n]."""
    claimed = np.array([each.num_examples for each in submissions], np.float64)
    return np.minimum(claimed, CAP * np.median(claimed))


def weighted_mean(x: Vector, counts: Vector) -> Vector:
    """The mean of rows float64[n, d], weighted by counts float64[n]."""
    mean: Vector = (counts / counts.sum()) @ x
    return mean


def keep_all(submissions: Sequence[Submission], scores: Vector | None = None) -> tuple[Verdict, ...]:
    """A verdict for each that keeps it."""
    found = np.zeros(len(submissions)) if scores is None else scores
    return tuple(Verdict(each.device, True, "", float(s)) for each, s in zip(submissions, found, strict=True))


def too_few(submissions: Sequence[Submission], needs: int) -> Outcome | None:
    """The outcome of a round with less than `needs` submissions: nothing is learned. None where there are enough.

    A rule that takes what it gets would be at its weakest just when an attacker has kept honest devices away.
    """
    if len(submissions) >= needs:
        return None
    reason = f"{len(submissions)} submissions in the round, {needs} are needed to tell honest from hostile"
    verdicts = tuple(Verdict(each.device, False, reason) for each in submissions)
    return Outcome(np.zeros_like(submissions[0].delta), verdicts)


def hostile(f: float, devices: int) -> int:
    """How many of `devices` may be hostile: `f` as a fraction if below 1, else as a number.

    >>> hostile(0.2, 20), hostile(3, 20)
    (4, 3)
    """
    return int(f * devices + 1e-9) if f < 1 else int(f)


def flatten(arrays: Mapping[str, Array]) -> Vector:
    """All arrays one after the other, by name: float64[d]."""
    return np.concatenate(
        [np.asarray(arrays[name], np.float64).ravel() for name in sorted(arrays)] or [np.zeros(0)]
    )


def changed(arrays: Mapping[str, Array], delta: Vector) -> dict[str, Array]:
    """The arrays plus the change, in their own dtypes; integers are rounded to the nearest."""
    found: dict[str, Array] = {}
    at = 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        moved = array.astype(np.float64) + delta[at : at + array.size].reshape(array.shape)
        found[name] = (np.rint(moved) if np.issubdtype(array.dtype, np.integer) else moved).astype(
            array.dtype
        )
        at += array.size
    return {name: found[name] for name in arrays}
