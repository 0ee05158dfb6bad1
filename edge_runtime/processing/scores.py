"""From what a network gives to shares between 0 and 1."""

import numpy as np

from edge_runtime.tensors import Array


def activate(values: Array, activation: str, usual: str) -> Array:
    """Scores of classes, the last axis, between 0 and 1: floats of the same shape, which may be the values themselves.

    Args:
        values: what the model gives; bytes are steps of 1/256, as TFLite's softmax and sigmoid give them.
        activation: "softmax", "sigmoid", "none", or "auto": nothing where the values are such shares already, else
            the usual one.
        usual: "softmax" or "sigmoid".
    """
    scores = values if values.dtype.kind == "f" else values.astype(np.float64)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 1:
        scores = (scores - np.iinfo(values.dtype).min) / 256
        activation = "none" if activation == "auto" else activation
    if activation == "auto":
        activation = "none" if _done(scores, usual) else usual
    if activation == "softmax":
        scores = scores.astype(np.float64)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        found: Array = powers / powers.sum(axis=-1, keepdims=True)
        return found
    if activation == "sigmoid":
        halves: Array = 0.5 * (1 + np.tanh(0.5 * scores))  # this form does not overflow
        return halves
    return scores


def _done(scores: Array, usual: str) -> bool:
    if not scores.size or scores.min() < -1e-6 or scores.max() > 1 + 1e-3:
        return False
    return usual == "sigmoid" or bool(np.allclose(scores.sum(axis=-1), 1, atol=1e-2))
