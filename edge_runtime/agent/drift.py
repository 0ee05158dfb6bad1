"""How far a model's live inputs and answers have moved from those it was made with.

Of each sample a few numbers are taken: mean and standard deviation of each input, the best class, and its score. They
are counted in bins: tenths of the calibration data's, so that without drift all are equally full. Between two
histograms stands the Jensen-Shannon distance (Endres and Schindelin 2003): the root of the divergence in bits, 0 where
they are equal, 1 where they have nothing in common. Small samples differ by chance: 2 ln(2) n m / (n + m) times four
times the divergence is about chi-squared with a degree of freedom less than bins (Grosse et al. 2002), so its mean is
taken off first. What is told is the largest distance over the numbers.

The reference comes with the bundle (`reference.json`, written when it is compressed or packed with data); a bundle
without one is measured by its first samples on the device itself.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.tensors import Array

FILE = "reference.json"
FOLDER = "live/references"
LEAST = 50  # samples below which nothing is said
OWN = 500  # samples on the device that make its own reference
_BINS = 10
_CLASSES = 64  # bins of classes; more classes share them
_LOOKED = 4096  # elements of a sample that are looked at

Reference = Mapping[str, Mapping[str, Any]]
"""By feature: `counts` a bin, and, where it is a number, the `edges` between bins."""


def features(inputs: Mapping[str, "Array"], outputs: Mapping[str, "Array"]) -> dict[str, "Array"]:
    """The numbers of each sample, float[n] by feature; n is the length of the first axis."""
    import numpy as np

    found: dict[str, Array] = {}
    for name, value in inputs.items():
        rows = value.reshape(len(value), -1) if value.ndim > 1 else value.reshape(1, -1)
        rows = rows[:, :: max(rows.shape[1] // _LOOKED, 1)].astype(np.float32)
        if rows.size:
            found[f"mean {name}"], found[f"std {name}"] = rows.mean(axis=1), rows.std(axis=1)
    scores = next(iter(outputs.values()), None)
    if scores is not None and scores.ndim == 2 and scores.shape[1] > 1 and len(scores):
        found["class"] = scores.argmax(axis=1) % _CLASSES
        found["score"] = scores.max(axis=1)
    return found


def reference(values: Mapping[str, "Array"]) -> Reference:
    """What later samples are compared with: bins and counts of these."""
    import numpy as np

    made: dict[str, dict[str, Any]] = {}
    for name, each in values.items():
        finite = each[np.isfinite(each)]
        if name != "class":
            edges = np.unique(np.quantile(finite, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(finite) else ()
            made[name] = {"edges": [float(edge) for edge in edges]}
        else:
            made[name] = {}
        made[name]["counts"] = counts(made[name], finite)
    return made


def counts(known: Mapping[str, Any], values: "Array") -> list[int]:
    """How many of the values fall into each bin of a feature."""
    import numpy as np

    if "edges" not in known:
        return [int(each) for each in np.bincount(values.astype(np.int64), minlength=_CLASSES)[:_CLASSES]]
    bins = np.searchsorted(np.asarray(known["edges"]), values, side="right")
    return [int(each) for each in np.bincount(bins, minlength=len(known["edges"]) + 1)]


def distance_ppm(known: Reference, seen: Mapping[str, Sequence[int]]) -> int | None:
    """The largest distance over the features, in millionths; None if too little was seen."""
    found = [
        distance(known[name]["counts"], counted)
        for name, counted in seen.items()
        if name in known and len(counted) == len(known[name]["counts"]) and sum(counted) >= LEAST
    ]
    return round(1e6 * max(found)) if found else None


def distance(known: Sequence[int], seen: Sequence[int]) -> float:
    """The Jensen-Shannon distance of two histograms, without what chance alone gives.

    >>> distance([500, 500], [50, 50]), distance([100, 0], [0, 100])
    (0.0, 1.0)
    """
    n, m = sum(known), sum(seen)
    if not n or not m:
        return 0.0
    total, free = 0.0, -1
    for a, b in zip(known, seen, strict=True):
        p, q = a / n, b / m
        middle = (p + q) / 2
        free += bool(a or b)
        total += sum(0.5 * x * math.log2(x / middle) for x in (p, q) if x)
    if not any(a and b for a, b in zip(known, seen, strict=True)):
        return 1.0
    chance = max(free, 0) * (n + m) / (8 * math.log(2) * n * m)
    return math.sqrt(min(max(total - chance, 0.0), 1.0))


def load(store: Path, model: str) -> Reference | None:
    """The reference of a model, by the SHA-256 of its bundle; None if there is none yet."""
    try:
        found = json.loads((store / FOLDER / f"{model}.json").read_bytes())
        return {
            str(name): {**each, "counts": [int(count) for count in each["counts"]]}
            for name, each in found.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
