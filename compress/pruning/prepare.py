"""A model in the form that pruning reads: every weight a constant of its own, only data as inputs."""

import numpy as np
import onnx

from compress.pruning.channels import with_batch
from converter.autodiff.canonical import lift_constants
from converter.model import Model, attribute, constants, copy, load, prune_unused, set_constant
from converter.optimize import optimize
from edge_runtime.tensors import Array

_IR = 4  # from which weights need not be listed as inputs


def prepared(model: Model) -> onnx.ModelProto:
    """A copy in which weights are constants, with batch normalisation kept for training; the same function.

    Raises:
        InputError: there is nothing at the path.
        ModelError: it is not a valid model.
    """
    source = copy(load(model))
    source.ir_version = max(source.ir_version, _IR)
    _only_data_inputs(source.graph)
    _fold(source.graph)
    result = optimize(source, trainable=True)
    lift_constants(result)
    _fold(result.graph)
    _fix_shapes(result)
    return result


def _only_data_inputs(graph: onnx.GraphProto) -> None:
    """Old models list their weights as inputs too; and what no node reads is no input of ours."""
    known = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in known]
    del graph.input[:]
    graph.input.extend(kept)


def _fix_shapes(model: onnx.ModelProto) -> None:
    """Give every Reshape whose lengths are calculated constant ones, where only the batch's varies."""
    two, three = (_shapes(model, batch) for batch in (2, 3))
    known = constants(model.graph)
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] in known:
            continue
        pair = [shapes.get(node.output[0]) for shapes in (two, three)]
        if pair[0] is None or pair[1] is None:
            continue
        lengths = [a if a == b else -1 for a, b in zip(*pair, strict=True)]
        if lengths.count(-1) <= 1 and 0 not in pair[0]:
            node.input[1] = f"{node.output[0]}.fixed"
            set_constant(model.graph, node.input[1], np.array(lengths, np.int64))
    prune_unused(model.graph)


def _shapes(model: onnx.ModelProto, batch: int) -> dict[str, list[int]]:
    """The shape of each value when the first axis of every input has this length; 0 for one that is not known."""
    given = with_batch(model, batch)
    inferred = onnx.shape_inference.infer_shapes(given, data_prop=True).graph
    return {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in inferred.value_info
        if value.type.tensor_type.HasField("shape")
    }


def _fold(graph: onnx.GraphProto) -> None:
    """Calculate what only moves or makes constants, so that a product's weight is a constant.

    `converter.optimize` leaves these alone when a model is to be trained: a weight keeps its name there.
    """
    known = constants(graph)
    for node in list(graph.node):
        value = _moved(node, known)
        if value is not None:
            known[node.output[0]] = value
            set_constant(graph, node.output[0], value)
            graph.node.remove(node)
    prune_unused(graph)


def _moved(node: onnx.NodeProto, known: dict[str, Array]) -> Array | None:
    """What the node makes of constants; None if its inputs are not constant, or it calculates."""
    given = [known.get(name) for name in node.input if name]
    x, *rest = given or [None]
    if x is None or any(other is None for other in rest):
        return None
    match node.op_type:
        case "Identity":
            return x
        case "Transpose":
            return x.transpose(attribute(node, "perm", range(x.ndim)[::-1]))
        case "ConstantOfShape":
            value = attribute(node, "value")
            filler = onnx.numpy_helper.to_array(value)[0] if value else np.float32(0)
            return np.full(x.tolist(), filler)
        case "Unsqueeze":
            axes = rest[0].tolist() if rest and rest[0] is not None else attribute(node, "axes")
            return np.asarray(np.expand_dims(x, tuple(axes)))
        case "Squeeze":
            axes = rest[0].tolist() if rest and rest[0] is not None else attribute(node, "axes")
            return np.asarray(x.squeeze(None if axes is None else tuple(axes)))
        case "Reshape" if rest and rest[0] is not None and not attribute(node, "allowzero", 0):
            lengths = [x.shape[k] if length == 0 else length for k, length in enumerate(rest[0].tolist())]
            return x.reshape(lengths)
    return None
