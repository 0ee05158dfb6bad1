"""How close a compressed model's outputs are to the original's, and how right they are."""

from dataclasses import dataclass

import numpy as np

from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Compared over `n` samples.

    `agreement`: share of samples with the same largest output; `sqnr_db`: signal to quantisation noise,
    ``10 log10(Σ r² / Σ (r - c)²)``; the accuracies are None where there are no labels.
    """

    agreement: float
    sqnr_db: float
    n: int
    original_accuracy: float | None = None
    compressed_accuracy: float | None = None


def compare(reference: Array, candidate: Array, labels: Array | None = None) -> Fidelity:
    """Compare outputs ``[n, ...]``; the last axis holds the classes."""
    best, other = reference.argmax(axis=-1), candidate.argmax(axis=-1)
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(reference - candidate, dtype=np.float64).sum())
    sqnr = 10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30 * max(signal, 1e-30)))
    right = [None, None] if labels is None else [accuracy(out, labels) for out in (reference, candidate)]
    return Fidelity(float((best == other).mean()), float(sqnr), len(reference), *right)


def accuracy(scores: Array, labels: Array) -> float:
    """Share of samples whose largest output is their label: scores [n, classes], labels int64[n]."""
    return float((scores.reshape(len(scores), -1).argmax(axis=1) == labels).mean())
