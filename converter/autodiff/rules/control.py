"""If, Loop and Scan, where it is known when the graph is compiled what they will do: written out.

Whatever stays open (a condition that depends on the data) has no gradient here.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.inline import inline
from converter.autodiff.registry import Node, expansion

_MAX_STEPS = 4096


@expansion("If", needs="a constant condition")
def if_(g: Graph, node: Node) -> Sequence[Value] | None:
    """The branch that the condition takes."""
    if node.x.name not in g.constants:
        return None
    taken = "then_branch" if bool(node.constant(0).all()) else "else_branch"
    return _body(g, node.attribute(taken, None), [])


@expansion("Loop", needs="a constant number of turns and no other condition")
def loop(g: Graph, node: Node) -> Sequence[Value] | None:
    """The body once for each turn; scan outputs are stacked along a new first axis."""
    body: onnx.GraphProto = node.attribute("body", None)
    turns = node.inputs[0]
    if turns is None or turns.name not in g.constants or not _goes_on(g, node, body):
        return None
    count = int(node.constant(0).ravel()[0])
    carried = [node.input(i) for i in range(2, len(node.inputs))]
    scanned: list[list[Value]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    if count > _MAX_STEPS or (count == 0 and scanned):
        return None
    for turn in range(count):
        given = [g.constant(np.array(turn)), g.constant(np.array(True)), *carried]
        found = _body(g, body, given)[1:]
        carried = found[: len(carried)]
        for column, value in zip(scanned, found[len(carried) :], strict=True):
            column.append(value)
    return [*carried, *(_stack(g, column, 0) for column in scanned)]


def _goes_on(g: Graph, node: Node, body: onnx.GraphProto) -> bool:
    """Whether the condition is true before the first turn and after each."""
    if node.has(1) and (node.input(1).name not in g.constants or not node.constant(1).all()):
        return False
    made = {name: inner for inner in body.node for name in inner.output}
    constants = {tensor.name: bool(numpy_helper.to_array(tensor).all()) for tensor in body.initializer}
    name = body.output[0].name
    while name in made and made[name].op_type == "Identity":
        name = made[name].input[0]
    if name in made and made[name].op_type == "Constant":
        return bool(numpy_helper.to_array(made[name].attribute[0].t).all())
    return name == body.input[1].name or constants.get(name, False)


@expansion("Scan", needs="a fixed length")
def scan(g: Graph, node: Node) -> Sequence[Value] | None:
    """The body once for each element along the scanned axes."""
    body: onnx.GraphProto = node.attribute("body", None)
    count = int(node.attribute("num_scan_inputs", 0))
    first = len(node.inputs) - count
    state = [node.input(i) for i in range(first)]
    in_axes = node.attribute("scan_input_axes", [0] * count)
    backwards = node.attribute("scan_input_directions", [0] * count)
    columns = []
    for index in range(count):
        column = unstack(g, node.input(first + index), in_axes[index])
        if column is None or len(column) > _MAX_STEPS:
            return None
        columns.append(column[::-1] if backwards[index] else column)
    results = len(body.output) - first
    scanned: list[list[Value]] = [[] for _ in range(results)]
    for row in zip(*columns, strict=True):
        found = _body(g, body, [*state, *row])
        state = found[:first]
        for column, value in zip(scanned, found[first:], strict=True):
            column.append(value)
    out_axes = node.attribute("scan_output_axes", [0] * results)
    reverse = node.attribute("scan_output_directions", [0] * results)
    stacked = [
        _stack(g, column[::-1] if back else column, axis)
        for column, axis, back in zip(scanned, out_axes, reverse, strict=True)
    ]
    return [*state, *stacked]


def unstack(g: Graph, x: Value, axis: int) -> list[Value] | None:
    """The slices of `x` along an axis, without it; None if its length varies."""
    length = x.shape[axis]
    if not isinstance(length, int):
        return None
    axis %= len(x.shape)
    if length == 1:
        return [g.op("Squeeze", x, [axis])]
    parts = g.ops("Split", x, [1] * length, outputs=length, axis=axis)
    return [g.op("Squeeze", part, [axis]) for part in parts]


def _stack(g: Graph, values: Sequence[Value], axis: int) -> Value:
    parts = [g.op("Unsqueeze", value, [axis]) for value in values]
    return parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=axis)


def _body(g: Graph, graph: onnx.GraphProto, inputs: Sequence[Value]) -> list[Value]:
    """A copy of a body, applied to `inputs`; its outputs."""
    names = {value.name: given.name for value, given in zip(graph.input, inputs, strict=True)}
    for tensor in graph.initializer:
        names[tensor.name] = g.constant(numpy_helper.to_array(tensor)).name
    inline(g, graph.node, names)
    return [g.value(names.get(value.name, value.name)) for value in graph.output]
