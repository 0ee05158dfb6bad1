"""Anomaly detection: set aside what is odd, bound what is left, and say which device and why.

Three measures of each submission, all against the majority of the same round, none with a constant that depends on
the model:

- norm: log(|x| / median norm). Scaled updates, noise and wrong labels are long; a device that sends nothing is short.
- direction: the cosine to the geometric median of the submissions, each clipped to the median norm. A flipped sign, or
  learning from wrong labels, points elsewhere.
- agreement: the mean cosine to its nearest half of the others. Noise agrees with nobody.

Each is a distance from the round's median in units of its median absolute deviation (the robust z-score of Iglewicz
and Hoaglin 1993), on the side where attacks lie; a submission is odd if one of them exceeds `limit`. From round to
round a device's suspicion moves by a fifth towards how odd it was; above one half it is set aside although it may look
well this time (after the reputation of Kang et al. 2019). At most half of the round is set aside, the oddest first.
What is kept is clipped to twice its median norm and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from federated.robust.clipping import clip, norms
from federated.robust.geometric import geometric_median
from federated.robust.submission import (
    Memory,
    Outcome,
    Submission,
    Vector,
    Verdict,
    matrix,
    too_few,
    trusted_counts,
    weighted_mean,
)

_MAD = 1.4826  # times the median absolute deviation is the standard deviation of a normal distribution
# A round where nearly all agree must not make its last honest device an outlier: the least deviations counted.
_FLOOR = {"norm": 0.2, "direction": 0.08, "agreement": 0.04}
_MOVES = 0.2  # of suspicion, a round
_DISTRUST = 0.5
_BOUND = 2.0  # times the median norm: what is clipped to
_SILENT = 0.02  # of the median norm: below, nothing was learned


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of a round's submissions and their robust z-scores, float64[n] each; high is odd."""

    ratio: Vector  # norm / median norm
    cosine: Vector  # to the robust centre
    agreement: Vector  # mean cosine to the nearest half of the others
    z: dict[str, Vector]

    @property
    def odd(self) -> Vector:
        """The highest of the z-scores of each submission."""
        found: Vector = np.max(list(self.z.values()), axis=0)
        return found

    def reason(self, i: int) -> str:
        """What is odd about submission `i`, as a phrase."""
        worst = max(self.z, key=lambda name: float(self.z[name][i]))
        says = {
            "norm": f"norm {self.ratio[i]:.2g} times the median",
            "direction": f"cosine {self.cosine[i]:.2f} to the robust centre, "
            f"the median is {np.median(self.cosine):.2f}",
            "agreement": f"agrees with nobody: cosine {self.agreement[i]:.2f} to its nearest half, "
            f"the median is {np.median(self.agreement):.2f}",
        }
        return f"{says[worst]} (z {self.z[worst][i]:.1f})"


def measure(x: Vector) -> Measures:
    """Measure the rows of float64[n, d], at least three."""
    lengths = np.maximum(norms(x), 1e-300)
    typical = float(np.median(lengths))
    unit = x / lengths[:, None]
    centre = geometric_median(clip(x, typical), np.ones(len(x)), 32)
    cosine = unit @ centre / max(float(np.linalg.norm(centre)), 1e-300)
    agreement = _nearest_half(unit @ unit.T)
    ratio = lengths / typical
    z = {
        "norm": np.where(ratio < _SILENT, np.inf, _z(np.log(ratio), _FLOOR["norm"])),
        "direction": _z(-cosine, _FLOOR["direction"]),
        "agreement": _z(-agreement, _FLOOR["agreement"]),
    }
    return Measures(ratio, cosine, agreement, z)


def _nearest_half(cosines: Vector) -> Vector:
    others = cosines - np.diag(np.full(len(cosines), 9.0))  # itself goes to the end of the line
    nearest = np.sort(others, axis=1)[:, ::-1][:, : max(1, len(cosines) // 2)]
    mean: Vector = nearest[:, : len(cosines) - 1].mean(axis=1)
    return mean


def _z(values: Vector, floor: float) -> Vector:
    centre = np.median(values)
    spread = max(_MAD * float(np.median(np.abs(values - centre))), floor)
    found: Vector = (values - centre) / spread
    return found


@dataclass(frozen=True, slots=True)
class Detect:
    """Set odd submissions aside; clip and average the others. `limit` is the z-score from which one is odd."""

    limit: float = 3.0
    inspects = True
    fine = True

    def __post_init__(self) -> None:
        if not self.limit > 1:
            raise InputError(f"detect: limit {self.limit:g}: expected a z-score above 1, such as 3")

    def least(self, devices: int) -> int:
        """Four: of three, the median of anything is one of the three, and a deviation from it says little."""
        return 4

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        few = too_few(submissions, self.least(len(submissions)))
        if few:
            return Outcome(few.delta, few.verdicts, memory)
        x = matrix(submissions)
        found = measure(x)
        before = np.array([memory.get(each.device, 0.0) for each in submissions])
        evidence = np.clip((found.odd - 1) / (self.limit - 1), 0, 1)
        suspicion = before + _MOVES * (evidence - before)
        out = _at_most_half(found.odd > self.limit, suspicion > _DISTRUST, found.odd)
        verdicts = tuple(
            Verdict(
                each.device,
                not out[i],
                self._reason(found, suspicion, i) if out[i] else "",
                float(found.odd[i]),
            )
            for i, each in enumerate(submissions)
        )
        kept = ~out
        bound = _BOUND * float(np.median(norms(x[kept])))
        delta = weighted_mean(clip(x[kept], bound), trusted_counts(submissions)[kept])
        new = {each.device: round(float(s), 6) for each, s in zip(submissions, suspicion, strict=True)}
        return Outcome(delta, verdicts, {**memory, **new})

    def _reason(self, found: Measures, suspicion: Vector, i: int) -> str:
        if found.odd[i] > self.limit:
            return found.reason(i)
        return f"odd in earlier rounds: suspicion {suspicion[i]:.2f} (0 to 1); now {found.reason(i)}"


def _at_most_half(odd: NDArray[np.bool_], distrusted: NDArray[np.bool_], z: Vector) -> NDArray[np.bool_]:
    """Which are set aside: those marked, but of more than half only the oddest half, odd ones first."""
    marked = odd | distrusted
    most = (len(z) - 1) // 2
    if marked.sum() <= most:
        return marked
    order = np.lexsort((-z, ~odd, ~marked))
    return np.isin(np.arange(len(z)), order[:most])
