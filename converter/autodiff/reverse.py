"""Reverse mode: from the gradient of the outputs, node by node backwards, to the gradient of the weights."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import onnx
from onnx import helper

from converter.autodiff.canonical import IR, needed_opset
from converter.autodiff.graph import Graph, Value
from converter.autodiff.inline import uses
from converter.autodiff.registry import Node, gradient_of
from converter.autodiff.shapes import infer_shapes
from converter.autodiff.tape import record as record
from edge_runtime.errors import ModelError


def backward(
    g: Graph, tape: Sequence[Node], seeds: Mapping[str, Value], wanted: Collection[str]
) -> dict[str, Value]:
    """Write the backward nodes into `g`.

    Args:
        g: the graph that holds the forward nodes.
        tape: what `record` returned.
        seeds: the gradient of the loss with respect to the outputs, by the output's name.
        wanted: what the gradient is taken with respect to.

    Returns:
        The gradient for each of `wanted` that has one: that the loss depends on.

    Raises:
        ModelError: an operator on the way has no rule.
    """
    active = set(wanted).union(value.name for node in tape for value in node.outputs)
    parts: dict[str, list[Value]] = {name: [seed] for name, seed in seeds.items()}
    between: dict[str, Value] = {}
    for node in reversed(tape):
        arrived = [_total(g, parts.pop(out.name)) if out.name in parts else None for out in node.outputs]
        while arrived and arrived[-1] is None:
            arrived.pop()
        totals = zip(node.outputs, arrived, strict=False)
        between.update({out.name: total for out, total in totals if total is not None and out.name in wanted})
        if not arrived:
            continue
        found = gradient_of(node)(g, node, *arrived)
        gradients = [found] if found is None or isinstance(found, Value) else found
        for value, gradient in zip(node.inputs, gradients, strict=False):
            if value is not None and gradient is not None and value.name in active:
                parts.setdefault(value.name, []).append(gradient)
    return between | {name: _total(g, parts[name]) for name in wanted if name in parts}


def _total(g: Graph, parts: Sequence[Value]) -> Value:
    return parts[0] if len(parts) == 1 else g.op("Sum", *parts)


def prune(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes on which `outputs` depend, in order, and the names that they and the outputs use."""
    used = set(outputs)
    kept = []
    for node in reversed(list(nodes)):
        if not used.isdisjoint(node.output):
            kept.append(node)
            used.update(uses(node))
    return kept[::-1], used


def gradient_graph(model: onnx.ModelProto, wanted: Sequence[str]) -> onnx.ModelProto:
    """The vector-Jacobian product of a model with one output: the gradient of ``sum(output * cotangent)``.

    Args:
        model: a graph of default-domain operators, opset 21 or newer, constants as initializers.
        wanted: inputs, initializers or values between them, by name.

    Returns:
        A graph with the model's inputs and one more, "cotangent", of the output's shape; its outputs are the
        model's own output and ``d/NAME`` for each of `wanted`.

    Raises:
        ModelError: an operator on the way has no rule, or the output does not depend on one of `wanted`.
    """
    graph = model.graph
    shapes = infer_shapes(model)
    taken = [*shapes, *(name for node in graph.node for name in node.output)]
    out = graph.output[0]
    g = Graph(taken, shapes, helper.tensor_dtype_to_np_dtype(out.type.tensor_type.elem_type).name)
    g.constants.update({tensor.name: tensor for tensor in graph.initializer})
    tape = record(g, graph.node, wanted)
    seed = g.value(g.fresh("cotangent"))
    gradients = backward(g, tape, {out.name: seed}, wanted)
    outputs = [out]
    for name in wanted:
        if name not in gradients:
            raise ModelError(
                f"the output '{out.name}' does not depend on '{name}'; there is no gradient to compute"
            )
        g.nodes.append(helper.make_node("Identity", [gradients[name].name], [f"d/{name}"]))
        outputs.append(helper.make_tensor_value_info(f"d/{name}", g.elem_type, shapes[name]))
    nodes, used = prune(g.nodes, [value.name for value in outputs])
    inputs = [*graph.input, helper.make_tensor_value_info(seed.name, g.elem_type, g.shapes[out.name])]
    constants = [tensor for name, tensor in g.constants.items() if name in used]
    made = helper.make_graph(nodes, f"{graph.name} gradient", inputs, outputs, constants)
    opset = [helper.make_opsetid("", needed_opset(nodes, g.opset))]
    return helper.make_model(
        made, opset_imports=opset, ir_version=max(helper.find_min_ir_version_for(opset), IR)
    )
