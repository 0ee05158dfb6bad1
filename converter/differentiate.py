"""From an inference graph to a training step: forward, loss, backward and update in one graph.

Only standard ONNX operators are used. The graph describes itself to the device's `Trainer`, in its metadata
under "littoral.training"::

    {"data": ["x"], "labels": "labels", "extra": [], "loss": "loss", "kind": "cross_entropy", "classes": 10,
     "learning_rate": "lr", "weights": ["fc.weight", ...], "parameters": {"fc.weight": "fc.weight.new", ...},
     "state": {"fc.weight.momentum": ...}, "in_place": ["fc.weight.momentum", ...]}

`parameters` are the tensors of the inference model that a step replaces (weights, and the running statistics
of batch normalisation), `state` is what the optimiser keeps; both map an input to its new value's output.
`weights` are those of them that have a gradient, `norms` those of what normalises. `in_place` are those whose new value
may be written over the old one: everything that reads the old one is finished by then.

In two parts, a step is a gradient graph, run for each micro-batch, and an update graph. Then "gradients" maps
each weight to its gradient's output, "buffers" to the input that the gradient is added to, and "share" names
the input that the micro-batch's loss and gradient are multiplied by.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import helper

from converter.autodiff import Graph, Shape, Value, backward, prune, record
from converter.autodiff.averages import averaged, split
from converter.autodiff.canonical import canonical
from converter.autodiff.losses import Loss, Written, loss_named
from converter.autodiff.optimizers import Optimizer, State, Treatment, optimizer_named
from converter.autodiff.order import domains, in_place, recomputed, weights_first, without_copies
from converter.parameters import logits, norms, start
from edge_runtime.errors import ModelError
from edge_runtime.trainer import METADATA

__all__ = ["METADATA", "differentiate", "evaluation_graph", "loss_graph", "update_graph"]


def differentiate(
    model: onnx.ModelProto,
    *,
    loss: str | Loss = "cross_entropy",
    optimizer: str | Optimizer = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    clip_norm: float = 0.0,
    clip_value: float = 0.0,
    trainable: Collection[str] | None = None,
    penalty: bool = False,
    recompute: bool = False,
    accumulate: bool = False,
    blocked: bool = False,
) -> onnx.ModelProto:
    """Compile an inference graph into a training step.

    Args:
        model: one data input, whose first axis is the batch, and one output. The batch may vary, even where
            `model` fixes it. A final Softmax (Sigmoid) is taken as part of (binary) cross-entropy.
        loss: one of `converter.autodiff.losses`, or its name: "cross_entropy" (labels: int64[n], output:
            float[n, classes]), "binary_cross_entropy", "mse", "mae", "huber" (labels like the output),
            "distillation", "triplet", "contrastive".
        optimizer: one of `converter.autodiff.optimizers`, or its name: "sgd", "nesterov", "adagrad", "rmsprop",
            "adam", "adamw", "lamb"; or "none", which gives loss and gradients.
        momentum: of sgd, nesterov and rmsprop; 0 keeps no state.
        weight_decay: added to each gradient, times the weight (L2).
        l1: added to each gradient, times the weight's sign.
        clip_norm: the global norm to which the gradients are limited, and
        clip_value: the size to which each of their elements is; 0 does not.
        trainable: names of the initializers to train; None is every constant of several elements that feeds a
            layer. Batch normalisation with both weights frozen keeps its running statistics.
        penalty: add penalty/2·Σ importance·(w - anchor)² to the loss (Kirkpatrick et al. 2017), with further
            inputs "penalty", and "NAME.importance" and "NAME.anchor" of each weight.
        recompute: compute cheap operators again in the backward pass, rather than keep their results.
        accumulate: with optimizer "none", add the gradients to buffers: see above.
        blocked: use operators of onnxruntime's x86-64 builds, see `converter.autodiff.rules.blocked`.

    Returns:
        A graph from data, labels, learning rate, parameters and state to loss, parameters and state.

    Raises:
        ModelError: an operator has no gradient rule, a name is unknown, or loss, optimiser or shape do not fit.
    """
    treatment = Treatment(clip_value, clip_norm, weight_decay, l1)
    solver = None if optimizer == "none" else optimizer_named(optimizer, momentum)
    if accumulate and solver:
        raise ModelError("accumulate gives gradients, which update_graph applies: it needs optimizer='none'")
    forward = canonical(model)
    g, weights = start(forward, trainable)
    g.blocked = blocked
    made = _Made(g, weights)
    value = _forward_and_backward(made, forward, loss_named(loss), penalty=penalty)
    if solver is None:
        _give(made, value, accumulate=accumulate)
    else:
        made.roles["loss"] = made.output("loss", value)
        _update(made, solver, treatment)
    return made.assemble(forward, "training step" if solver else "gradients", recompute=recompute)


def update_graph(
    model: onnx.ModelProto,
    *,
    optimizer: str | Optimizer = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    clip_norm: float = 0.0,
    clip_value: float = 0.0,
    trainable: Collection[str] | None = None,
) -> onnx.ModelProto:
    """The second part of a step: from learning rate, weights, gradients and state to weights and state.

    Args:
        model: as for `differentiate`, as are all the others.
        optimizer: which; not "none".
        momentum: of sgd, nesterov and rmsprop.
        weight_decay: L2.
        l1: L1.
        clip_norm: of the gradients together.
        clip_value: of each element.
        trainable: the weights.

    Raises:
        ModelError: as `differentiate`, except that no gradient rules are needed.
    """
    treatment = Treatment(clip_value, clip_norm, weight_decay, l1)
    forward = canonical(model)
    g, weights = start(forward, trainable)
    made = _Made(g, weights)
    for name in weights:
        buffer = g.fresh(f"{name}.gradient")
        made.gradients[name] = made.input(buffer, g.shapes[name])
    made.roles["buffers"] = {name: value.name for name, value in made.gradients.items()}
    _update(made, optimizer_named(optimizer, momentum), treatment)
    return made.assemble(forward, "update")


def evaluation_graph(
    model: onnx.ModelProto, trainable: Collection[str] | None = None, *, loss: str | Loss = "cross_entropy"
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
    g, weights = start(forward, trainable)
    record(g, forward.graph.node, weights)  # for the running statistics that training would replace
    parameters = [
        *weights,
        *(name for name in dict.fromkeys(name for name, *_ in g.averages) if name in g.constants),
    ]
    g.nodes[:] = forward.graph.node
    made = _Made(g, weights)
    made.inputs.append(forward.graph.input[0])
    for name in parameters:
        made.input(name, g.shapes[name])
    output = logits(forward, loss_named(loss))
    made.outputs.append(helper.make_tensor_value_info(output, g.elem_type, g.shapes[output]))
    return made.assemble(forward, "evaluation")


def loss_graph(model: onnx.ModelProto, *, loss: str | Loss = "cross_entropy") -> onnx.ModelProto:
    """The loss alone: from the evaluation graph's output, labels and what else it takes, to a scalar.

    Args:
        model: as for `differentiate`.
        loss: as for `differentiate`.

    Raises:
        ModelError: the loss does not fit the model's output.
    """
    forward = canonical(model)
    g, _ = start(forward, None, needed=False)
    chosen = loss_named(loss)
    made = _Made(g, [])
    output = logits(forward, chosen)
    made.inputs.append(helper.make_tensor_value_info(output, g.elem_type, g.shapes[output]))
    made.output("loss", _write_loss(made, chosen, g.value(output)).value)
    made.roles.clear()
    return made.assemble(forward, "loss")


@dataclass(slots=True)
class _Made:
    """A graph under way, with its signature and what the metadata will say of it."""

    g: Graph
    weights: Sequence[str]
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    roles: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Value] = field(default_factory=dict)
    boundary: int = 0
    """How many of the nodes belong to the forward pass."""

    def input(self, name: str, shape: Shape, elem_type: int | None = None) -> Value:
        """Declare an input."""
        self.g.shapes.setdefault(name, shape)
        self.inputs.append(helper.make_tensor_value_info(name, elem_type or self.g.elem_type, shape))
        return self.g.value(name)

    def output(self, wanted: str, value: Value, shape: Shape = ()) -> str:
        """Declare an output, and give it a name of its own: one value may not be two outputs."""
        name = self.g.fresh(wanted)
        self.g.nodes.append(helper.make_node("Identity", [value.name], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, self.g.elem_type, shape))
        return name

    def replace(self, values: Mapping[str, Value], role: str = "parameters") -> None:
        """Declare new values of tensors that are inputs of the same shape."""
        table = self.roles.setdefault(role, {})
        for name, value in values.items():
            shape = self.g.shapes[name]
            self.input(name, shape)
            table[name] = self.output(f"{name}.new", value, shape)

    def assemble(self, forward: onnx.ModelProto, what: str, *, recompute: bool = False) -> onnx.ModelProto:
        """The model, its nodes those that an output needs."""
        g = self.g
        results = [value.name for value in self.outputs]
        nodes, _ = prune(g.nodes, results)
        if recompute:
            nodes = recomputed(g, nodes, {id(node) for node in g.nodes[: self.boundary]}, self._data())
        nodes, used = prune(without_copies(weights_first(nodes, self._data())), results)
        given = {value.name for value in self.inputs}
        constants = [tensor for name, tensor in g.constants.items() if name in used and name not in given]
        graph = helper.make_graph(
            nodes, f"{forward.graph.name} {what}".strip(), self.inputs, self.outputs, constants
        )
        opsets = [*forward.opset_import]
        known = {entry.domain for entry in opsets} | {"", "ai.onnx"}
        opsets += [helper.make_opsetid(domain, 1) for domain in sorted(domains(nodes) - known)]
        made = helper.make_model(
            graph, opset_imports=opsets, ir_version=forward.ir_version, producer_name="littoral"
        )
        if self.roles:
            self.roles["weights"] = list(self.weights)
            self.roles["norms"] = norms(forward, {*self.weights, *self.roles.get("parameters", ())})
            self.roles["in_place"] = in_place(nodes, self._replaced())
            helper.set_model_props(made, {METADATA: json.dumps(self.roles)})
        onnx.checker.check_model(made)
        return made

    def _data(self) -> list[str]:
        """The inputs that have a batch."""
        roles = self.roles
        found = [*roles.get("data", ()), roles.get("labels", ""), *roles.get("extra", ())]
        return found or [self.inputs[0].name]

    def _replaced(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for role in ("parameters", "state"):
            found |= self.roles.get(role, {})
        if "buffers" in self.roles and "gradients" in self.roles:
            buffers, gradients = self.roles["buffers"], self.roles["gradients"]
            found |= {buffers[name]: gradients[name] for name in self.weights}
        return found


def _write_loss(made: _Made, loss: Loss, output: Value) -> Written:
    """Declare what the loss takes, and write it."""
    given = {}
    for wanted, spec in loss.inputs(made.g, output).items():
        given[wanted] = made.input(made.g.fresh(wanted), spec.shape, spec.elem_type)
    labels, *extra = [value.name for value in given.values()]
    made.roles |= {"labels": labels, "extra": extra, "kind": loss.name, "classes": loss.classes(output)}
    return loss(made.g, output, given)


def _forward_and_backward(made: _Made, forward: onnx.ModelProto, loss: Loss, *, penalty: bool) -> Value:
    """Write the forward pass, the loss and the backward pass, and return the loss."""
    g = made.g
    data, output = forward.graph.input[0], logits(forward, loss)
    made.roles["data"], g.data = [data.name], data.name
    made.inputs.append(data)
    tape = record(g, forward.graph.node, made.weights)
    made.boundary = len(g.nodes)
    found = _write_loss(made, loss, g.value(output))
    gradients = backward(g, tape, {output: found.gradient}, made.weights)
    for name in made.weights:
        if name not in gradients:
            raise ModelError(f"trainable '{name}': the loss does not depend on it; leave it out")
    value = found.value
    if penalty:
        value = value + _anchored(made, gradients)
    made.gradients = gradients
    return value


def _anchored(made: _Made, gradients: dict[str, Value]) -> Value:
    """The penalty's value; its gradient is added to `gradients`."""
    g = made.g
    strength = made.input(g.fresh("penalty"), ())
    table: dict[str, Any] = {"strength": strength.name, "importance": {}, "anchor": {}}
    terms = []
    for name in made.weights:
        importance, anchor = (
            made.input(g.fresh(f"{name}.{what}"), g.shapes[name]) for what in ("importance", "anchor")
        )
        table["importance"][name], table["anchor"][name] = importance.name, anchor.name
        moved = g.value(name) - anchor
        pull = importance * moved
        terms.append(g.op("ReduceSum", pull * moved, keepdims=0))
        gradients[name] = gradients[name] + pull * strength
    made.roles["penalty"] = table
    return g.op("Sum", *terms) * (strength * 0.5)


def _give(made: _Made, value: Value, *, accumulate: bool) -> None:
    """Give the loss, each weight's gradient, and the new running statistics."""
    g = made.g
    gradients = made.gradients
    if accumulate:
        share = made.input(g.fresh("share"), ())
        made.roles["share"] = share.name
        buffers = {}
        for name in made.weights:
            buffers[name] = made.input(g.fresh(f"{name}.gradient"), g.shapes[name])
            gradients[name] = buffers[name] + gradients[name] * share
        value = value * share
        made.roles["buffers"] = {name: buffer.name for name, buffer in buffers.items()}
    made.roles["loss"] = made.output("loss", value)
    for name in made.weights:
        made.input(name, g.shapes[name])
    made.roles["gradients"] = {
        name: made.output(f"d/{name}", gradients[name], g.shapes[name]) for name in made.weights
    }
    made.replace({name: value for name, value in averaged(g).items() if name in g.constants})


def _solved(g: Graph, solver: Optimizer, state: State, name: str, gradient: Value, lr: Value) -> Value:
    """The new value of one weight.

    A weight whose shape ends in 1, that of a 1x1 convolution, is updated flat: onnxruntime multiplies such a shape
    by a number element by element, at 149 Arm instructions each, which was 200 of MobileNetV2's 527 million.
    """
    weight = g.value(name)
    if len(weight.shape) < 2 or weight.shape[-1] != 1:
        return solver(state, weight, gradient, lr)
    lengths = [int(length) for length in weight.shape]
    flat = g.reshape(weight, [-1])
    g.shapes[flat.name] = (math.prod(lengths),)
    state.called[flat.name] = name
    return g.reshape(solver(state, flat, g.reshape(gradient, [-1]), lr), lengths)


def _update(made: _Made, solver: Optimizer, treatment: Treatment) -> None:
    """Give the new weights, running statistics and state."""
    g = made.g
    lr = made.input(g.fresh("lr"), ())
    made.roles["learning_rate"] = lr.name
    made.roles["state"] = {}
    state = State(g)
    treated = treatment(g, made.gradients)
    vectors = [name for name in treated if len(g.shapes[name]) == 1] if solver.elementwise else []
    together = vectors if len(vectors) > 1 else []
    # The engine works its way from the last output to the first. What needs all of the backward pass is the first.
    if together:
        joined = g.op("Concat", *map(g.value, together), axis=0)
        state.parts[joined.name] = together
        new = solver(state, joined, g.op("Concat", *(treated[name] for name in together), axis=0), lr)
        lengths = [int(g.shapes[name][0]) for name in together]
        _give_new(made, state, dict(zip(together, split(g, new, lengths), strict=True)))
    for name in treated:
        if name not in together:
            _give_new(made, state, {name: _solved(g, solver, state, name, treated[name], lr)})
    made.replace({name: value for name, value in averaged(g).items() if name in g.constants})
    _in_order(made, state)


def _in_order(made: _Made, state: State) -> None:
    """Let the tables name parameters in the order in which the model has them, and their state likewise."""
    for role, owner in (("parameters", dict[str, str]()), ("state", state.owners)):
        table, place = made.roles[role], {name: k for k, name in enumerate(made.weights)}
        last = len(place) if role == "parameters" else -1
        made.roles[role] = dict(sorted(table.items(), key=lambda e: place.get(owner.get(e[0], e[0]), last)))


def _give_new(made: _Made, state: State, weights: Mapping[str, Value]) -> None:
    """Give new weights, and the state that came with them."""
    made.g.shapes.update(state.shapes)
    made.replace(weights)
    given = made.roles["state"]
    made.replace({name: value for name, value in state.updated.items() if name not in given}, "state")
