r"""Least-squares reconstruction: what is left of each layer takes over what its lost inputs contributed.

A layer that loses input channels gets the weights that bring its outputs on samples closest to the unpruned model's
(He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017, equation 1; Luo et al., "ThiNet",
ICCV 2017, section 3.3)::

    W', b' = argmin  Σ ||y - (W x' + b)||²  +  λ ||W - W0||²

``y`` is the unpruned model's output, ``x'`` the pruned model's input, and ``W0`` the weights that were left, so that
with few samples nothing moves that they do not speak of. The layers follow one another in the order of the graph, so
each also takes back what the layers before it got wrong. Labels are not needed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels
from compress.pruning.linear import Linear, Moments, linear_layers, observed, places_rng
from compress.pruning.resize import stays
from converter.model import constants, copy, set_constant
from edge_runtime.console import progress
from edge_runtime.tensors import Array

_RIDGE = (
    0.01  # λ as a share of the features' mean square: what hardly varies in a few samples stays as it was
)


def reconstruct(
    source: onnx.ModelProto, pruned: onnx.ModelProto, channels: Channels, removed: Labels, x: Array
) -> onnx.ModelProto:
    """Fit every layer that lost inputs to the outputs of the unpruned model.

    Args:
        source: the unpruned model, with one input.
        pruned: what `compress.pruning.resize.remove` made of it; it is not changed.
        channels: the analysis of `source`.
        removed: the classes of channels that are gone.
        x: samples, float32[n, ...], as the model takes them.

    Returns:
        The pruned model with other weights and biases.
    """
    result = copy(pruned)
    layers = [layer for layer in linear_layers(source) if _lost(layer, channels, removed)]
    wanted = targets(source, layers, channels, removed, x)
    for layer in progress(layers, "reconstruct"):
        weight, bias = _fit(result, layer, wanted[layer.y], x)
        set_constant(result.graph, layer.weight, weight)
        if bias is not None:
            set_constant(result.graph, layer.bias, bias)
    return result


def _lost(layer: Linear, channels: Channels, removed: Labels) -> bool:
    tied = (layer.weight, layer.input_axis) in channels.ties
    return tied and not stays(channels, layer.weight, layer.input_axis, removed).all()


def targets(
    source: onnx.ModelProto, layers: Sequence[Linear], channels: Channels, removed: Labels, x: Array
) -> Mapping[str, Array]:
    """The unpruned outputs of each layer at random positions, of the channels that stay: float32[rows, outputs]."""
    found: dict[str, list[Array]] = {layer.y: [] for layer in layers}
    for batch, values in observed(source, list(found), x):
        for layer in layers:
            y = layer.outputs(values[layer.y], layer.wanted(len(x)), places_rng(layer, batch))
            axis = 0 if layer.input_axis else 1
            if (layer.weight, axis) in channels.ties:
                y = y[:, stays(channels, layer.weight, axis, removed)]
            found[layer.y].append(y)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _fit(model: onnx.ModelProto, layer: Linear, wanted: Array, x: Array) -> tuple[Array, Array | None]:
    """The weight and bias that come closest to the outputs that are wanted."""
    known = constants(model.graph)
    weight = known[layer.weight]
    start = layer.matrix(weight)
    sign = -1.0 if layer.subtracted else 1.0
    bias = known[layer.bias].astype(np.float64) if layer.bias else None
    gram = np.zeros((len(start) + 1, len(start) + 1))
    cross = np.zeros((len(start) + 1, start.shape[1]))
    at = 0
    for batch, values in observed(model, [layer.x, layer.y], x):
        y, count = values[layer.y], layer.wanted(len(x))
        rows = layer.rows(values[layer.x], y.shape, count, places_rng(layer, batch))
        features = np.concatenate([rows, np.ones((len(rows), 1), rows.dtype)], axis=1).astype(np.float64)
        missing = wanted[at : at + len(rows)] - layer.outputs(y, count, places_rng(layer, batch))
        at += len(rows)
        gram += features.T @ features
        cross += features.T @ missing
    if bias is None:
        gram, cross = gram[:-1, :-1], cross[:-1]
    ridge = np.full(len(gram), _RIDGE * np.trace(gram) / len(gram))
    if bias is not None:
        ridge[-1] = 1e-9 * at
    change = np.linalg.solve(gram + np.diag(ridge), cross)
    fitted = layer.weight_of(start + change[: len(start)], weight.dtype)
    if bias is None:
        return fitted, None
    return fitted, (bias + sign * change[-1]).astype(known[layer.bias].dtype)


def compensate(
    source: onnx.ModelProto,
    pruned: onnx.ModelProto,
    channels: Channels,
    removed: Labels,
    seen: Mapping[str, Moments],
) -> onnx.ModelProto:
    """The same fit as if all other inputs were those of the unpruned model: no samples are run.

    Exact where one layer alone is pruned; what the layers lose together is for `reconstruct`.

    Args:
        source: the unpruned model.
        pruned: what is left of it; it is not changed.
        channels: the analysis of `source`.
        removed: the classes of channels that are gone.
        seen: moments of the unpruned layers' features, by the names of their outputs.
    """
    result = copy(pruned)
    before, after = constants(source.graph), constants(result.graph)
    for layer in linear_layers(source):
        if layer.y not in seen or not _lost(layer, channels, removed):
            continue
        kept = np.repeat(stays(channels, layer.weight, layer.input_axis, removed), layer.repeats)
        start, moment = layer.matrix(before[layer.weight]), seen[layer.y]
        if (layer.weight, 1 - layer.input_axis) in channels.ties:
            start = start[:, stays(channels, layer.weight, 1 - layer.input_axis, removed)]
        inner, cross = moment.second[np.ix_(kept, kept)], moment.second[np.ix_(kept, ~kept)]
        ridge = _RIDGE * np.trace(inner) / max(len(inner), 1) + 1e-12
        change = np.linalg.solve(inner + ridge * np.eye(len(inner)), cross @ start[~kept])
        weight = after[layer.weight]
        set_constant(result.graph, layer.weight, layer.weight_of(start[kept] + change, weight.dtype))
        if layer.bias:
            lost = moment.mean[~kept] @ start[~kept] - moment.mean[kept] @ change
            bias = after[layer.bias]
            set_constant(
                result.graph, layer.bias, (bias + (-lost if layer.subtracted else lost)).astype(bias.dtype)
            )
    return result
