"""The rules of aggregation by name, and the one that is the default."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from federated import spec
from federated.robust.bulyan import Bulyan
from federated.robust.clipping import Clipping
from federated.robust.detect import Detect
from federated.robust.geometric import GeometricMedian
from federated.robust.krum import Krum, MultiKrum
from federated.robust.median import Median
from federated.robust.submission import Memory, Outcome, Rule, Submission, keep_all, matrix, weighted_mean
from federated.robust.trimmed import TrimmedMean


@dataclass(frozen=True, slots=True)
class Mean:
    """Federated averaging as it is: the mean by the claimed numbers of examples. One device can steer it anywhere."""

    inspects = False
    fine = False

    def least(self, devices: int) -> int:
        """One."""
        return 1

    def __call__(self, submissions: Sequence[Submission], memory: Memory) -> Outcome:
        """Aggregate one round."""
        counts = np.array([each.num_examples for each in submissions], np.float64)
        return Outcome(weighted_mean(matrix(submissions), counts), keep_all(submissions), memory)


RULES: dict[str, Callable[..., Rule]] = {
    "bulyan": Bulyan,
    "clipping": Clipping,
    "detect": Detect,
    "geometric-median": GeometricMedian,
    "krum": Krum,
    "mean": Mean,
    "median": Median,
    "multi-krum": MultiKrum,
    "trimmed-mean": TrimmedMean,
}

DEFAULT = "detect"  # what `benchmarks/federated_defence.py` finds best over all attacks


def parse(text: str) -> Rule:
    """The rule that a text such as ``multi-krum:f=0.2`` asks for.

    >>> parse("multi-krum:f=0.3")
    MultiKrum(f=0.3, m=0)

    Raises:
        InputError: there is no such rule or parameter, or a value is out of range.
    """
    return spec.build(text, RULES, "defence")
