"""Copying the body of a function, a branch or a loop into the graph, under names of its own."""

from collections.abc import Iterable, Mapping, Sequence

import onnx

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Node, expansion


def inline(
    g: Graph,
    nodes: Iterable[onnx.NodeProto],
    names: dict[str, str],
    attributes: Mapping[str, onnx.AttributeProto] | None = None,
) -> None:
    """Append copies of `nodes` to the graph.

    Args:
        g: the graph.
        nodes: the body.
        names: what the body's values are called outside: its inputs when this is called, and afterwards all
            that it computes. A name that is not in it is a value of the graph already.
        attributes: what a function's attribute parameters stand for; one that is not in it is left out.
    """
    for node in nodes:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name = ""
        _substitute(copied, attributes or {})
        _rename_reads(copied, names)
        for index, name in enumerate(node.output):
            if name:
                names[name] = g.fresh(name)
                copied.output[index] = names[name]
        g.nodes.append(copied)


def _substitute(node: onnx.NodeProto, attributes: Mapping[str, onnx.AttributeProto]) -> None:
    for attribute in list(node.attribute):
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                _substitute(inner, attributes)
        if not attribute.ref_attr_name:
            continue
        given = attributes.get(attribute.ref_attr_name)
        if given is None:
            node.attribute.remove(attribute)
        else:
            name = attribute.name
            attribute.CopyFrom(given)
            attribute.name = name


def _rename_reads(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Rename what a node reads, also from within its own bodies, where it does not mean something of theirs."""
    for index, name in enumerate(node.input):
        node.input[index] = names.get(name, name)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            own.update(name for inner in graph.node for name in inner.output)
            outside = {name: new for name, new in names.items() if name not in own}
            for inner in graph.node:
                _rename_reads(inner, outside)
            for value in graph.output:
                value.name = outside.get(value.name, value.name)


def uses(node: onnx.NodeProto) -> set[str]:
    """What a node reads, also from within the branches of an If or the body of a Loop."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                names |= uses(inner)
    return names


def has_function(kind: str, opset: int) -> bool:
    """Whether ONNX's specification defines the operator by a function of others."""
    schema = _schema(kind, opset)
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def _schema(kind: str, opset: int) -> "onnx.defs.OpSchema | None":
    try:
        return onnx.defs.get_schema(kind, opset, "")
    except onnx.defs.SchemaError:
        return None


@expansion(
    "CausalConvWithState", weights=(1, 2), needs="known ranks"
)  # the only one of these that has weights
def write_function(g: Graph, node: Node) -> Sequence[Value | None] | None:
    """Append the body of the function by which ONNX defines the operator of `node`; None if it has none."""
    schema = _schema(node.proto.op_type, g.opset)
    body = schema and _body(schema, g, node)
    if schema is None or body is None:
        return None
    names = dict.fromkeys(body.input, "")
    names.update(zip(body.input, node.proto.input, strict=False))
    attributes = {
        name: attribute.default_value
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
    attributes.update({attribute.name: attribute for attribute in node.proto.attribute})
    inline(g, body.node, names, attributes)
    return [
        g.value(names[inner]) if name and inner in names else None
        for inner, name in zip(body.output, node.proto.output, strict=False)
    ]


def _body(schema: "onnx.defs.OpSchema", g: Graph, node: Node) -> onnx.FunctionProto | None:
    """The function's newest form that the graph's opset has."""
    versions = [v for v in schema.function_opset_versions if v <= g.opset]
    if versions:
        return onnx.FunctionProto.FromString(schema.get_function_with_opset_version(max(versions)))
    versions = [v for v in schema.context_dependent_function_opset_versions if v <= g.opset]
    if not versions:
        return None
    types = [_type(value) for value in node.inputs]
    made = schema.get_context_dependent_function_with_opset_version(
        max(versions), node.proto.SerializeToString(), [kind.SerializeToString() for kind in types]
    )
    return onnx.FunctionProto.FromString(made)


def _type(value: Value | None) -> onnx.TypeProto:
    if value is None:
        return onnx.TypeProto()
    shape = value.graph.shapes.get(value.name)
    return onnx.helper.make_tensor_type_proto(value.elem_type, shape)
