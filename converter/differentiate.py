"""From an inference graph to a training step: forward, loss, backward and update in one graph.

Only standard ONNX operators are used. The graph describes itself to the device's `Trainer`, in its metadata
under "littoral.training"::

    {"data": ["x"], "labels": "labels", "loss": "loss", "kind": "cross_entropy", "learning_rate": "lr",
     "parameters": {"fc.weight": "fc.weight.new", ...}, "state": {"fc.weight.momentum": ...}}

`parameters` are the tensors of the inference model that a step replaces (weights, and the running statistics
of batch normalisation), `state` is what the optimiser keeps; both map an input to its new value's output.
"""

import difflib
import json
from collections.abc import Collection, Mapping, Sequence

import onnx
from onnx import helper

from converter.autodiff import Graph, Shape, Value, backward, infer_shapes, prune, record, weight_names
from converter.autodiff.canonical import canonical
from converter.autodiff.losses import LOSSES
from converter.autodiff.optimizers import Optimizer, State, make
from edge_runtime.errors import ModelError
from edge_runtime.trainer import METADATA

__all__ = ["METADATA", "differentiate", "evaluation_graph"]


def differentiate(
    model: onnx.ModelProto,
    *,
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trainable: Collection[str] | None = None,
) -> onnx.ModelProto:
    """Compile an inference graph into a training step.

    Args:
        model: one data input, whose first axis is the batch, and one output. The batch may differ from call to
            call, even where `model` fixes it. A final Softmax is taken as part of cross_entropy.
        loss: "cross_entropy" (labels: int64[n], output: float[n, classes]) or "mse" (labels like the output).
        optimizer: "sgd" or "adam".
        momentum: of sgd; 0 keeps no state.
        weight_decay: added to each gradient, times the weight.
        trainable: names of the initializers to train; None trains every constant of several elements that
            feeds a layer. The others stay constants, and a step is faster for it. Batch normalisation with both
            weights frozen keeps its running statistics.

    Returns:
        A graph from data, labels, learning rate, parameters and state to loss, parameters and state.

    Raises:
        ModelError: an operator between the weights and the loss has no gradient rule, a name in `trainable` is
            unknown, or the loss, optimiser or shape of the model does not fit.
    """
    forward = canonical(model)
    solver = _optimizer(optimizer, momentum)
    g, weights = _start(forward, trainable)
    data, output = forward.graph.input[0], _logits(forward, loss)
    labels, lr = g.value(g.fresh("labels")), g.value(g.fresh("lr"))
    tape = record(g, forward.graph.node, weights)
    found = LOSSES[loss](g, g.value(output), labels)
    gradients = backward(g, tape, {output: found.gradient}, weights)
    parameters, state = _update(g, weights, gradients, solver, lr, weight_decay)
    names = _name_outputs(
        g, {"loss": found.value, **{f"{k}.new": v for k, v in (parameters | state.updated).items()}}
    )
    roles = {
        "data": [data.name],
        "labels": labels.name,
        "loss": names["loss"],
        "kind": loss,
        "learning_rate": lr.name,
        "parameters": {name: names[f"{name}.new"] for name in parameters},
        "state": {name: names[f"{name}.new"] for name in state.updated},
    }
    shapes = {name: g.shapes[name] for name in parameters} | state.shapes
    inputs = [
        data,
        helper.make_tensor_value_info(labels.name, found.labels_type, found.labels_shape),
        *_infos(g, {lr.name: (), **shapes}),
    ]
    outputs = _infos(g, {names["loss"]: (), **{names[f"{k}.new"]: shape for k, shape in shapes.items()}})
    return _assemble(g, forward, "training step", inputs, outputs, roles)


def evaluation_graph(
    model: onnx.ModelProto, trainable: Collection[str] | None = None, *, loss: str = "cross_entropy"
) -> onnx.ModelProto:
    """The inference graph with its parameters as inputs, so that it runs with the current ones.

    Args:
        model: as for `differentiate`.
        trainable: as for `differentiate`.
        loss: with "cross_entropy", a final Softmax is left out: the output is logits.

    Returns:
        A graph with the data and every parameter of the training step as inputs.

    Raises:
        ModelError: as for `differentiate`, except that no gradient rules are needed.
    """
    forward = canonical(model)
    g, weights = _start(forward, trainable)
    record(g, forward.graph.node, weights)  # for the running statistics that training would replace
    parameters = [*weights, *(name for name in g.replaced if name in g.constants)]
    g.nodes[:] = forward.graph.node
    output = _logits(forward, loss)
    inputs = [forward.graph.input[0], *_infos(g, {name: g.shapes[name] for name in parameters})]
    return _assemble(g, forward, "evaluation", inputs, _infos(g, {output: g.shapes[output]}), {})


def _start(forward: onnx.ModelProto, trainable: Collection[str] | None) -> tuple[Graph, list[str]]:
    """A graph that knows the forward model's shapes and constants, and the names of the weights to train."""
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
    if not weights:
        raise ModelError("the model has no weights to train: no constant feeds an operator that learns")
    return g, weights


def _known(name: str, g: Graph) -> str:
    tensor = g.constants.get(name)
    if tensor is None:
        near = difflib.get_close_matches(name, g.constants, n=1)
        raise ModelError(
            f"trainable '{name}': the model has no such weight{f'; did you mean {near[0]}?' if near else ''}"
        )
    if tensor.data_type != g.elem_type:
        raise ModelError(f"trainable '{name}': is not {g.dtype.name} and cannot be trained; freeze it")
    return name


def _optimizer(name: str, momentum: float) -> Optimizer:
    found = make(name, momentum)
    if found is None:
        raise ModelError(f"no optimiser '{name}'; there are sgd and adam")
    return found


def _logits(forward: onnx.ModelProto, loss: str) -> str:
    """The value that the loss is taken of: the output, or what goes into a final Softmax."""
    if loss not in LOSSES:
        raise ModelError(f"no loss '{loss}'; there are {', '.join(sorted(LOSSES))}")
    name: str = forward.graph.output[0].name
    for node in forward.graph.node:
        if name in node.output and node.op_type == "Softmax" and loss == "cross_entropy":
            return str(node.input[0])
    return name


def _update(
    g: Graph,
    weights: Sequence[str],
    gradients: Mapping[str, Value],
    solver: Optimizer,
    lr: Value,
    decay: float,
) -> tuple[dict[str, Value], State]:
    """The new value of every parameter, and what the optimiser keeps."""
    state, parameters = State(g), {}
    for name in weights:
        if name not in gradients:
            raise ModelError(f"trainable '{name}': the loss does not depend on it; leave it out")
        weight, gradient = g.value(name), gradients[name]
        parameters[name] = solver(state, weight, gradient + weight * decay if decay else gradient, lr)
    parameters.update({name: value for name, value in g.replaced.items() if name in g.constants})
    return parameters, state


def _name_outputs(g: Graph, outputs: Mapping[str, Value]) -> dict[str, str]:
    """Give each value a name of its own: one value may not be two outputs."""
    names = {}
    for wanted, value in outputs.items():
        names[wanted] = g.fresh(wanted)
        g.nodes.append(helper.make_node("Identity", [value.name], [names[wanted]]))
    return names


def _infos(g: Graph, shapes: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, g.elem_type, shape) for name, shape in shapes.items()]


def _assemble(
    g: Graph,
    forward: onnx.ModelProto,
    what: str,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    roles: Mapping[str, object],
) -> onnx.ModelProto:
    nodes, used = prune(g.nodes, [value.name for value in outputs])
    given = {value.name for value in inputs}
    constants = [tensor for name, tensor in g.constants.items() if name in used and name not in given]
    graph = helper.make_graph(nodes, f"{forward.graph.name} {what}".strip(), inputs, outputs, constants)
    made = helper.make_model(
        graph, opset_imports=forward.opset_import, ir_version=forward.ir_version, producer_name="littoral"
    )
    if roles:
        helper.set_model_props(made, {METADATA: json.dumps(roles)})
    onnx.checker.check_model(made)
    return made
