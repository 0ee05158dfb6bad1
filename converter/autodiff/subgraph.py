"""A whole ONNX graph as a part of another: inserted under names of its own, and gone back through."""

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from converter.autodiff.canonical import lift_constants
from converter.autodiff.graph import Graph, Value
from converter.autodiff.reverse import backward, record
from converter.autodiff.shapes import infer_shapes
from edge_runtime.errors import ModelError


def insert(g: Graph, model: onnx.ModelProto, inputs: Sequence[Value]) -> tuple[Value, Value]:
    """Write the nodes of a scalar function of `inputs`, and those of its gradient.

    Args:
        g: where to write.
        model: as many inputs as `inputs`, and one output, a scalar.
        inputs: values of `g` whose shapes are known.

    Returns:
        The scalar, and its gradient with respect to the first of `inputs`.

    Raises:
        ModelError: the output is not a scalar, does not depend on the first input, or an operator on the way
            has no gradient rule.
    """
    part = onnx.ModelProto()
    part.CopyFrom(model)
    lift_constants(part)
    for declared, value in zip(part.graph.input, inputs, strict=True):
        kind = declared.type.tensor_type.elem_type
        declared.CopyFrom(helper.make_tensor_value_info(declared.name, kind, value.shape))
    shapes = infer_shapes(part)
    out = part.graph.output[0].name
    if shapes.get(out) not in ((), (1,)):
        raise ModelError(f"a loss must be a scalar; '{out}' is {list(shapes.get(out, ('?',)))}")
    names = {declared.name: value.name for declared, value in zip(part.graph.input, inputs, strict=True)} | {
        "": ""
    }
    for name in [*(tensor.name for tensor in part.graph.initializer), *_made(part)]:
        names[name] = g.fresh(f"loss/{name}")
        if name in shapes:
            g.shapes[names[name]] = shapes[name]
    for tensor in part.graph.initializer:
        tensor.name = names[tensor.name]
        g.constants[tensor.name] = tensor
    wanted = inputs[0].name
    tape = record(g, [_renamed(node, names) for node in part.graph.node], [wanted])
    seed = g.constant(g.dtype.type(1).reshape(shapes[out]))
    gradients = backward(g, tape, {names[out]: seed}, [wanted])
    if wanted not in gradients:
        raise ModelError(f"the loss '{out}' does not depend on its input '{part.graph.input[0].name}'")
    return g.reshape(g.value(names[out]), []), gradients[wanted]


def _made(model: onnx.ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in node.output if name]


def _renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.input[:], made.output[:]
    made.input.extend(names[name] for name in node.input)
    made.output.extend(names[name] for name in node.output)
    return made
