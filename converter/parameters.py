"""What of a model is trained, and the value that its loss is taken of."""

from collections.abc import Collection

import onnx
from onnx import helper

from converter.autodiff import Graph, infer_shapes, weight_names
from converter.autodiff.losses import Loss
from edge_runtime.errors import ModelError, hint


def start(
    forward: onnx.ModelProto, trainable: Collection[str] | None, *, needed: bool = True
) -> tuple[Graph, list[str]]:
    """A graph that knows a canonical model's shapes and constants, and the names of the weights to train.

    Args:
        forward: a model in canonical form.
        trainable: names of the weights; None for all.
        needed: a model without weights is an error.

    Raises:
        ModelError: a name is unknown, or the model's type cannot be trained.
    """
    graph = forward.graph
    dtype = helper.tensor_dtype_to_np_dtype(graph.output[0].type.tensor_type.elem_type)
    if dtype.name not in ("float32", "float64"):
        raise ModelError(
            f"output '{graph.output[0].name}' is {dtype.name}; training needs a float32 or float64 model"
        )
    shapes = infer_shapes(forward)
    taken = [*shapes, *(name for node in graph.node for name in [*node.input, *node.output])]
    g = Graph(taken, shapes, dtype.name)
    g.constants.update({tensor.name: tensor for tensor in graph.initializer})
    if trainable is None:
        weights = weight_names(graph.node, g.constants, g.elem_type)
    else:
        weights = [_known(name, g) for name in trainable]
    if needed and not weights:
        raise ModelError("the model has no weights to train: no constant feeds an operator that learns")
    return g, weights


def _known(name: str, g: Graph) -> str:
    tensor = g.constants.get(name)
    if tensor is None:
        raise ModelError(f"trainable '{name}': the model has no such weight{hint(name, g.constants)}")
    if tensor.data_type != g.elem_type:
        raise ModelError(f"trainable '{name}': is not {g.dtype.name} and cannot be trained; freeze it")
    return name


def logits(forward: onnx.ModelProto, loss: Loss) -> str:
    """The value that the loss is taken of: the output, or what goes into a final operator that it absorbs."""
    name: str = forward.graph.output[0].name
    for node in forward.graph.node:
        if loss.absorbs and name in node.output and node.op_type == loss.absorbs:
            return str(node.input[0])
    return name


def norms(model: onnx.ModelProto, parameters: Collection[str]) -> list[str]:
    """Those of the parameters that belong to what normalises: scale, shift, running statistics."""
    nodes = [node for node in model.graph.node if node.op_type.endswith("Normalization")]
    return [name for node in nodes for name in node.input[1:] if name in parameters]
