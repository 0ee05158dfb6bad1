"""Operators that reduce axes, and Softmax."""

import numpy as np
import onnx

from converter.lowering.builder import Builder, given, label
from converter.lowering.layout import last, natural, permuted, without
from converter.lowering.registry import lowers
from converter.lowering.rules.unary import fixed_output
from converter.model import attribute
from edge_runtime.errors import ModelError

_CODES = {
    "ReduceMean": "MEAN",
    "ReduceSum": "SUM",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
    "ReduceL1": "SUM",
    "ReduceL2": "SUM",
    "ReduceSumSquare": "SUM",
    "GlobalAveragePool": "MEAN",
    "GlobalMaxPool": "REDUCE_MAX",
}
_BEFORE = {"ReduceL1": "ABS", "ReduceL2": "SQUARE", "ReduceSumSquare": "SQUARE"}


@lowers(*_CODES)
def reduce(b: Builder, node: onnx.NodeProto) -> None:
    """One operator; what a norm takes before and after it as well."""
    x, out = node.input[0], node.output[0]
    rank, order = b.rank(x), b.order(x)
    if node.op_type.startswith("Global"):
        axes, keep = list(range(2, rank)), True
    else:
        axes, keep = _axes(b, node, rank), bool(attribute(node, "keepdims", 1))
    if not axes:
        b.hold(out, b.tensor(x, order), order)
        return
    wanted = b.integer(node, [x]) if _CODES[node.op_type] in ("MEAN",) else None
    source = b.tensor(x, order, real=wanted is None)
    before = _BEFORE.get(node.op_type)
    if before is not None:
        made = b.temporary(permuted(b.shape(x), order), f"{out}.{before.lower()}", source)
        source = b.program.emit(before, [source], made)
    places = b.vector(sorted(order.index(axis) for axis in axes))
    after = order if keep else without(order, axes)
    code = _CODES[node.op_type]
    if node.op_type == "ReduceL2":
        total = b.temporary(permuted(b.shape(out), after), f"{out}.sum", source)
        b.program.emit(code, [source, places], total, keepDims=keep)
        b.program.emit("SQRT", [total], b.define(out, after))
        return
    b.program.emit(code, [source, places], b.define(out, after, wanted), keepDims=keep)


def _axes(b: Builder, node: onnx.NodeProto, rank: int) -> list[int]:
    found = b.constant(node, 1) if given(node, 1) else attribute(node, "axes")
    if found is None or len(found) == 0:
        return [] if attribute(node, "noop_with_empty_axes", 0) else list(range(rank))
    return sorted(int(axis) % rank for axis in found)


@lowers("Softmax", "LogSoftmax")
def softmax(b: Builder, node: onnx.NodeProto) -> None:
    """Along one axis, which the kernel wants to be the last."""
    x, out = node.input[0], node.output[0]
    rank = b.rank(x)
    order = last(b.order(x), int(attribute(node, "axis", -1)) % rank)
    if node.op_type == "LogSoftmax":
        b.program.emit("LOG_SOFTMAX", [b.tensor(x, order, real=True)], b.define(out, order))
        return
    wanted = fixed_output(b, node, b.integer(node, [x]))
    source = b.tensor(x, order, real=wanted is None)
    b.program.emit("SOFTMAX", [source], b.define(out, order, wanted), beta=1.0)


@lowers("ArgMax", "ArgMin")
def arg(b: Builder, node: onnx.NodeProto) -> None:
    """The index of the largest, or smallest; the first of equal ones."""
    if attribute(node, "select_last_index", 0):
        raise ModelError(f"{label(node)}: select_last_index has no form in TFLite")
    x, out = node.input[0], node.output[0]
    rank, order = b.rank(x), b.order(x)
    axis = int(attribute(node, "axis", 0)) % rank
    source = b.tensor(x, order)
    after = without(order, [axis])
    code = "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN"
    place = b.scalar(order.index(axis), "int32")
    if not attribute(node, "keepdims", 1):
        b.program.emit(code, [source, place], b.define(out, after), outputType="int64")
        return
    shape = permuted(b.shape(x), tuple(k for k in order if k != axis))
    made = b.program.emit(
        code, [source, place], b.temporary(shape, f"{out}.index", "int64"), outputType="int64"
    )
    b.hold(out, b.reshape(made, permuted(b.shape(out), order)), order)


@lowers("CumSum")
def cumsum(b: Builder, node: onnx.NodeProto) -> None:
    """Running sums along a constant axis."""
    axis = b.constant(node, 1)
    x, out = node.input[0], node.output[0]
    order = natural(b.rank(x))
    place = b.scalar(int(np.asarray(axis).reshape(())) % len(order), "int32")
    b.program.emit(
        "CUMSUM",
        [b.tensor(x, order, real=True), place],
        b.define(out, order),
        exclusive=bool(attribute(node, "exclusive", 0)),
        reverse=bool(attribute(node, "reverse", 0)),
    )
