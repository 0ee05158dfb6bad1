"""What every fusion asks of a graph in memory (`onnx_ir`), and the few ways in which it changes one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edge_runtime.tensors import Array

FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


def constant(value: ir.Value | None) -> Array | None:
    """The value as an array where it is known before a run."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The one number that a constant of one element is."""
    array = constant(value)
    return (
        float(array.reshape(())) if array is not None and array.size == 1 and array.dtype != object else None
    )


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """The value of an attribute, or `default`."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def given(node: ir.Node, k: int) -> ir.Value | None:
    """The k-th input, or None if it is left out."""
    return node.inputs[k] if k < len(node.inputs) else None


def made_by(value: ir.Value | None, *kinds: str) -> ir.Node | None:
    """The node that makes `value` as its first output, if it is one of these standard operators."""
    node = None if value is None else value.producer()
    if (
        node is None
        or node.domain not in ("", "ai.onnx")
        or node.op_type not in kinds
        or value is not node.outputs[0]
    ):
        return None
    return node


def alone(value: ir.Value) -> bool:
    """Whether exactly one input of one node reads the value, and the graph does not give it out."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def reader(value: ir.Value) -> ir.Node | None:
    """The only node that reads a value which is `alone`."""
    return next(iter(value.uses())).node if alone(value) else None


def place(value: ir.Value) -> int:
    """Which input of its only reader a value is that is `alone`."""
    return next(iter(value.uses())).idx


def rank(value: ir.Value) -> int | None:
    """Number of axes, where it is known."""
    return None if value.shape is None else len(value.shape)


def length(value: ir.Value, axis: int) -> int | None:
    """Length of one axis, where it is known and fixed."""
    if value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return None
    dim = value.shape[axis]
    return dim if isinstance(dim, int) else None


def opset(node: ir.Node) -> int:
    """The version of the standard operators that the node's model uses."""
    graph = node.graph
    return 0 if graph is None else graph.opset_imports.get("", graph.opset_imports.get("ai.onnx", 0))


def new_constant(at: ir.Node, array: Array, name: str) -> ir.Value:
    """A constant in the graph of `at`; a name that is taken gets a number."""
    graph = at.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError("a fusion works on graphs, not on functions")
    free, k = name, 1
    while free in graph.initializers:
        free, k = f"{name}.{k}", k + 1
    tensor = ir.tensor(np.asarray(array, order="C"), name=free)
    value = ir.Value(
        name=free, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype)
    )
    graph.register_initializer(value)
    return value


def insert(
    at: ir.Node,
    kind: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    name: str,
    count: int = 1,
) -> list[ir.Value]:
    """Put a node before `at` and return its outputs, called `name`, or `name.0`, `name.1` ... if there are several."""
    node = ir.node(kind, inputs, attributes, num_outputs=count, name=name)
    for k, out in enumerate(node.outputs):
        out.name = name if count == 1 else f"{name}.{k}"
        out.type = next((value.type for value in inputs if value is not None), None)
    if at.graph is None:
        raise TypeError("the node is no longer in a graph")
    at.graph.insert_before(at, node)
    return list(node.outputs)


def replace(old: ir.Value, new: ir.Value) -> bool:
    """Let those who read `old` read `new`; what only `old` needed goes. False where the signature forbids it."""
    producer = old.producer()
    if old.is_graph_output():
        if (
            new.is_graph_input()
            or new.is_graph_output()
            or new.is_initializer()
            or new.graph is not old.graph
        ):
            return False
        name, old.name = old.name, f"{old.name}.old"
        new.name = name
    new.shape = old.shape if old.shape is not None else new.shape
    new.type = old.type or new.type
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if producer is not None:
        discard(producer)
    return True


def discard(node: ir.Node) -> None:
    """Remove a node that nobody reads, and what was made for it alone."""
    if node.graph is None or any(out.uses() or out.is_graph_output() for out in node.outputs):
        return
    before = [value.producer() for value in node.inputs if value is not None]
    node.graph.remove(node, safe=True)
    for producer in before:
        if producer is not None:
            discard(producer)


def nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of the graph and of the graphs inside it, as they were when this was called."""
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if node.graph is not None and node.domain in ("", "ai.onnx"):
            yield node
