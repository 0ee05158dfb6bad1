"""Unstructured and semi-structured pruning: single weights become zero; the graph keeps its shape.

Magnitude pruning (Han et al., "Learning both Weights and Connections", NIPS 2015) zeroes the smallest weights, each
layer by its own share or all by one threshold. N:M sparsity (Mishra et al., "Accelerating Sparse Deep Neural
Networks", 2021) keeps the N largest of every M neighbours along the input axis. Zeros cost nothing in coded storage;
`compress.training.retrain` trains the others and keeps the zeros.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from compress.step import Work
from converter.model import Model, constants, copy, layer_weights, load, set_constant
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Sparsify:
    """Parameters of the step: zero `amount` of the weights.

    `layers` gives single layers a share of their own, by the weight's name. `pattern` such as "2:4" keeps 2 of every
    4 neighbours instead, whatever `amount` says.
    """

    amount: float = 0.5
    pattern: str = ""
    layers: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return sparsify(model, self)


def sparsify(model: Model, options: Sparsify | None = None) -> onnx.ModelProto:
    """Zero the weights of smallest magnitude.

    Args:
        model: a float model, or its path; it is not changed.
        options: how many.

    Returns:
        The model with zeros. Its accuracy is to be restored by training.

    Raises:
        ModelError: a share is not between 0 and 1, a layer is unknown, or the pattern is not N:M.
    """
    chosen = options or Sparsify()
    result = copy(load(model))
    known = constants(result.graph)
    names = layer_weights(result.graph)
    for name in chosen.layers:
        if name not in names:
            raise ModelError(f"sparsify: no layer has a weight '{name}'; there are {', '.join(names)}")
    pattern = _pattern(chosen.pattern)
    for name in names:
        share = chosen.layers.get(name, chosen.amount)
        if not 0 <= share < 1:
            raise ModelError(
                f"sparsify: the share {share:g} of '{name or 'all layers'}' is not between 0 and 1"
            )
        weight = known[name]
        keep = structured(weight, *pattern) if pattern else largest(weight, share)
        set_constant(result.graph, name, np.where(keep, weight, 0).astype(weight.dtype))
    return result


def largest(weight: Array, share: float) -> Array:
    """Which weights stay when the smallest `share` goes: bool of the same shape."""
    count = int(share * weight.size)
    keep = np.ones(weight.size, bool)
    keep[np.argsort(np.abs(weight).reshape(-1), kind="stable")[:count]] = False
    return keep.reshape(weight.shape)


def structured(weight: Array, n: int, m: int) -> Array:
    """Which weights stay when each run of `m` along axis 1 keeps its `n` largest: bool of the same shape."""
    moved = np.moveaxis(np.abs(weight), 1, -1)
    length = moved.shape[-1] // m * m  # what is left over stays whole
    runs = moved[..., :length].reshape(*moved.shape[:-1], -1, m)
    order = np.argsort(np.argsort(-runs, axis=-1, kind="stable"), axis=-1, kind="stable")
    keep = np.ones(moved.shape, bool)
    keep[..., :length] = (order < n).reshape(*moved.shape[:-1], length)
    return np.moveaxis(keep, -1, 1)


def _pattern(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    n, _, m = text.partition(":")
    if not (n.isdigit() and m.isdigit() and 0 < int(n) < int(m)):
        raise ModelError(f"sparsify: pattern is '{text}'; expected N:M, such as 2:4")
    return int(n), int(m)
