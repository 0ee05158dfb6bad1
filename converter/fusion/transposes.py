"""Transposes that cancel across elementwise operators, as converters between channel orders leave them behind."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from converter.fusion import values

_UNARY = frozenset(
    {"Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu", "Mish", "Softplus"}
    | {"Erf", "Neg", "Abs", "Sqrt", "Exp", "Log", "Reciprocal", "Cast", "Identity", "Clip"}
)  # fmt: skip
_BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"})


def cancel_transposes(last: ir.Node) -> bool:
    """Move a Transpose up through elementwise operators to the one before, where both become one or none."""
    perm = _permutation(last)
    value = last.inputs[0] if last.inputs else None
    if perm is None or value is None:
        return False
    chain: list[tuple[ir.Node, int]] = []
    while True:
        node = value.producer()
        if node is None or node.graph is not last.graph or not values.alone(value):
            return False
        first = _permutation(node)
        if first is not None:
            break
        place = _elementwise(node, len(perm))
        if place is None:
            return False
        chain.append((node, place))
        value = node.inputs[place]
        if value is None:
            return False
    return _rebuild(last, node, [first[k] for k in perm], perm, chain)


def _rebuild(
    last: ir.Node, first: ir.Node, joined: list[int], perm: Sequence[int], chain: list[tuple[ir.Node, int]]
) -> bool:
    """Write `first`, `chain` and `last` as one Transpose (or none) and the chain on the other axes."""
    name = last.outputs[0].name
    source = first.inputs[0]
    if source is None or (
        not chain
        and joined == sorted(joined)
        and source.is_graph_input()
        and last.outputs[0].is_graph_output()
    ):
        return False
    value = source
    if joined != sorted(joined):
        (value,) = values.insert(last, "Transpose", [source], {"perm": joined}, name=f"{name}.transposed")
    for k, (node, place) in enumerate(reversed(chain)):
        inputs = [
            _moved(last, given, perm, f"{name}.{k}") if p != place else value
            for p, given in enumerate(node.inputs)
        ]
        (value,) = values.insert(
            last, node.op_type, inputs, dict(node.attributes), name=f"{name}.{node.op_type}.{k}"
        )
        value.type = node.outputs[0].type
    return values.replace(last.outputs[0], value)


def join_transposes(node: ir.Node) -> bool:
    """Write an operator on two values that are transposed alike as one Transpose behind it."""
    if node.op_type not in _BINARY or len(node.inputs) != 2:
        return False
    sources = [values.made_by(value, "Transpose") for value in node.inputs]
    perms = [None if source is None else _permutation(source) for source in sources]
    if sources[0] is sources[1] or perms[0] is None or perms[0] != perms[1]:
        return False
    if not all(value is not None and values.alone(value) for value in node.inputs):
        return False
    inputs = [source.inputs[0] for source in sources if source is not None]
    name = node.outputs[0].name
    (value,) = values.insert(node, node.op_type, inputs, name=f"{name}.joined")
    (value,) = values.insert(node, "Transpose", [value], {"perm": perms[0]}, name=f"{name}.transposed")
    return values.replace(node.outputs[0], value)


def _permutation(node: ir.Node) -> list[int] | None:
    perm = values.attribute(node, "perm") if node.op_type == "Transpose" and node.domain == "" else None
    return None if perm is None else list(perm)


def _elementwise(node: ir.Node, rank: int) -> int | None:
    """Which input of an elementwise operator varies; None if it is none, or another varies too."""
    if node.domain != "" or len(node.outputs) != 1:
        return None
    if node.op_type in _UNARY:
        return 0
    if node.op_type not in _BINARY or len(node.inputs) != 2:
        return None
    arrays = [values.constant(value) for value in node.inputs]
    varying = [place for place, array in enumerate(arrays) if array is None]
    fits = all(array is None or array.size == 1 or array.ndim <= rank for array in arrays)
    return varying[0] if len(varying) == 1 and fits else None


def _moved(at: ir.Node, value: ir.Value | None, perm: Sequence[int], name: str) -> ir.Value | None:
    array = values.constant(value)
    if array is None or array.size == 1:
        return value
    wide = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return values.new_constant(at, np.transpose(wide, perm), f"{name}.constant")
