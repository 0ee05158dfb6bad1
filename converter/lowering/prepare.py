"""Brings a model to the form that the rules read: constants folded, unknown operators written out, shapes known."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from converter.autodiff.canonical import lift_constants, modern
from converter.autodiff.expand import expand, expandable, infer, learn
from converter.autodiff.graph import Graph
from converter.autodiff.registry import Node
from converter.autodiff.shapes import infer_shapes
from converter.lowering.builder import label
from converter.lowering.program import Free, Lengths
from converter.model import copy
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Dim

_KEPT = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Never folded: a constant behind them is one of integers."""
_SHAPES_ONLY = {
    "Reshape": 1,
    "Expand": 1,
    "Resize": 1,
    "Upsample": 1,
    "Split": 1,
    "Squeeze": 1,
    "Unsqueeze": 1,
}
"""Operators whose inputs from that one on say no more than the shape of the output, which is known."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph whose nodes all matter to its outputs, and what is known of every value."""

    graph: onnx.GraphProto
    shapes: Mapping[str, Lengths]
    types: Mapping[str, str]


def prepare(model: onnx.ModelProto, lengths: Mapping[str, int], known: Collection[str]) -> Prepared:
    """Prepare a copy of the model.

    Args:
        model: any inference graph.
        lengths: numbers for lengths that vary; those that are not named here stay free, and count as 1.
        known: operators that have a rule.

    Raises:
        ModelError: it cannot be brought to opset 21, or an operator cannot be written out.
    """
    made = modern(copy(model))
    lift_constants(made)
    _set_lengths(made.graph, lengths)
    inferred = infer_shapes(made)
    g = Graph([name for node in made.graph.node for name in node.output], inferred)
    for name in [name for name, shape in g.shapes.items() if any(str(dim).startswith("?") for dim in shape)]:
        del g.shapes[name]  # what is calculated on the way may tell more
    g.constants = {tensor.name: tensor for tensor in made.graph.initializer}
    for node in made.graph.node:
        _add(g, node, known)
    nodes = _needed(g.nodes, [value.name for value in made.graph.output])
    used = {name for node in nodes for name in node.input} | {value.name for value in made.graph.output}
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(tensor for name, tensor in g.constants.items() if name in used)
    shapes = {name: _lengths(shape) for name, shape in g.shapes.items()}
    return Prepared(
        made.graph,
        {name: shape for name, shape in shapes.items() if shape is not None},
        {name: _dtype(kind) for name, kind in g.types.items()},
    )


def _set_lengths(graph: onnx.GraphProto, lengths: Mapping[str, int]) -> None:
    free = {d.dim_param for value in graph.input for d in value.type.tensor_type.shape.dim if d.dim_param}
    for name in lengths:
        if name not in free:
            have = ", ".join(sorted(free)) or "none"
            raise ModelError(f"no length of an input is named '{name}'; those that vary: {have}")
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in lengths:
                dim.dim_value = lengths[dim.dim_param]


def _add(g: Graph, node: onnx.NodeProto, known: Collection[str]) -> None:
    """Keep the node, or what it is written out as, or nothing if it is a constant."""
    if node.op_type in _KEPT:
        infer(g, node)
    elif learn(g, node, ()):
        return
    if node.op_type in known or not expandable(node, g.opset):
        g.nodes.append(node)
        return
    parts = expand(g, Node.of(g, node))
    if parts is None:
        g.nodes.append(node)
        return
    for part in parts:
        _add(g, part, known)


def _needed(nodes: list[onnx.NodeProto], outputs: list[str]) -> list[onnx.NodeProto]:
    """The nodes whose results, and not only their shapes, reach an output."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        kept.append(node)
        wanted.update(node.input[: _SHAPES_ONLY.get(node.op_type, len(node.input))])
    return kept[::-1]


def _lengths(shape: tuple[Dim, ...]) -> Lengths | None:
    """The shape with 1 for each length that varies."""
    found: list[int] = []
    for dim in shape:
        if isinstance(dim, int):
            found.append(dim)
            continue
        factor, _, name = dim.rpartition("*")
        if name.startswith("?"):
            return None
        found.append(Free(int(factor or 1)))
    return tuple(found)


def _dtype(kind: int) -> str:
    if kind == onnx.TensorProto.BFLOAT16 or kind in (0, onnx.TensorProto.STRING):
        return "unknown"
    return str(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name)


def refuse_unknown(nodes: Iterable[onnx.NodeProto], known: Collection[str]) -> None:
    """Do nothing if every operator has a rule.

    Raises:
        ModelError: one has none.
    """
    for node in nodes:
        if node.op_type not in known or node.domain not in ("", "ai.onnx"):
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise ModelError(f"{label(node)}: the operator {name} has no form in TFLite")
