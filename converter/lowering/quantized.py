"""Quantisation as TFLite has it, from QuantizeLinear and DequantizeLinear.

TFLite's kernels take int8: ``real = scale (q - z)``, activations per tensor, weights symmetric with one scale an output
channel, biases int32 with the scale of the accumulator (LiteRT 8-bit quantisation specification). uint8 becomes int8 by
taking 128 from the integers and from the zero point: the real values are the same.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from converter.lowering.program import Quantization
from converter.model import attribute
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_SHIFT = 128


def activation(constants: Mapping[str, Array], node: onnx.NodeProto) -> Quantization:
    """The quantisation of an activation, from its QuantizeLinear or DequantizeLinear.

    Raises:
        ModelError: it has no form in TFLite.
    """
    scale, zero = _parameters(constants, node)
    if scale.size != 1:
        raise ModelError(f"{_name(node)}: an activation needs one scale for TFLite, this has {scale.size}")
    if zero.dtype.name not in ("int8", "uint8"):
        raise ModelError(
            f"{_name(node)}: activations of {zero.dtype.name}; int8 and uint8 are accepted for TFLite"
        )
    shift = _SHIFT if zero.dtype == np.uint8 else 0
    return Quantization((float(scale.reshape(-1)[0]),), int(zero.reshape(-1)[0]) - shift)


def weight(constants: Mapping[str, Array], node: onnx.NodeProto) -> tuple[Array, Quantization] | None:
    """Integers and quantisation of a constant behind DequantizeLinear; None if TFLite has no form for it."""
    stored = constants[node.input[0]]
    scale, zero = _parameters(constants, node)
    if stored.dtype.name not in ("int8", "uint8", "int32") or scale.ndim > 1:
        return None
    if stored.dtype == np.uint8:
        stored, zero = (stored.astype(np.int16) - _SHIFT).astype(np.int8), zero.astype(np.int16) - _SHIFT
    if scale.size > 1 and np.any(zero):
        return None
    axis = int(attribute(node, "axis", 1)) % max(stored.ndim, 1)
    if scale.size > 1 and stored.shape[axis] != scale.size:
        return None
    found = Quantization(
        tuple(float(s) for s in scale.reshape(-1)), int(zero.reshape(-1)[0]), axis if scale.size > 1 else 0
    )
    return stored, found


def symmetric(quantization: Quantization) -> bool:
    """Whether integer kernels take it as a weight's."""
    return quantization.zero_point == 0


def accumulator(x: Quantization, w: Quantization) -> Quantization:
    """The quantisation of the sums of products: that of an int32 bias."""
    return Quantization(tuple(float(np.float32(x.scale[0]) * np.float32(s)) for s in w.scale), 0, 0)


def bias(values: Array, scales: Quantization) -> Array:
    """Real numbers as int32 of the accumulator."""
    limit = np.iinfo(np.int32).max
    rounded = np.clip(np.rint(values.astype(np.float64) / np.asarray(scales.scale)), -limit, limit)
    return np.asarray(rounded, np.int32)


def real(integers: Array, quantization: Quantization) -> Array:
    """The real numbers that a constant's integers stand for, in float32."""
    shape: list[Any] = [1] * integers.ndim
    if len(quantization.scale) > 1:
        shape[quantization.axis] = -1
    scale = np.asarray(quantization.scale, np.float32).reshape(shape)
    return np.asarray((integers.astype(np.float32) - quantization.zero_point) * scale, np.float32)


def _parameters(constants: Mapping[str, Array], node: onnx.NodeProto) -> tuple[Array, Array]:
    names = list(node.input[1:3])
    if any(name and name not in constants for name in names):
        raise ModelError(f"{_name(node)}: scale and zero point must be constants for TFLite")
    if attribute(node, "block_size", 0):
        raise ModelError(f"{_name(node)}: blocked quantisation has no form in TFLite")
    scale = constants[names[0]]
    if len(names) > 1 and names[1]:
        return scale, constants[names[1]]
    stored = constants.get(node.input[0])
    return scale, np.zeros(scale.shape, np.uint8 if stored is None else stored.dtype)


def _name(node: onnx.NodeProto) -> str:
    return f"node '{node.name or node.output[0]}' ({node.op_type})"
