"""Pools over windows; global ones are reductions."""

from collections.abc import Sequence

import numpy as np
import onnx

from converter.lowering import quantized
from converter.lowering.builder import Builder, label
from converter.lowering.program import Lengths, Quantization, Tensor
from converter.lowering.registry import lowers
from converter.lowering.window import (
    LOWEST,
    Window,
    define_spatial,
    padded,
    spatial_input,
    spatial_shape,
    window,
)
from converter.model import attribute
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@lowers("MaxPool")
def max_pool(b: Builder, node: onnx.NodeProto) -> None:
    """MAX_POOL_2D; integers stay integers of the same scale."""
    x, out = node.input[0], node.output[0]
    if len(node.output) > 1 and node.output[1]:
        raise ModelError(f"{label(node)}: the indices of the maxima have no form in TFLite")
    w = _without_dilation(node, window(b, node, attribute(node, "kernel_shape")))
    source, padding = padded(b, spatial_input(b, x, real=False), w, LOWEST)
    _emit(b, "MAX_POOL_2D", source, b.temporary(spatial_shape(b.shape(out)), out, source), w, padding)
    define_spatial(b, out, b.program.operators[-1].outputs[0])


@lowers("AveragePool")
def average_pool(b: Builder, node: onnx.NodeProto) -> None:
    """AVERAGE_POOL_2D; where the padding is counted otherwise, the kernel's own mean is corrected."""
    x, out = node.input[0], node.output[0]
    w = _without_dilation(node, window(b, node, attribute(node, "kernel_shape")))
    size, shape = spatial_shape(b.shape(x)), spatial_shape(b.shape(out))
    counted = _counts(node, w, size, shape)
    area = w.kernel[0] * w.kernel[1]
    wanted = b.integer(node, [x])
    if wanted is not None and (counted == area).all():
        define_spatial(b, out, _integer_mean(b, spatial_input(b, x, real=False), w, shape, wanted))
        return
    source, padding = spatial_input(b, x, real=True), "VALID"
    inside = any((*w.before, *w.behind)) and (counted == _inside(w, size, shape)).all()
    if inside and w.is_same(size[1:3]):
        padding, counted = "SAME", np.full(counted.shape, float(area))
    elif any((*w.before, *w.behind)):
        source, padding = padded(b, source, _explicit(w))
    made = b.temporary(shape, out, source)
    _emit(b, "AVERAGE_POOL_2D", source, made, w, padding)
    if (counted != area).any():
        factor = b.array((area / counted).astype(np.float32)[None, :, :, None])
        made = b.program.emit("MUL", [made, factor], b.temporary(shape, f"{out}.corrected", made))
    define_spatial(b, out, made)


def _integer_mean(b: Builder, source: int, w: Window, shape: Lengths, wanted: Quantization) -> int:
    """The mean as a depthwise convolution with ones, whose scale divides: exact, and rescaled in the same step.

    AVERAGE_POOL_2D keeps the scale of its input, and XNNPACK has none for integers.
    """
    source, padding = padded(b, source, _explicit(w))
    channels, area = int(shape[3]), w.kernel[0] * w.kernel[1]
    scales = Quantization((1 / area,) * channels, 0, 3 if channels > 1 else 0)
    ones = b.array(np.ones((1, *w.kernel, channels), np.int8), scales)
    given = b.program.tensors[source].quantization
    assert given is not None  # noqa: S101  (`integer` looked)
    sums = quantized.accumulator(given, scales)
    zeros = b.array(np.zeros(channels, np.int32), sums)
    made = b.program.add(Tensor("mean", shape, "int8", quantization=wanted))
    options = {"padding": padding, "depthMultiplier": 1, **w.options(), **w.dilations()}
    return b.program.emit("DEPTHWISE_CONV_2D", [source, ones, zeros], made, **options)


def _emit(b: Builder, code: str, source: int, made: int, w: Window, padding: str) -> None:
    sides = {"filterHeight": w.kernel[0], "filterWidth": w.kernel[1]}
    b.program.emit(code, [source], made, padding=padding, **w.options(), **sides)


def _without_dilation(node: onnx.NodeProto, w: Window) -> Window:
    if w.dilation != (1, 1):
        raise ModelError(f"{label(node)}: a dilated pool has no form in TFLite")
    return w


class _Explicit(Window):
    """A window that is never SAME, so that its zeros are written out and counted."""

    def is_same(self, size: Sequence[int]) -> bool:
        return False


def _explicit(w: Window) -> Window:
    return _Explicit(w.kernel, w.stride, w.dilation, w.before, w.behind)


def _counts(node: onnx.NodeProto, w: Window, size: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """By how many elements each place of the output is divided, float64[h, w]."""
    if not attribute(node, "count_include_pad", 0):
        return _inside(w, size, shape)
    pads = list(attribute(node, "pads", [0, 0, 0, 0]))
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
    if attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        pads = [*w.before, *w.behind]
    rows, columns = (_covered(w, k, shape[1 + k], -w.before[k], size[1 + k] + pads[2 + k]) for k in range(2))
    return np.outer(rows, columns)


def _inside(w: Window, size: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """How many elements of the input each window covers."""
    rows, columns = (_covered(w, k, shape[1 + k], 0, size[1 + k]) for k in range(2))
    return np.outer(rows, columns)


def _covered(w: Window, k: int, places: int, low: int, high: int) -> Array:
    start = np.arange(places) * w.stride[k] - w.before[k]
    return (np.minimum(start + w.kernel[k], high) - np.maximum(start, low)).astype(np.float64)
