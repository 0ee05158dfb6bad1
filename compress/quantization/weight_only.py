"""Weight-only quantisation: weights as int8 or int4, everything calculated in float; it needs no data.

Stored are integers and one scale for every block of a row, symmetric: ``w ≈ s q``. In the form "cast" the weight is
``Cast(q) * s``, which an engine folds into a float constant when it loads the model: the file shrinks to a quarter or
an eighth, speed and kernels stay. In the form "dequantize" it is DequantizeLinear, which onnxruntime keeps and
runs in every inference (2.3 times the time of MobileNetV2) except before a MatMul, where it becomes MatMulNBits, a
kernel that reads four-bit weights as they are: the form for language models, which are bound by memory.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from compress.step import Work
from converter.model import (
    WEIGHTED,
    Model,
    constants,
    copy,
    load,
    output_axis,
    prune_unused,
    set_constant,
)
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_OPSET = 21  # the first with four-bit integers


@dataclass(frozen=True, slots=True)
class WeightOnly:
    """Parameters of the step: `bits` 8 or 4; `block`: values that share a scale, 0 for a whole row; `form`."""

    bits: int = 8
    block: int = 0
    form: str = "cast"

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return quantize_weights(model, self)


def quantize_weights(model: Model, options: WeightOnly | None = None) -> onnx.ModelProto:
    """Store the weights of every layer as integers.

    Args:
        model: float; or its path; it is not changed.
        options: how.

    Returns:
        The model with integer weights; biases and all arithmetic stay float.

    Raises:
        ModelError: the options are not valid, or the model is of an opset before 21.
    """
    chosen = options or WeightOnly()
    if chosen.bits not in (4, 8) or chosen.form not in ("cast", "dequantize") or chosen.block < 0:
        raise ModelError(
            f"weight-only: bits {chosen.bits}, block {chosen.block}, form '{chosen.form}'; "
            "expected 4 or 8, 0 or more, 'cast' or 'dequantize'"
        )
    result = copy(load(model))
    opset = next(each.version for each in result.opset_import if each.domain in ("", "ai.onnx"))
    if opset < _OPSET:
        raise ModelError(
            f"weight-only: the model is of opset {opset}; expected {_OPSET} or newer: optimise it first"
        )
    graph, known = result.graph, constants(result.graph)
    made: list[onnx.NodeProto] = []
    for node in graph.node:
        name = node.input[1] if node.op_type in WEIGHTED else ""
        if name not in known or known[name].dtype != np.float32:
            continue
        if not any(f"{name}.restored" in other.output for other in made):
            made += _restore(graph, node, name, known[name], chosen)
        node.input[1] = f"{name}.restored"
    if not made:
        raise ModelError("nothing to quantise: the model has no Conv, Gemm or MatMul with constant weights")
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*made, *rest])
    prune_unused(graph)
    onnx.checker.check_model(result)
    return result


def _restore(
    graph: onnx.GraphProto, node: onnx.NodeProto, name: str, weight: Array, options: WeightOnly
) -> list[onnx.NodeProto]:
    """Write the integers and scales of a weight, and the nodes that make the weight of them as ``NAME.restored``."""
    if options.form == "dequantize" and node.op_type == "MatMul" and weight.ndim == 2:
        return [_matrix(graph, name, weight, options)]
    axis = output_axis(node, weight.ndim)
    moved = np.moveaxis(weight, axis, 0)
    scale, integers = blocks(moved.reshape(len(moved), -1), options.bits, options.block)
    _store(graph, f"{name}.integers", integers, options.bits)
    set_constant(graph, f"{name}.shape", np.array(moved.shape, np.int64))
    out = f"{name}.restored" if axis == 0 else f"{name}.moved"
    if options.form == "cast":
        set_constant(graph, f"{name}.scale", scale[:, :, None])
        nodes = [
            helper.make_node("Cast", [f"{name}.integers"], [f"{name}.float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [f"{name}.blocks"]),
        ]
    else:
        set_constant(graph, f"{name}.scale", scale[:, :, None])
        size = integers.shape[2]
        nodes = [
            helper.make_node(
                "DequantizeLinear",
                [f"{name}.integers", f"{name}.scale"],
                [f"{name}.blocks"],
                axis=2,
                block_size=size,
            )
        ]
    nodes.append(helper.make_node("Reshape", [f"{name}.blocks", f"{name}.shape"], [out]))
    if axis:
        order = [*range(1, axis + 1), 0, *range(axis + 1, weight.ndim)]
        nodes.append(helper.make_node("Transpose", [out], [f"{name}.restored"], perm=order))
    return nodes


def _matrix(graph: onnx.GraphProto, name: str, weight: Array, options: WeightOnly) -> onnx.NodeProto:
    """The weight [k, n] of a MatMul in blocks along k: the pattern that becomes MatMulNBits."""
    scale, integers = blocks(weight.T, options.bits, options.block or 32)
    size = integers.shape[2]
    _store(graph, f"{name}.integers", integers.reshape(weight.T.shape).T, options.bits)
    set_constant(graph, f"{name}.scale", scale.T)
    parts = [f"{name}.integers", f"{name}.scale"]
    return helper.make_node("DequantizeLinear", parts, [f"{name}.restored"], axis=0, block_size=size)


def blocks(rows: Array, bits: int, size: int) -> tuple[Array, Array]:
    """Symmetric integers with one scale a block.

    Args:
        rows: float32[rows, k].
        bits: 4 or 8.
        size: values of a block, at most; taken is the largest divisor of k; 0 for k.

    Returns:
        scale float32[rows, blocks], and int8[rows, blocks, values]. The error is at most half the scale.
    """
    k = rows.shape[1]
    width = max(d for d in range(1, min(size or k, k) + 1) if k % d == 0)
    parts = rows.reshape(len(rows), -1, width)
    limit = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(parts).max(axis=2) / limit, np.finfo(np.float32).tiny * 256).astype(np.float32)
    return scale, np.clip(np.rint(parts / scale[:, :, None]), -limit, limit).astype(np.int8)


def _store(graph: onnx.GraphProto, name: str, integers: Array, bits: int) -> None:
    if bits == 8:
        set_constant(graph, name, integers)
        return
    flat = integers.reshape(-1).astype(np.uint8) & 15
    flat = np.append(flat, np.zeros(len(flat) % 2, np.uint8))
    packed = (flat[::2] | flat[1::2] << 4).tobytes()  # two in a byte, the first in the low half (onnx.proto)
    graph.initializer.append(helper.make_tensor(name, TensorProto.INT4, integers.shape, packed, raw=True))
