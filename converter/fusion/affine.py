r"""Vertical fusion: what scales and shifts channels goes into the weights of the layer before or behind it.

Mul, Div, Add and Sub with constants, and BatchNormalization in inference, are all ``z = s y + t`` with one ``s`` and
``t`` a channel; for BatchNormalization ``s = gamma / sqrt(var + epsilon)`` and ``t = beta - s mean``. Then::

    behind a layer   s (W x + b) + t        W' = s W  (over output channels)    b' = s b + t
    before a layer   W (s x + t) + b        W' = W s  (over input channels)     b' = b + W t

The shift before a layer that pads its input with zeros cannot be taken: padding is not shifted.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from converter.fusion import values
from edge_runtime.tensors import Array

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_AFFINE = ("Mul", "Div", "Add", "Sub", "BatchNormalization")


@dataclass(frozen=True, slots=True)
class Affine:
    """``s y + t``: float64, each of one element or one a channel; `source` is y, `rank` that of the constants."""

    source: ir.Value
    scale: Array
    shift: Array

    @property
    def channels(self) -> int:
        """How many; 1 if all are treated alike."""
        return max(self.scale.size, self.shift.size)


def affine(node: ir.Node, axis: int, rank: int) -> Affine | None:
    """What `node` does to the channels on `axis` of its input of `rank` axes; None if it is no such operator."""
    if node.op_type == "BatchNormalization":
        return _normalization(node) if axis == 1 else None
    if node.op_type not in _AFFINE or len(node.inputs) != 2:
        return None
    for k in (0, 1):
        source, number = node.inputs[k], values.constant(node.inputs[1 - k])
        if source is None or number is None or values.constant(source) is not None:
            continue
        if source.dtype not in values.FLOATS or number.ndim > rank:
            return None
        channels = _by_channel(number, axis, rank)
        return None if channels is None else _arithmetic(node.op_type, k, source, channels)
    return None


def _by_channel(number: Array, axis: int, rank: int) -> Array | None:
    shape = (1,) * (rank - number.ndim) + number.shape
    if any(size != 1 for place, size in enumerate(shape) if place != axis % rank):
        return None
    return number.reshape(-1).astype(np.float64)


def _arithmetic(kind: str, place: int, source: ir.Value, number: Array) -> Affine | None:
    one, zero = np.ones(1), np.zeros(1)
    if kind == "Mul":
        return Affine(source, number, zero)
    if kind == "Add":
        return Affine(source, one, number)
    if kind == "Sub":
        return Affine(source, one, -number) if place == 0 else Affine(source, -one, number)
    return Affine(source, 1 / number, zero) if place == 0 and number.all() else None


def _normalization(node: ir.Node) -> Affine | None:
    arrays = [values.constant(value) for value in node.inputs[1:5]]
    source = node.inputs[0]
    if source is None or values.attribute(node, "training_mode", 0) or len(node.outputs) > 1:
        return None
    gamma, beta, mean, var = (None if array is None else array.astype(np.float64) for array in arrays)
    if gamma is None or beta is None or mean is None or var is None:
        return None
    scale = gamma / np.sqrt(var + values.attribute(node, "epsilon", 1e-5))
    return Affine(source, scale, beta - mean * scale)


# ------------------------------------------------------------------------------------------ behind a layer


def fuse_behind(node: ir.Node) -> bool:
    """Take what `node` does to a layer's output into that layer; whether it did."""
    if node.op_type not in _AFFINE:
        return False
    for value in node.inputs:
        layer = values.made_by(value, *LAYERS)
        if layer is None or not values.alone(layer.outputs[0]) or layer.graph is not node.graph:
            continue
        weight = values.constant(layer.inputs[1])
        rank = None if weight is None else _output_rank(layer, weight)
        if weight is None or rank is None:
            continue
        found = affine(node, rank - 1 if layer.op_type in ("MatMul", "Gemm") else 1, rank)
        if found is None or found.source is not layer.outputs[0]:
            continue
        return _rescale_outputs(node, layer, weight, found)
    return False


def _output_rank(layer: ir.Node, weight: Array) -> int | None:
    if layer.op_type != "MatMul":
        return weight.ndim
    return values.rank(layer.inputs[0]) if weight.ndim == 2 and layer.inputs[0] is not None else None


def _rescale_outputs(node: ir.Node, layer: ir.Node, weight: Array, found: Affine) -> bool:
    axis = output_axis(layer, weight)
    bias = _bias(layer, weight.shape[axis])
    grouped = layer.op_type == "ConvTranspose" and values.attribute(layer, "group", 1) != 1
    normalizes = node.op_type == "BatchNormalization"
    if bias is None or grouped or found.channels not in (1, weight.shape[axis]) or not plain(layer):
        return False
    if layer.op_type == "MatMul" and found.shift.any():
        return False
    shared = layer.inputs[1] is not None and len(layer.inputs[1].uses()) > 1
    if shared and not normalizes and not np.array_equal(found.scale, [1.0]):
        return False
    scaled = weight * _along(found.scale, axis, weight.ndim)
    shifted = bias * found.scale + found.shift
    return relayer(node, layer, scaled.astype(weight.dtype), shifted.astype(weight.dtype))


# ------------------------------------------------------------------------------------------ before a layer


def fuse_before(node: ir.Node) -> bool:
    """Take what `node` does to the input of the layers that read it into them; whether it did."""
    out = node.outputs[0]
    if node.op_type not in _AFFINE or out.is_graph_output() or not out.uses():
        return False
    planned = []
    for use in out.uses():
        changed = _rescaled_inputs(node, use.node) if use.idx == 0 else None
        if changed is None:
            return False
        planned.append((use.node, *changed))
    for layer, source, weight, bias in planned:
        layer.replace_input_with(0, source)
        relayer(layer, layer, weight, bias)
    values.discard(node)
    return True


def _rescaled_inputs(node: ir.Node, layer: ir.Node) -> tuple[ir.Value, Array, Array] | None:
    """The layer's new input, weight and bias; None where it cannot take the scale or the shift."""
    weight = values.constant(values.given(layer, 1))
    if layer.op_type not in LAYERS or weight is None or not plain(layer) or layer.graph is not node.graph:
        return None
    rank = _output_rank(layer, weight)
    axis = output_axis(layer, weight)
    bias = _bias(layer, weight.shape[axis])
    dense = layer.op_type in ("MatMul", "Gemm")
    found = None if rank is None else affine(node, rank - 1 if dense else 1, rank)
    shared = len(layer.inputs[1].uses()) > 1 if layer.inputs[1] is not None else True
    if found is None or bias is None or shared or not np.isfinite(found.scale).all():
        return None
    if found.shift.any() and not _takes_shift(layer):
        return None
    groups = int(values.attribute(layer, "group", 1))
    inputs = weight.shape[1] * groups if layer.op_type == "Conv" else weight.shape[1 - axis if dense else 0]
    if found.channels not in (1, inputs):
        return None
    scale, shift = (np.broadcast_to(part, (inputs,)) for part in (found.scale, found.shift))
    if layer.op_type == "Conv":  # the input channels of output o: those of its group
        chosen = np.repeat(np.arange(inputs).reshape(groups, -1), weight.shape[0] // groups, axis=0)
        factor, offset = (
            part[chosen].reshape(*chosen.shape, *[1] * (weight.ndim - 2)) for part in (scale, shift)
        )
        added = (weight * offset).reshape(len(weight), -1).sum(axis=1)
    else:
        factor, offset = (_along(part, 1 - axis, weight.ndim) for part in (scale, shift))
        added = (weight * offset).sum(axis=1 - axis) if dense else np.zeros(1)
    return found.source, (weight * factor).astype(weight.dtype), (bias + added).astype(weight.dtype)


def _takes_shift(layer: ir.Node) -> bool:
    if layer.op_type == "Gemm":
        return True
    return layer.op_type == "Conv" and unpadded(layer)


# ------------------------------------------------------------------------------------------ layers


def unpadded(layer: ir.Node) -> bool:
    """Whether a convolution adds no zeros around its input."""
    return not any(values.attribute(layer, "pads", ())) and values.attribute(layer, "auto_pad", "NOTSET") in (
        "NOTSET",
        "VALID",
    )


def plain(layer: ir.Node) -> bool:
    """Whether a Gemm is ``x W + b`` without further factors; other layers are."""
    factors = (values.attribute(layer, "alpha", 1.0), values.attribute(layer, "beta", 1.0))
    return layer.op_type != "Gemm" or (factors == (1.0, 1.0) and not values.attribute(layer, "transA", 0))


def output_axis(layer: ir.Node, weight: Array) -> int:
    """The axis of the weight that holds the output channels."""
    if layer.op_type == "Gemm":
        return 0 if values.attribute(layer, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(layer.op_type, weight.ndim - 1)


def _bias(layer: ir.Node, channels: int) -> Array | None:
    """The layer's bias, zeros if it has none: float64[channels]; None where it is not known or of another form."""
    given = values.given(layer, 2)
    if given is None or layer.op_type == "MatMul":
        return np.zeros(channels)
    bias = values.constant(given)
    if bias is None or bias.size not in (1, channels) or (bias.ndim and bias.shape[-1] != bias.size):
        return None
    return np.broadcast_to(bias.reshape(-1).astype(np.float64), (channels,))


def _along(numbers: Array, axis: int, rank: int) -> Array:
    shape = [1] * rank
    shape[axis] = -1
    return numbers.reshape(shape)


def relayer(node: ir.Node, layer: ir.Node, weight: Array, bias: Array) -> bool:
    """Put a layer like `layer`, with other numbers, in the place of `node`; whether the graph allows it."""
    out = node.outputs[0]
    inputs = [layer.inputs[0], values.new_constant(node, weight, f"{out.name}.weight")]
    if layer.op_type != "MatMul" and (bias.any() or values.given(layer, 2) is not None):
        inputs.append(values.new_constant(node, bias, f"{out.name}.bias"))
    (made,) = values.insert(node, layer.op_type, inputs, dict(layer.attributes), name=f"{out.name}.fused")
    return values.replace(out, made)
