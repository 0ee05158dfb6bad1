"""Convolutions: ordinary, grouped, depthwise and transposed."""

import numpy as np
import onnx

from converter.lowering import quantized
from converter.lowering.builder import Builder, given, label
from converter.lowering.pixels import joined
from converter.lowering.program import Free, Quantization
from converter.lowering.registry import lowers
from converter.lowering.window import (
    define_spatial,
    padded,
    spatial_input,
    spatial_shape,
    window,
)
from converter.model import attribute
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


def weight_array(b: Builder, node: onnx.NodeProto, k: int = 1) -> tuple[Array, Quantization | None]:
    """A layer's weight: real numbers, or integers and their quantisation.

    Raises:
        ModelError: it is no constant.
    """
    name = given(node, k)
    if name in b.weights:
        return b.weights[name]
    if name in b.constants:
        return b.constants[name], None
    raise ModelError(f"{label(node)}: its weight '{name}' must be a constant for TFLite")


def integer_target(b: Builder, node: onnx.NodeProto) -> Quantization | None:
    """The quantisation of a layer's output if activations, weight and bias allow an integer kernel."""
    wanted = b.integer(node, [node.input[0], node.input[1]])
    if wanted is None or node.input[1] not in b.weights:
        return None
    integers, scales = b.weights[node.input[1]]
    bias = given(node, 2)
    known = not bias or bias in b.constants or bias in b.weights
    return wanted if integers.dtype == np.int8 and quantized.symmetric(scales) and known else None


def place_weight(
    b: Builder, data: Array, quantization: Quantization | None, axis: int, *, real: bool, name: str
) -> int:
    """The constant tensor of a weight whose output channels lie on `axis`; dequantised if asked."""
    if quantization is not None and len(quantization.scale) > 1:
        quantization = Quantization(quantization.scale, 0, axis)
    made = b.array(np.ascontiguousarray(data), quantization, name)
    return b.real(made) if real else made


def bias_tensor(b: Builder, node: onnx.NodeProto, channels: int, scales: Quantization | None) -> int:
    """The bias as float32, or as int32 of the accumulator's quantisation `scales`; zeros if there is none."""
    name = given(node, 2)
    if scales is not None and name in b.weights and b.weights[name][0].dtype == np.int32:
        return b.array(b.weights[name][0].reshape(-1), scales, name)
    if not name:
        values = np.zeros(channels, np.float32)
    elif name in b.weights:
        values = quantized.real(*b.weights[name])
    elif name in b.constants:
        values = b.constants[name].astype(np.float32)
    else:
        return b.tensor(name, real=True)
    values = np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (channels,)))
    if scales is None:
        return b.array(values, None, name or "bias")
    return b.array(quantized.bias(values, scales), scales, name or "bias")


def accumulator(b: Builder, node: onnx.NodeProto, wanted: Quantization | None) -> Quantization | None:
    """The quantisation of the layer's bias; None in real numbers."""
    if wanted is None:
        return None
    x = b.quantization(node.input[0])
    assert x is not None  # noqa: S101  (integer_target looked)
    return quantized.accumulator(x, b.weights[node.input[1]][1])


@lowers("Conv")
def conv(b: Builder, node: onnx.NodeProto) -> None:
    """CONV_2D, also of groups, or DEPTHWISE_CONV_2D where each input channel is a group of its own."""
    x, out = node.input[0], node.output[0]
    weight, scales = weight_array(b, node)
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    w = window(b, node, attribute(node, "kernel_shape") or b.shape(node.input[1])[2:])
    group, wanted = int(attribute(node, "group", 1)), integer_target(b, node)
    real = wanted is None
    source = spatial_input(b, x, real=real)
    shape, places = b.program.tensors[source].shape, int(spatial_shape(b.shape(out))[2])
    if not real and group == 1 and not b.native and (found := joined(weight, w, shape[1:3], places)):
        weight, w = found
        source = b.reshape(source, (*shape[:2], shape[2] * shape[3] // weight.shape[1], weight.shape[1]))
    source, padding = padded(b, source, w)
    depthwise = group > 1 and group == b.shape(x)[1]
    axis = 3 if depthwise else 0
    held = weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1)
    filters = place_weight(b, held, scales, axis, real=real, name=node.input[1])
    bias = bias_tensor(b, node, weight.shape[0], accumulator(b, node, wanted))
    made = b.temporary(spatial_shape(b.shape(out)), out, "float32")
    if wanted is not None:
        b.program.tensors[made].dtype, b.program.tensors[made].quantization = "int8", wanted
    options = {"padding": padding} | w.options() | w.dilations()
    if depthwise:
        options["depthMultiplier"] = weight.shape[0] // group
    code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    b.program.emit(code, [source, filters, bias], made, **options)
    define_spatial(b, out, made)


@lowers("ConvTranspose")
def conv_transpose(b: Builder, node: onnx.NodeProto) -> None:
    """TRANSPOSE_CONV without padding, and what ONNX's padding cuts off taken away behind it."""
    x, out = node.input[0], node.output[0]
    weight, scales = weight_array(b, node)
    if int(attribute(node, "group", 1)) != 1 or any(d != 1 for d in attribute(node, "dilations", [])):
        raise ModelError(f"{label(node)}: groups and dilations have no form in TFLite")
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    stride, begin = _placement(b, node)
    wanted = integer_target(b, node)
    real = wanted is None
    source = spatial_input(b, x, real=real)
    n, h, w, _ = b.program.tensors[source].shape
    result = spatial_shape(b.shape(out))
    full = [(size - 1) * s + k for size, s, k in zip((h, w), stride, weight.shape[2:], strict=True)]
    size = [max(f, p + r) for f, p, r in zip(full, begin, result[1:3], strict=True)]
    if isinstance(n, Free):
        b.pin(f"{label(node)}: TRANSPOSE_CONV takes the shape of its output as a constant")
    whole = (n, *size, result[3])
    filters = place_weight(b, weight.transpose(1, 2, 3, 0), scales, 0, real=real, name=node.input[1])
    bias = bias_tensor(b, node, weight.shape[1], accumulator(b, node, wanted))
    made = b.temporary(whole, f"{out}.whole", "float32")
    if wanted is not None:
        b.program.tensors[made].dtype, b.program.tensors[made].quantization = "int8", wanted
    b.program.emit(
        "TRANSPOSE_CONV",
        [b.vector([int(k) for k in whole]), filters, source, bias],
        made,
        padding="VALID",
        strideH=stride[0],
        strideW=stride[1],
    )
    if whole != result:
        cut = b.temporary(result, out, made)
        sizes = [int(k) for k in result]
        made = b.program.emit("SLICE", [made, b.vector([0, *begin, 0]), b.vector(sizes)], cut)
    define_spatial(b, out, made)


def _placement(b: Builder, node: onnx.NodeProto) -> tuple[tuple[int, int], tuple[int, int]]:
    """Strides, and how much is cut off before the first place of the output."""
    rank = b.rank(node.input[0]) - 2
    if rank not in (1, 2):
        raise ModelError(f"{label(node)}: {rank} spatial axes; 1 and 2 have a form in TFLite")
    auto = attribute(node, "auto_pad", b"NOTSET").decode()
    if auto not in ("NOTSET", "VALID") or attribute(node, "output_shape"):
        raise ModelError(f"{label(node)}: auto_pad and output_shape are not accepted; give pads")
    stride = list(attribute(node, "strides", [1] * rank))
    begin = list(attribute(node, "pads", [0] * 2 * rank))[:rank]
    if rank == 1:
        stride, begin = [1, *stride], [0, *begin]
    return (stride[0], stride[1]), (begin[0], begin[1])
