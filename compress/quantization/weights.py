r"""Weights as integers: symmetric, and with head-room where a processor adds pairs of products in 16 bits.

x86 without VNNI multiplies unsigned by signed bytes with VPMADDUBSW, which adds two neighbouring products along the
summed axis in saturating int16: ``a0 w0 + a1 w1`` with a in 0..255 must stay within -32768..32767. It does for every
input if ``max(w0, 0) + max(w1, 0) <= 128`` and ``min(w0, 0) + min(w1, 0) >= -128``. A channel that breaks this gets
a scale larger by just what its worst pair needs; all others keep the full 8 bits. The order of the summed axis is
that of ONNX Runtime's kernels: channels last, so (row, column, channel) of a convolution. A depthwise convolution has
a kernel of its own, which does not saturate.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from converter.model import attribute, output_axis
from edge_runtime.tensors import Array

PAIR = 128
"""Largest sum of two weights of one sign that 255 times stays within 16 bits."""


@dataclass(frozen=True, slots=True)
class Integers:
    """A quantised weight: ``weight ≈ scale * values`` along `axis`.

    `values` int8 of the weight's shape, `scale` float32[channels] or float32[].
    """

    scale: Array
    values: Array
    axis: int

    @property
    def restored(self) -> Array:
        """The weight as the quantised model has it: float32."""
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        restored: Array = self.values * self.scale.reshape(shape if self.scale.ndim else ())
        return restored


def integers(
    node: onnx.NodeProto, weight: Array, bits: int = 8, *, per_channel: bool = True, headroom: bool = False
) -> Integers:
    """The weight of a layer as integers.

    Args:
        node: the layer.
        weight: float32, as the layer reads it.
        bits: 2 to 8.
        per_channel: one scale an output channel.
        headroom: no pair of products may exceed 16 bits.
    """
    axis = output_axis(node, weight.ndim)
    scale, values = symmetric(weight, axis if per_channel else None, bits)
    if headroom and not depthwise(node, weight):
        scale = roomy(node, weight, scale)
        values = rounded(weight, scale, axis, bits)
        excess = worst_pair(rows(node, values)) > PAIR
        if excess.any():  # rounding may add one more to a pair that was made to fit exactly
            grown = scale * np.where(excess, np.float32(PAIR / (PAIR - 1.0)), np.float32(1))
            scale = np.asarray(grown if scale.ndim else grown.max(), np.float32)
            values = rounded(weight, scale, axis, bits)
    return Integers(scale, values, axis)


def symmetric(weight: Array, axis: int | None, bits: int = 8) -> tuple[Array, Array]:
    """Symmetric integers for a weight: ``weight ≈ scale * integers``.

    Args:
        weight: float32, any shape.
        axis: one scale for each index of this axis; None for one scale.
        bits: 2 to 8; fewer than 8 leave head-room in a 16-bit accumulator.

    Returns:
        scale float32[channels] or float32[], and int8 of the weight's shape. The error is at most scale / 2.
    """
    limit = 2 ** (bits - 1) - 1
    others = None if axis is None else tuple(k for k in range(weight.ndim) if k != axis % weight.ndim)
    peak = np.abs(weight).max(axis=others, keepdims=axis is not None)
    scale = np.maximum(peak / np.float32(limit), float(np.finfo(np.float32).tiny) * 256).astype(np.float32)
    values = np.clip(np.rint(weight / scale), -limit, limit).astype(np.int8)
    return scale.reshape(-1) if axis is not None else scale.reshape(()), values


def rounded(weight: Array, scale: Array, axis: int, bits: int = 8) -> Array:
    """Nearest integers for given scales: int8 of the weight's shape."""
    limit = 2 ** (bits - 1) - 1
    shape = [1] * weight.ndim
    shape[axis] = -1
    steps = scale.reshape(shape if scale.ndim else ())
    return np.clip(np.rint(weight / steps), -limit, limit).astype(np.int8)


def depthwise(node: onnx.NodeProto, weight: Array) -> bool:
    """Whether every output channel of a convolution reads one input channel alone."""
    return node.op_type == "Conv" and int(attribute(node, "group", 1)) > 1 and weight.shape[1] == 1


def rows(node: onnx.NodeProto, weight: Array) -> Array:
    """The weight as [output channels, summed values], the summed axis in the order in which a kernel adds it."""
    if node.op_type == "Conv":
        return np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    return np.moveaxis(weight, output_axis(node, weight.ndim), 0).reshape(
        weight.shape[output_axis(node, weight.ndim)], -1
    )


def worst_pair(weight: Array) -> Array:
    """Largest absolute sum of two neighbours of one sign: [channels, summed values] to [channels]."""
    wide = weight.astype(np.float64) if weight.dtype.kind == "f" else weight.astype(np.int64)
    if wide.shape[1] % 2:
        wide = np.concatenate([wide, np.zeros_like(wide[:, :1])], axis=1)
    pairs = wide.reshape(len(wide), -1, 2)
    return np.asarray(
        np.maximum(np.maximum(pairs, 0).sum(axis=2), -np.minimum(pairs, 0).sum(axis=2)).max(axis=1)
    )


def roomy(node: onnx.NodeProto, weight: Array, scale: Array) -> Array:
    """Scales with which no pair exceeds 16 bits: as `scale`, larger where they must be."""
    needed = worst_pair(rows(node, weight)) / PAIR
    if not scale.ndim:
        needed = needed.max()
    return np.maximum(scale, needed).astype(np.float32)
