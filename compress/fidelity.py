"""How close a compressed model's outputs are to the original's, and how right they are."""

from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array

MEASURES = ("auto", "classes", "decisions", "values")
"""What `Fidelity.agreement` is the share of: see there."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Compared over `n` samples.

    `agreement`, by `measure`: "classes", the share of equal classes (the largest along the classes' axis, one a sample,
    token or pixel); "decisions", the share of outputs on the same side of one half, or, for maps, the Dice
    coefficient of what lies above it; "values", for embeddings and regression, the mean cosine similarity of a sample's
    outputs. `sqnr_db`: signal to quantisation noise, ``10 log10(Σ r² / Σ (r - c)²)``. `cosine`: that similarity in any
    case. The accuracies are None where there are no labels.
    """

    agreement: float
    sqnr_db: float
    n: int
    original_accuracy: float | None = None
    compressed_accuracy: float | None = None
    measure: str = "classes"
    cosine: float = 1.0


def compare(
    reference: Array, candidate: Array, labels: Array | None = None, measure: str = "auto"
) -> Fidelity:
    """Compare outputs ``[n, ...]``.

    Args:
        reference: of the original.
        candidate: of the compressed model, of the same shape.
        labels: int64[n] class indices.
        measure: one of `MEASURES`; "auto" takes classes where there are labels or an axis of classes: the last of at
            most three, the second of four; else decisions where all outputs lie between 0 and 1; else values.

    Raises:
        InputError: there is no such measure.
    """
    if measure not in MEASURES:
        raise InputError(f"measure '{measure}': expected one of {', '.join(MEASURES)}")
    chosen = _suited(reference, labels) if measure == "auto" else measure
    similarity = cosine(reference, candidate)
    if chosen == "classes":
        agreement = float((_classes(reference) == _classes(candidate)).mean())
    elif chosen == "decisions":
        agreement = _decided(reference > 0.5, candidate > 0.5)
    else:
        agreement = similarity
    before, after = (None if labels is None else accuracy(out, labels) for out in (reference, candidate))
    return Fidelity(agreement, sqnr(reference, candidate), len(reference), before, after, chosen, similarity)


def dropped(found: Fidelity) -> float:
    """Accuracy lost, where there are labels, else the share of answers that differ from the original's."""
    if found.original_accuracy is not None and found.compressed_accuracy is not None:
        return found.original_accuracy - found.compressed_accuracy
    return 1 - found.agreement


def _decided(reference: Array, candidate: Array) -> float:
    """Share of equal decisions; of a map, the Dice coefficient, for most of a map is usually neither's."""
    if reference[0].size == 1:
        return float((reference == candidate).mean())
    both, sum_ = float((reference & candidate).sum()), float(reference.sum() + candidate.sum())
    return 2 * both / sum_ if sum_ else 1.0


def _suited(outputs: Array, labels: Array | None) -> str:
    if labels is not None or outputs.dtype.kind in "iub" or _axis(outputs) is not None:
        return "classes"
    return "decisions" if outputs.min(initial=0) >= 0 and outputs.max(initial=0) <= 1 else "values"


def _axis(outputs: Array) -> int | None:
    """The axis of classes; None where there is none of more than one."""
    axis = 1 if outputs.ndim == 4 else outputs.ndim - 1
    return axis if outputs.ndim > 1 and outputs.shape[axis] > 1 else None


def _classes(outputs: Array) -> Array:
    axis = _axis(outputs)
    return outputs if axis is None or outputs.dtype.kind in "iub" else outputs.argmax(axis=axis)


def sqnr(reference: Array, candidate: Array) -> float:
    """Signal to quantisation noise in dB; at most 300."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(reference, candidate, dtype=np.float64)).sum())
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30 * max(signal, 1e-30))))


def cosine(reference: Array, candidate: Array) -> float:
    """Mean cosine similarity of the samples' outputs, each taken as one vector."""
    a, b = (out.reshape(len(out), -1).astype(np.float64) for out in (reference, candidate))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.array_equal(a, b)
    return 1.0 if same else float(((a * b).sum(axis=1) / np.maximum(norms, 1e-30)).mean())


def accuracy(scores: Array, labels: Array) -> float:
    """Share of samples whose largest output is their label: scores [n, classes], labels int64[n]."""
    return float((scores.reshape(len(scores), -1).argmax(axis=1) == labels).mean())
