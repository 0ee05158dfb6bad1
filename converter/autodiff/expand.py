"""Writing an operator out in simpler ones, which have rules.

What is written is looked at node by node: its shapes and types are inferred, and what can be calculated now
becomes a constant. Bodies that fit every case, as ONNX's own functions do, are full of such arithmetic on
shapes. Where a length varies, it is calculated with the two sets of primes of `converter.autodiff.shapes`: what
is equal in both is a constant, and the rest is known well enough for the shapes that depend on it.
"""

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from converter.autodiff.canonical import content_of
from converter.autodiff.graph import Graph, Value
from converter.autodiff.inline import has_function, write_function
from converter.autodiff.registry import EXPANSIONS, RULES, STOPS, Node
from converter.autodiff.shapes import both, shape_of
from edge_runtime.tensors import Array

_MAX_FOLDED = 1 << 16  # elements; a larger constant costs more to ship than to calculate


def expandable(node: onnx.NodeProto, opset: int) -> bool:
    """Whether the operator has no rule, but can be written out in simpler ones."""
    kind = node.op_type
    if node.domain not in ("", "ai.onnx") or kind in RULES or kind in STOPS:
        return False
    return kind in EXPANSIONS or has_function(kind, opset)


def expand(g: Graph, node: Node) -> list[onnx.NodeProto] | None:
    """The nodes that compute the same; the last of them write the outputs of `node`.

    Returns:
        None if there is no expansion. The nodes are not in the graph yet: see `learn`.

    Raises:
        ModelError: this node cannot be expanded, for what it depends on is not known.
    """
    if not expandable(node.proto, g.opset):
        return None
    start = len(g.nodes)
    known = EXPANSIONS.get(node.proto.op_type)
    found = known.outputs(g, node) if known else write_function(g, node)
    if found is None:
        return None
    outputs = [found] if isinstance(found, Value) else found
    written = g.nodes[start:]
    del g.nodes[start:]
    for name, value in zip(node.proto.output, outputs, strict=False):
        if name and value is not None:
            written.append(helper.make_node("Identity", [value.name], [name]))
    return written


def learn(g: Graph, node: onnx.NodeProto, varying: Collection[str]) -> bool:
    """Infer what a written node gives, and calculate it where all that it depends on is known.

    Args:
        g: the graph.
        node: a node of an expansion, whose inputs have been learned.
        varying: values that may not be taken for constants: the weights and what depends on them.

    Returns:
        Whether its outputs are constants of the graph now, so that the node is not needed.
    """
    if node.op_type == "Constant":
        content = content_of(node)
        if content is not None:
            g.hold(node.output[0], content)
        return content is not None
    if (
        node.op_type == "CastLike" and node.input[1] in g.types
    ):  # so that it does not depend on the second's values
        node.CopyFrom(helper.make_node("Cast", node.input[:1], node.output, to=g.types[node.input[1]]))
    infer(g, node)
    known = node.op_type in ("Shape", "Size") or set(varying).isdisjoint(node.input)
    found = _calculated(g, node) if known else None
    if found is None:
        return False
    for name, first, second in zip(node.output, *found, strict=True):
        g.calculated[name] = (first, second)
    if not all(np.array_equal(first, second) for first, second in zip(*found, strict=True)):
        return False
    for name, array in zip(node.output, found[0], strict=True):
        g.hold(name, array)
    return True


def infer(g: Graph, node: onnx.NodeProto) -> None:
    """Shapes and types of the node's outputs, as far as ONNX can infer them."""
    try:
        schema = onnx.defs.get_schema(node.op_type, g.opset, node.domain)
        runs = [
            shape_inference.infer_node_outputs(
                schema,
                node,
                {name: _type(g, name, which) for name in node.input if name},
                dict(_tensors(g, node, which)),
                opset_imports=[helper.make_opsetid("", g.opset)],
            )
            for which in (0, 1)
        ]
    except (onnx.defs.SchemaError, shape_inference.InferenceError, RuntimeError):
        return
    for name in node.output:
        kinds = [run[name].tensor_type for run in runs if name in run]
        if len(kinds) == 2 and kinds[0].elem_type:
            g.types[name] = kinds[0].elem_type
        if len(kinds) == 2 and all(kind.HasField("shape") for kind in kinds) and name not in g.shapes:
            first, second = (
                [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim] for kind in kinds
            )
            if len(first) == len(second):
                g.shapes[name] = shape_of(first, second, g.lengths)


def _type(g: Graph, name: str, which: int) -> onnx.TypeProto:
    shape = g.shapes.get(name)
    dims = None if shape is None else [None if dim < 0 else dim for dim in both(shape, g.lengths)[which]]
    return helper.make_tensor_type_proto(g.types.get(name, g.elem_type), dims)


def _tensors(g: Graph, node: onnx.NodeProto, which: int) -> Iterator[tuple[str, onnx.TensorProto]]:
    """The inputs whose content is known and may decide a shape."""
    for name in node.input:
        known = _data(g, name)
        if known is not None and known[which].dtype.kind in "ifb" and known[which].size <= _MAX_FOLDED:
            yield name, numpy_helper.from_array(np.asarray(known[which], order="C"), name)


def _data(g: Graph, name: str) -> tuple[Array, Array] | None:
    if name in g.constants and name not in g.calculated:
        array = numpy_helper.to_array(g.constants[name])
        g.calculated[name] = (array, array)
    return g.calculated.get(name)


def _calculated(g: Graph, node: onnx.NodeProto) -> tuple[list[Array], list[Array]] | None:
    """The node's outputs with either set of lengths; None if they cannot be known."""
    if node.op_type in ("Shape", "Size"):
        shape = g.shapes.get(node.input[0])
        if shape is None:
            return None
        first, second = ([_size(node, lengths)] for lengths in both(shape, g.lengths))
        return None if -1 in [*np.ravel(first[0]), *np.ravel(second[0])] else (first, second)
    if node.op_type.startswith(("Random", "Bernoulli", "Multinomial")) or any(
        attribute.HasField("g") for attribute in node.attribute
    ):
        return None
    known = [_data(g, name) for name in node.input if name]
    given = [pair for pair in known if pair is not None]
    if len(given) < len(known) or sum(pair[0].size for pair in given) > _MAX_FOLDED or _large(g, node):
        return None
    same = all(first is second for first, second in given)
    runs = [_run(node, [pair[which] for pair in given]) for which in ((0,) if same else (0, 1))]
    return runs[0], runs[-1]


def _large(g: Graph, node: onnx.NodeProto) -> bool:
    sizes = [math.prod(both(g.shapes[name], g.lengths)[1]) for name in node.output if name in g.shapes]
    return max(sizes, default=0) > _MAX_FOLDED


def _size(node: onnx.NodeProto, lengths: Sequence[int]) -> Array:
    if node.op_type == "Size":
        return np.array(-1 if -1 in lengths else np.prod(lengths), np.int64)
    limits = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(lengths[limits.get("start", 0) : limits.get("end", len(lengths))], np.int64)


def _run(node: onnx.NodeProto, inputs: Sequence[Array]) -> list[Array]:
    names = [name for name in node.input if name]
    found = ReferenceEvaluator(node).run(None, dict(zip(names, inputs, strict=True)))
    return [np.asarray(array) for array in found]
