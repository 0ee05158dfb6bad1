"""Products of matrices."""

import numpy as np
import onnx

from converter.lowering.builder import Builder, given, label
from converter.lowering.layout import last, natural
from converter.lowering.program import Lengths
from converter.lowering.registry import lowers
from converter.lowering.rules.arithmetic import broadcastable
from converter.lowering.rules.convolution import (
    accumulator,
    bias_tensor,
    integer_target,
    place_weight,
    weight_array,
)
from converter.model import attribute
from edge_runtime.errors import ModelError


@lowers("Gemm")
def gemm(b: Builder, node: onnx.NodeProto) -> None:
    """``alpha A B + beta C``: FULLY_CONNECTED where B is constant."""
    alpha, beta = (float(attribute(node, name, 1.0)) for name in ("alpha", "beta"))
    flat = not given(node, 2) or _is_row(b, node.input[2])
    if not _constant(b, node.input[1]) or attribute(node, "transA", 0) or not flat or alpha != 1 or beta != 1:
        _written_out(b, node, alpha, beta)
        return
    weight, scales = weight_array(b, node)
    axis = 0 if attribute(node, "transB", 0) else 1
    held = weight if axis == 0 else weight.T
    wanted = integer_target(b, node)
    filters = place_weight(b, held, scales, 0, real=wanted is None, name=node.input[1])
    source = b.tensor(node.input[0], real=wanted is None)
    bias = bias_tensor(b, node, held.shape[0], accumulator(b, node, wanted))
    made = b.define(node.output[0], None, wanted)
    b.program.emit("FULLY_CONNECTED", [source, filters, bias], made, keepNumDims=False)


@lowers("MatMul")
def matmul(b: Builder, node: onnx.NodeProto) -> None:
    """``A B``, of the last two axes: FULLY_CONNECTED where B is a constant matrix."""
    left, right = node.input[:2]
    out = node.output[0]
    if min(b.rank(left), b.rank(right)) < 2:
        raise ModelError(f"{label(node)}: the product with a vector has no form in TFLite")
    if not (_constant(b, right) and b.rank(right) == 2):
        wanted = b.integer(node, [left, right])
        if any(name in b.weights for name in (left, right)):
            wanted = None
        made = _product(b, left, right, b.shape(out), out, real=wanted is None)
        b.program.tensors[made].quantization = wanted
        b.program.tensors[made].dtype = "int8" if wanted is not None else b.dtype(out)
        b.hold(out, made)
        return
    weight, scales = weight_array(b, node)
    wanted = integer_target(b, node)
    rank = b.rank(left)
    order = last(b.order(left), rank - 1)
    filters = place_weight(b, weight.T, scales, 0, real=wanted is None, name=right)
    source = b.tensor(left, order, real=wanted is None)
    bias = bias_tensor(b, node, weight.shape[1], accumulator(b, node, wanted))
    made = b.define(out, order, wanted)
    b.program.emit("FULLY_CONNECTED", [source, filters, bias], made, keepNumDims=rank > 2)


def _product(b: Builder, left: str, right: str, shape: Lengths, out: str, *, real: bool) -> int:
    """BATCH_MATMUL; an operand whose last two axes lie the other way round is taken as it lies."""
    tensors, flags = [], []
    for name in (left, right):
        rank = b.rank(name)
        plain = natural(rank)
        turned = (*plain[:-2], rank - 1, rank - 2)
        order = b.order(name)
        swap = name == right and order.index(rank - 1) < order.index(rank - 2)
        tensors.append(b.tensor(name, turned if swap else plain, real=real))
        flags.append(swap)
    made = b.temporary(shape, out, "float32")
    return b.program.emit("BATCH_MATMUL", tensors, made, adjX=flags[0], adjY=flags[1])


def _written_out(b: Builder, node: onnx.NodeProto, alpha: float, beta: float) -> None:
    """A Gemm in single operators, in real numbers."""
    out, shape = node.output[0], b.shape(node.output[0])
    turned = [bool(attribute(node, name, 0)) for name in ("transA", "transB")]
    orders = [(1, 0) if flag else (0, 1) for flag in turned]
    tensors = [b.tensor(name, order, real=True) for name, order in zip(node.input[:2], orders, strict=True)]
    made = b.program.emit("BATCH_MATMUL", tensors, b.temporary(shape, f"{out}.product", "float32"))
    if alpha != 1.0:
        scaled = b.temporary(shape, f"{out}.scaled", "float32")
        made = b.program.emit("MUL", [made, b.scalar(alpha)], scaled)
    if given(node, 2):
        bias = broadcastable(b, node.input[2], natural(2), real=True)
        if beta != 1.0:
            scaled = b.temporary(b.program.tensors[bias].shape, f"{out}.bias", "float32")
            bias = b.program.emit("MUL", [bias, b.scalar(beta)], scaled)
        made = b.program.emit("ADD", [made, bias], b.temporary(shape, f"{out}.sum", "float32"))
    b.hold(out, made)


def _constant(b: Builder, name: str) -> bool:
    return name in b.constants or name in b.weights


def _is_row(b: Builder, name: str) -> bool:
    shape = b.shape(name)
    return _constant(b, name) and int(np.prod(shape, dtype=np.int64)) == (shape[-1] if shape else 1)
