"""Normalisations, written in means and products: TFLite has no operators for them."""

from collections.abc import Sequence

import numpy as np
import onnx

from converter.lowering.builder import Builder, given
from converter.lowering.layout import Order, natural
from converter.lowering.program import Lengths, pattern
from converter.lowering.registry import lowers
from converter.lowering.rules.arithmetic import broadcastable
from converter.model import attribute
from edge_runtime.tensors import Array


class _Normal:
    """``(x - mean) / sqrt(variance + epsilon)`` over `axes` of the tensor `source`."""

    def __init__(self, b: Builder, name: str, source: int, axes: Sequence[int]) -> None:
        self.b, self.name, self.axes = b, name, list(axes)
        self.shape = b.program.tensors[source].shape
        self.small: Lengths = tuple(1 if k in self.axes else n for k, n in enumerate(self.shape))

    def emit(self, code: str, tensors: Sequence[int], shape: Lengths, **options: bool) -> int:
        made = self.b.temporary(shape, f"{self.name}.{code.lower()}", "float32")
        return self.b.program.emit(code, tensors, made, **options)

    def mean(self, source: int) -> int:
        return self.emit("MEAN", [source, self.b.vector(self.axes)], self.small, keepDims=True)

    def over_root(self, centred: int, epsilon: float) -> int:
        """``centred / sqrt(mean(centred ** 2) + epsilon)``."""
        b = self.b
        variance = self.mean(self.emit("MUL", [centred, centred], self.shape))
        moved = self.emit("ADD", [variance, b.scalar(epsilon)], self.small)
        return self.emit("MUL", [centred, self.emit("RSQRT", [moved], self.small)], self.shape)

    def __call__(self, source: int, epsilon: float) -> int:
        return self.over_root(self.emit("SUB", [source, self.mean(source)], self.shape), epsilon)

    def affine(self, source: int, scale: int | None, bias: int | None, out: int) -> int:
        """``source * scale + bias`` into the tensor `out`."""
        parts = [(c, t) for c, t in (("MUL", scale), ("ADD", bias)) if t is not None]
        if not parts:
            return self.b.program.emit("RESHAPE", [source, self.b.vector(pattern(self.shape))], out)
        for k, (code, tensor) in enumerate(parts):
            last = k + 1 == len(parts)
            source = (
                self.b.program.emit(code, [source, tensor], out)
                if last
                else self.emit(code, [source, tensor], self.shape)
            )
        return source


@lowers("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_normalization(b: Builder, node: onnx.NodeProto) -> None:
    """Over the axes from `axis` on; RMSNormalization does not subtract the mean."""
    x, out = node.input[0], node.output[0]
    rank, order = b.rank(x), b.order(x)
    axes = range(int(attribute(node, "axis", -1)) % rank, rank)
    epsilon = float(attribute(node, "epsilon", 1e-5))
    source = b.tensor(x, order, real=True)
    normal = _Normal(b, out, source, sorted(order.index(axis) for axis in axes))
    found = (
        normal(source, epsilon) if node.op_type == "LayerNormalization" else normal.over_root(source, epsilon)
    )
    parts = [broadcastable(b, given(node, k), order, real=True) if given(node, k) else None for k in (1, 2)]
    normal.affine(found, parts[0], parts[1], b.define(out, order))


@lowers("InstanceNormalization")
def instance_normalization(b: Builder, node: onnx.NodeProto) -> None:
    """Over the places of each channel."""
    x, out = node.input[0], node.output[0]
    rank, order = b.rank(x), b.order(x)
    source = b.tensor(x, order, real=True)
    normal = _Normal(b, out, source, sorted(order.index(axis) for axis in range(2, rank)))
    parts = [_per_channel(b, b.constant(node, k), order) for k in (1, 2)]
    found = normal(source, float(attribute(node, "epsilon", 1e-5)))
    normal.affine(found, parts[0], parts[1], b.define(out, order))


@lowers("GroupNormalization")
def group_normalization(b: Builder, node: onnx.NodeProto) -> None:
    """Over the places and channels of each group."""
    x, out = node.input[0], node.output[0]
    shape, groups = b.shape(x), int(attribute(node, "num_groups"))
    source = b.tensor(x, real=True)
    split = b.reshape(source, (shape[0], groups, shape[1] // groups, *shape[2:]))
    normal = _Normal(b, out, split, range(2, len(shape) + 1))
    flat = b.reshape(normal(split, float(attribute(node, "epsilon", 1e-5))), shape)
    order = natural(len(shape))
    parts = [_per_channel(b, b.constant(node, k), order) for k in (1, 2)]
    _Normal(b, out, flat, [1]).affine(flat, parts[0], parts[1], b.define(out))


@lowers("BatchNormalization")
def batch_normalization(b: Builder, node: onnx.NodeProto) -> None:
    """One factor and one summand a channel: what `optimize` could not take into a layer."""
    x, out = node.input[0], node.output[0]
    order = b.order(x)
    scale, bias, mean, variance = (np.asarray(b.constant(node, k), np.float64) for k in (1, 2, 3, 4))
    factor = scale / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    source = b.tensor(x, order, real=True)
    parts = [_per_channel(b, part.astype(np.float32), order) for part in (factor, bias - mean * factor)]
    _Normal(b, out, source, [0]).affine(source, parts[0], parts[1], b.define(out, order))


def _per_channel(b: Builder, values: Array | None, order: Order) -> int | None:
    if values is None:
        return None
    shape = [1] * len(order)
    shape[1] = -1
    return b.array(values.reshape(shape).transpose(order))
