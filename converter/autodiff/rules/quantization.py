"""Straight-through gradients of QuantizeLinear and DequantizeLinear, also to the scale.

With q = clip(round(x/s) + z) and y = (q - z)·s, and rounding passed as if it were not there::

    dx = dy where q is not clipped, else 0
    ds = dy·(round(x/s) - x/s) where q is not clipped, else dy·(q - z)

which is the learned step size of Esser et al., "Learned Step Size Quantization" (ICLR 2020), equation 3, without
its gradient scale. Between the two operators travels the gradient with respect to q, as if it were a real number.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule
from edge_runtime.errors import ModelError

_INTEGERS = {
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
}


@rule("QuantizeLinear", weights=(0,))
def quantize_linear(g: Graph, node: Node, dq: Value) -> Gradients:
    """q = clip(round(x/s) + z): dx = dq/s, ds = -dq·x/s², both 0 where q is clipped."""
    scale = _spread(g, node, node.input(1), node.x)
    ratio = node.x / scale
    lowest, highest = _limits(node)
    shifted = ratio
    if node.has(2):
        zero = g.op("Cast", node.input(2), to=g.elem_type)
        shifted = ratio + _spread(g, node, zero, node.x)
    inside = g.mask("GreaterOrEqual", shifted, lowest - 0.5) * g.mask("LessOrEqual", shifted, highest + 0.5)
    dx = dq * inside / scale
    return dx, _collected(g, node, -(dx * ratio), node.x)


@rule("DequantizeLinear")
def dequantize_linear(g: Graph, node: Node, dy: Value) -> Gradients:
    """y = (q - z)·s: dq = dy·s, ds = dy·y/s."""
    scale = _spread(g, node, node.input(1), node.y)
    return dy * scale, _collected(g, node, dy * (node.y / scale), node.y)


def _limits(node: Node) -> tuple[float, float]:
    kind = node.y.elem_type
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        return float(low), float(high)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    top = float(onnx.numpy_helper.to_array(helper.make_tensor("", kind, [1], [1e9]))[0]) if dtype else 0.0
    return -top, top


def _layout(node: Node, scale: Value, data: Value) -> tuple[int, int, int]:
    """The axis along which scales differ, its length, and how many elements share a scale; -1 for one scale."""
    if not scale.shape or scale.shape == (1,):
        return -1, 1, 1
    axis = node.attribute("axis", 1) % len(data.shape)
    length = data.shape[axis]
    if isinstance(length, str):
        raise ModelError(f"{node}: scales along axis {axis} need a fixed length there; got {data.shape}")
    return axis, length, int(node.attribute("block_size", 0) or 0)


def _spread(g: Graph, node: Node, scale: Value, data: Value) -> Value:
    """Scales or zero points in a shape that broadcasts with the data."""
    axis, length, block = _layout(node, node.input(1), data)
    if axis < 0:
        return scale
    if block:
        return g.op("Gather", scale, np.arange(length) // block, axis=axis)
    return g.reshape(scale, [-1, *[1] * (len(data.shape) - 1 - axis)])


def _collected(g: Graph, node: Node, gradient: Value, data: Value) -> Value:
    """The gradient of the scales from that of each element's own."""
    scale = node.input(1)
    axis, length, block = _layout(node, scale, data)
    rank = len(data.shape)
    if axis < 0:
        return g.reshape_like(g.sum(gradient, list(range(rank))), scale)
    if not block:
        return g.sum(gradient, [i for i in range(rank) if i != axis])
    count = math.ceil(length / block)
    order = [i for i in range(rank) if i != axis] + [axis]
    belongs = (np.arange(length)[:, None] // block == np.arange(count)).astype(g.dtype)
    summed = g.op("Transpose", gradient, perm=order) @ g.constant(belongs)
    return g.op("Transpose", summed, perm=[int(i) for i in np.argsort(order)])
