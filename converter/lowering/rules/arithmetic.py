"""Operators of two values that broadcast."""

import numpy as np
import onnx

from converter.lowering.builder import Builder, given, label
from converter.lowering.layout import Order, natural, permuted
from converter.lowering.program import Lengths
from converter.lowering.registry import lowers
from edge_runtime.errors import ModelError

_CODES = {
    "Add": "ADD",
    "Sub": "SUB",
    "Mul": "MUL",
    "Div": "DIV",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Pow": "POW",
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
}
_IN_INTEGERS = frozenset({"Add", "Sub", "Mul"})


def common_order(b: Builder, names: list[str], rank: int) -> Order:
    """The order of the largest value that is no constant and has the full rank."""
    live = [name for name in names if name in b.values and b.rank(name) == rank]
    if not live:
        return natural(rank)
    return b.order(max(live, key=lambda name: int(np.prod(b.shape(name), dtype=np.int64))))


def broadcastable(b: Builder, name: str, order: Order, *, real: bool) -> int:
    """The tensor of a value that is to be broadcast against values held in `order`."""
    rank, shape = len(order), b.shape(name)
    missing = rank - len(shape)
    if name in b.constants and int(np.prod(shape, dtype=np.int64)) == 1:
        return b.array(b.constants[name].reshape(()))
    if not missing:
        return b.tensor(name, order, real=real)
    full: Lengths = (*[1] * missing, *shape)
    inner = tuple(axis - missing for axis in order if axis >= missing)
    held = b.tensor(name, inner, real=real)
    return b.reshape(held, permuted(full, order))


def _plain_integers(b: Builder, name: str) -> bool:
    return name in b.values or (len(b.weights[name][1].scale) == 1 and b.weights[name][0].dtype == np.int8)


@lowers(*_CODES)
def binary(b: Builder, node: onnx.NodeProto) -> None:
    """``x op y``; Max and Min also of more than two values."""
    names, out = list(node.input), node.output[0]
    if node.op_type == "Pow" and _power(b, node):
        return
    wanted = b.integer(node, names) if node.op_type in _IN_INTEGERS else None
    if wanted is not None and not all(_plain_integers(b, name) for name in names):
        wanted = None
    order = common_order(b, names, b.rank(out))
    tensors = [broadcastable(b, name, order, real=wanted is None) for name in names]
    if len(tensors) == 1:
        b.hold(out, tensors[0], order)
        return
    left = tensors[0]
    for k, right in enumerate(tensors[1:], 2):
        if k < len(tensors):
            made = b.temporary(permuted(b.shape(out), order), f"{out}.{k}", left)
        else:
            made = b.define(out, order, wanted)
        left = b.program.emit(_CODES[node.op_type], [left, right], made)


def _power(b: Builder, node: onnx.NodeProto) -> bool:
    exponent = b.constants.get(node.input[1])
    if exponent is None or exponent.size != 1 or float(exponent.reshape(())) not in (2.0, 0.5):
        return False
    code = "SQUARE" if float(exponent.reshape(())) == 2.0 else "SQRT"
    order = b.order(node.input[0])
    x = b.tensor(node.input[0], order, real=True)
    b.program.emit(code, [x], b.define(node.output[0], order))
    return True


@lowers("Sum", "Mean")
def several(b: Builder, node: onnx.NodeProto) -> None:
    """The sum, or mean, of any number of values."""
    out = node.output[0]
    order = common_order(b, list(node.input), b.rank(out))
    shape = permuted(b.shape(out), order)
    total = broadcastable(b, node.input[0], order, real=True)
    for k, name in enumerate(node.input[1:]):
        right = broadcastable(b, name, order, real=True)
        total = b.program.emit("ADD", [total, right], b.temporary(shape, f"{out}.{k}", total))
    factor = b.scalar(1 / len(node.input) if node.op_type == "Mean" else 1.0)
    b.program.emit("MUL", [total, factor], b.define(out, order))


@lowers("Mod")
def mod(b: Builder, node: onnx.NodeProto) -> None:
    """The remainder with the divisor's sign, as ONNX has it for integers."""
    if b.dtype(node.input[0]).startswith("float"):
        raise ModelError(f"{label(node)}: of floats has no form in TFLite")
    order = common_order(b, list(node.input), b.rank(node.output[0]))
    tensors = [broadcastable(b, name, order, real=True) for name in node.input]
    b.program.emit("FLOOR_MOD", tensors, b.define(node.output[0], order))


@lowers("Where")
def where(b: Builder, node: onnx.NodeProto) -> None:
    """``condition ? x : y``."""
    order = common_order(b, list(node.input), b.rank(node.output[0]))
    tensors = [broadcastable(b, name, order, real=True) for name in node.input]
    b.program.emit("SELECT_V2", tensors, b.define(node.output[0], order))


@lowers("PRelu")
def prelu(b: Builder, node: onnx.NodeProto) -> None:
    """``x`` where positive, else ``slope * x``; the slope has one value a channel."""
    x, out = node.input[0], node.output[0]
    order = b.order(x)
    slope = broadcastable(b, given(node, 1), order, real=True)
    held = b.program.tensors[slope]
    # The kernel wants a slope of one rank less than x; the batch's axis is the one without.
    if held.data is not None and order[0] == 0:
        full = np.broadcast_to(held.data, (1,) * (len(order) - held.data.ndim) + held.data.shape)
        slope = b.array(full.reshape(full.shape[1:] if full.ndim == len(order) else full.shape))
    b.program.emit("PRELU", [b.tensor(x, order, real=True), slope], b.define(out, order))
