"""Unstructured and semi-structured pruning: single weights become zero; the graph keeps its shape.

The least important weights go (by magnitude: Han et al., "Learning both Weights and Connections", NIPS 2015; other
criteria are in `compress.pruning.importance`), each layer by its own share. N:M sparsity (Mishra et al., "Accelerating
Sparse Deep Neural Networks", 2021) keeps the N most important of every M neighbours along the input axis. Zeros cost
nothing in coded storage; `compress.training.retrain` trains the others and keeps the zeros. `gradually` does both in
turns, by the schedule of Zhu and Gupta, "To prune, or not to prune", 2017.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from compress.pruning.importance import CRITERIA, importance
from compress.step import Work
from converter.model import Model, constants, copy, layer_weights, load, set_constant
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Sparsify:
    """Parameters of the step: zero `amount` of the weights.

    `layers` gives single layers a share of their own, by the weight's name. `pattern` such as "2:4" keeps 2 of every
    4 neighbours instead, whatever `amount` says. `importance` is "magnitude", "taylor" or "movement"; the last two
    need samples.
    """

    amount: float = 0.5
    pattern: str = ""
    layers: Mapping[str, float] = field(default_factory=dict)
    importance: str = "magnitude"

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return sparsify(model, self, work)


def sparsify(model: Model, options: Sparsify | None = None, work: Work | None = None) -> onnx.ModelProto:
    """Zero the least important weights.

    Args:
        model: a float model, or its path; it is not changed.
        options: how many.
        work: samples, for a criterion that needs them.

    Returns:
        The model with zeros; what was zero before stays so. Its accuracy is to be restored by training.

    Raises:
        ModelError: a share is not between 0 and 1, a layer is unknown, the pattern is not N:M, or the criterion is
            unknown or needs samples.
    """
    chosen = options or Sparsify()
    result = copy(load(model))
    known = constants(result.graph)
    names = layer_weights(result.graph)
    for name in chosen.layers:
        if name not in names:
            raise ModelError(f"sparsify: no layer has a weight '{name}'; there are {', '.join(names)}")
    pattern = _pattern(chosen.pattern)
    scores = _scores(result, chosen.importance, work, known)
    for name in names:
        share = chosen.layers.get(name, chosen.amount)
        if not 0 <= share < 1:
            raise ModelError(
                f"sparsify: the share {share:g} of '{name or 'all layers'}' is not between 0 and 1"
            )
        weight = known[name]
        keep = structured(scores[name], *pattern) if pattern else largest(scores[name], share)
        set_constant(result.graph, name, np.where(keep, weight, 0).astype(weight.dtype))
    return result


def gradually(
    model: Model,
    options: Sparsify,
    rounds: int,
    between: Callable[[onnx.ModelProto], onnx.ModelProto],
    work: Work | None = None,
) -> onnx.ModelProto:
    """Zero weights in several rounds, many at first and few in the end, with `between` (training) after each.

    Args:
        model: a float model, or its path; it is not changed.
        options: what is reached in the last round.
        rounds: how many; at least 1.
        between: applied to the model after each round. It must keep the zeros
            (`compress.training.retrain.keep_zeros`).
        work: samples, for a criterion that needs them.

    Raises:
        ModelError: as `sparsify`; or there are no rounds, or a pattern, which cannot be reached by degrees.
    """
    if rounds < 1 or options.pattern:
        raise ModelError("sparsify: gradually needs at least one round, and shares rather than a pattern")
    current = load(model)
    for k in range(rounds):
        layers = {name: cubic(k + 1, rounds, share) for name, share in options.layers.items()}
        step = replace(options, amount=cubic(k + 1, rounds, options.amount), layers=layers)
        current = between(sparsify(current, step, work))
    return current


def cubic(at: int, rounds: int, final: float, start: float = 0.0) -> float:
    """The share of zeros after round `at` of `rounds`: ``final + (start - final)(1 - at/rounds)³`` (equation 1)."""
    return final + (start - final) * (1 - at / rounds) ** 3


def _scores(
    model: onnx.ModelProto, criterion: str, work: Work | None, known: Mapping[str, Array]
) -> Mapping[str, Array]:
    """The importance of every weight's elements, with what is zero already below all others."""
    if criterion not in CRITERIA:
        raise ModelError(
            f"sparsify: importance '{criterion}' is unknown; expected one of {', '.join(CRITERIA)}"
        )
    found = importance(model, criterion, work)
    return {name: np.where(known[name] != 0, each.elements, -np.inf) for name, each in found.items()}


def largest(scores: Array, share: float) -> Array:
    """Which weights stay when the `share` of lowest score goes: bool of the same shape."""
    count = int(share * scores.size)
    keep = np.ones(scores.size, bool)
    keep[np.argsort(scores.reshape(-1), kind="stable")[:count]] = False
    return keep.reshape(scores.shape)


def structured(scores: Array, n: int, m: int) -> Array:
    """Which weights stay when each run of `m` along axis 1 keeps the `n` of highest score: bool of the same shape."""
    moved = np.moveaxis(scores, 1, -1)
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
