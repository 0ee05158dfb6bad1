"""Low-rank factorisation: layers whose weights are close to a product of smaller ones become that product.

Dense layers and 1x1 convolutions become two layers (SVD), k x k convolutions two (SVD) or three (Tucker-2, CP): see
`compress.factorization.decompose`. With samples, what is kept is what matters for the *outputs* on them: each weight
is decomposed after multiplication with a square root of its inputs' covariance, and the bias takes back the mean of
what is lost. A layer is replaced only where that saves both multiply-accumulates and bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from compress.factorization.decompose import root
from compress.factorization.ranks import METHODS, Choice, Size, by_budget, by_energy, choices
from compress.factorization.rewrite import Part, replace
from compress.pruning.channels import with_batch
from compress.pruning.linear import Linear, Moments, linear_layers, moments
from compress.pruning.prepare import prepared
from compress.pruning.prune import sizes
from compress.step import Work
from converter.model import Model, constants
from edge_runtime.console import progress, say
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_UNITS = ("macs", "parameters")
_SHRINKAGE = 0.1  # of the inputs' covariance


@dataclass(frozen=True, slots=True)
class Factorize:
    """Parameters of the step.

    `amount` of the model's multiply-accumulates or parameters (`budget`) is to go, spread so that the sum of the
    layers' relative errors is least. With `energy` above 0 each layer keeps that share of its squares instead,
    whatever it saves. `method` is for convolutions of several taps: "tucker", "cp" or "svd". Ranks are multiples of
    `multiple`. `samples` weigh the inputs; 0 takes all inputs to be alike.
    """

    amount: float = 0.3
    budget: str = "macs"
    energy: float = 0.0
    method: str = "tucker"
    multiple: int = 4
    samples: int = 64

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return factorize(model, self, work.samples.x)


def factorize(model: Model, options: Factorize | None = None, x: Array | None = None) -> onnx.ModelProto:
    """Replace layers by products of lower rank.

    Args:
        model: a float model with known shapes (the batch aside), or its path; it is not changed.
        options: how much, and how.
        x: samples as the model's one input takes them, float32[n, ...]; None takes all inputs to be alike.

    Returns:
        A model with the same inputs and outputs; where nothing can be saved, an equal one.

    Raises:
        ModelError: `options` are out of range, a shape is not known, or the budget cannot be met.
        InputError: the samples do not fit the model.
    """
    chosen = options or Factorize()
    _check(chosen)
    result = prepared(model)
    layers = linear_layers(result)
    places, known = _places(result, layers), constants(result.graph)
    layers = [layer for layer in layers if layer.y in places]
    seen = moments(result, layers, x[: chosen.samples]) if x is not None and chosen.samples else {}
    found = []
    for layer in progress(layers, "factorise"):
        scale = _scales(layer, seen.get(layer.y))
        found.append(
            choices(layer, known[layer.weight], chosen.method, places[layer.y], chosen.multiple, *scale)
        )
    for layer, choice in zip(layers, _chosen(chosen, found, sizes(result)[chosen.budget]), strict=True):
        if choice.ranks:
            parts = choice.parts()
            bias = _bias(layer, known, parts, seen[layer.y]) if layer.y in seen and layer.bias else None
            replace(result.graph, layer, parts, bias)
    del result.graph.value_info[:]
    onnx.checker.check_model(result)
    return result


def _check(options: Factorize) -> None:
    if not 0 < options.amount < 1 or not 0 <= options.energy < 1 or options.multiple < 1:
        raise ModelError(
            f"factorize: amount {options.amount:g} and energy {options.energy:g} are shares between 0 and 1, "
            f"multiple {options.multiple} is at least 1"
        )
    for what, value, accepted in (("method", options.method, METHODS), ("budget", options.budget, _UNITS)):
        if value not in accepted:
            raise ModelError(f"factorize: {what} '{value}' is unknown; expected one of {', '.join(accepted)}")


def _chosen(options: Factorize, found: list[list[Choice]], whole: float) -> list[Choice]:
    """How each layer is written; `whole` is the cost of the model."""
    if options.energy:
        return by_energy(found, options.energy)

    def cost(choice: Choice) -> float:
        return choice.macs if options.budget == "macs" else choice.parameters

    before = sum(cost(layer[0]) for layer in found)
    picked = by_budget(found, before - options.amount * whole, cost)
    gone = (before - sum(map(cost, picked))) / whole
    count = sum(bool(choice.ranks) for choice in picked)
    say(f"factorise: {count} of {len(found)} layers, {gone:.1%} of the {options.budget} less")
    if gone < options.amount - 1e-9:
        raise ModelError(
            f"factorize: {options.amount:.0%} of the {options.budget} cannot go, at most {gone:.0%} with ranks that "
            f"are multiples of {options.multiple}; ask for less, or for a smaller multiple"
        )
    return picked


def _places(model: onnx.ModelProto, layers: list[Linear]) -> dict[str, Size]:
    """Positions of each layer's input and output, for one sample."""
    inferred = onnx.shape_inference.infer_shapes(with_batch(model, 1), data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    found = {}
    for layer in layers:
        if layer.x in shapes and layer.y in shapes:
            x, y = shapes[layer.x], shapes[layer.y]
            counts = [prod(each[2:] if layer.kind == "Conv" else each[:-1]) for each in (x, y)]
            found[layer.y] = Size(*map(float, counts))
    if layers and not found:
        raise ModelError("factorize: no shapes can be inferred; export the model with fixed sizes")
    return found


def _scales(layer: Linear, seen: Moments | None) -> tuple[Array | None, Array | None]:
    """Square roots of the second moment of a layer's features, and of its input channels."""
    if seen is None:
        return None, None
    if layer.repeats == 1:
        scale = root(_shrunk(seen.second))
        return scale, scale
    count, taps = len(seen.second) // layer.repeats, layer.repeats
    blocks = seen.second.reshape(count, taps, count, taps)
    return root(_shrunk(seen.second)), root(_shrunk(np.einsum("itjt->ij", blocks) / taps))


def _shrunk(second: Array) -> Array:
    """Towards all inputs alike: a few samples say little of the directions in which they hardly vary."""
    return np.asarray(second + _SHRINKAGE * np.trace(second) / len(second) * np.eye(len(second)))


def _bias(layer: Linear, known: Mapping[str, Array], parts: list[Part], seen: Moments) -> Array:
    """The bias plus the mean of what the factors lose."""
    lost = layer.matrix(known[layer.weight]) - _product(layer, parts)
    change = (-1.0 if layer.subtracted else 1.0) * (seen.mean @ lost)
    old = known[layer.bias]
    return np.asarray((old + change).astype(old.dtype))


def _product(layer: Linear, parts: list[Part]) -> Array:
    """The chain as one matrix float64[features, outputs]."""
    if layer.kind != "Conv":
        first, second = (layer.matrix(part.weight) for part in parts)
        return first @ second
    made = parts[0].weight
    for part in parts[1:]:
        w = part.weight.astype(np.float64)
        if part.depthwise:
            made = made.reshape(*made.shape[:2], *[1] * (w.ndim - 2)) * w
        elif part.strided:  # taps behind a convolution of one tap
            made = np.einsum("or...,ri->oi...", w, made.reshape(made.shape[:2]))
        else:
            made = np.einsum("or,ri...->oi...", w.reshape(w.shape[:2]), made)
    return layer.matrix(made)
