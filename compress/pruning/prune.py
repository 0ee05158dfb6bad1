"""Structured pruning on the ONNX graph itself: whole channels go, and every tensor that they run through shrinks.

The units that can be removed come from `channels` beside this. A unit's importance is the mean, over the weights that
it runs through, of its share of their magnitude (Li et al., "Pruning Filters for Efficient ConvNets", 2017; grouped as
in DepGraph, 2023); the least important go first, over the whole network, until the budget of multiply-accumulates
is met. No layer loses more than `most` of its channels, and what is left is a multiple of `multiple`, because kernels
work on several channels at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from compress.pruning.channel_rules import analyse
from compress.pruning.channels import Channels, Labels
from compress.step import Work
from converter.model import (
    WEIGHTED,
    Model,
    attribute,
    constants,
    copy,
    layer_weights,
    load,
    prune_unused,
    set_constant,
)
from converter.optimize import optimize
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Prune:
    """Parameters of the step: remove `amount` of the multiply-accumulates."""

    amount: float = 0.3
    multiple: int = 4
    most: float = 0.75

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return prune(model, self)


def prune(model: Model, options: Prune | None = None) -> onnx.ModelProto:
    """Remove the least important channels.

    Args:
        model: a float model with known shapes (the batch aside), or its path; it is not changed.
        options: how much, and how evenly.

    Returns:
        A smaller model with the same inputs and outputs. Its accuracy is to be restored by training.

    Raises:
        ModelError: the model has no channels that could be removed, a shape is not known, or `options` are
            out of range.
    """
    chosen = options or Prune()
    if not 0 < chosen.amount < 1 or not 0 < chosen.most <= 1 or chosen.multiple < 1:
        raise ModelError(f"{chosen}: amount and most are shares between 0 and 1, multiple is at least 1")
    source = optimize(load(model), trainable=True)
    _fold_transposes(source.graph)
    channels = analyse(source)
    units = Units.of(source, channels)
    if not len(units.roots):
        raise ModelError("nothing to prune: no channel of the model could be removed alone")
    goal = (1 - chosen.amount) * cost(source, channels, np.zeros(0, np.int64))
    removed = _select(source, channels, units, chosen, goal)
    return remove(source, channels, removed)


def _fold_transposes(graph: onnx.GraphProto) -> None:
    """Put transposed weights into constants of their own, so that a product's weight is one."""
    known = constants(graph)
    for node in [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in known]:
        value = known[node.input[0]]
        set_constant(graph, node.output[0], value.transpose(attribute(node, "perm", range(value.ndim)[::-1])))
        graph.node.remove(node)
    prune_unused(graph)


@dataclass(frozen=True, slots=True)
class Units:
    """What can be removed: class `roots` int64[n], their `importance` float[n], and the layer that each belongs to."""

    roots: Labels
    importance: Array
    layer: Array

    @classmethod
    def of(cls, model: onnx.ModelProto, channels: Channels) -> "Units":
        """Every class that some weight carries, with its importance."""
        weights = layer_weights(model.graph)
        shares: dict[int, list[float]] = {}
        layer: dict[int, int] = {}
        for k, tie in enumerate(channels.ties.values()):
            if tie.name not in weights:
                continue
            value = channels.known[tie.name].astype(np.float64)
            norms = np.sqrt(np.square(value).sum(axis=tuple(a for a in range(value.ndim) if a != tie.axis)))
            for root, share in zip(
                channels.classes.root(tie.labels), norms / max(norms.mean(), 1e-30), strict=True
            ):
                if root:
                    shares.setdefault(int(root), []).append(float(share))
                    layer.setdefault(int(root), k)
        roots = np.array(sorted(shares), np.int64)
        importance = np.array([np.mean(shares[root]) for root in roots.tolist()])
        return cls(roots, importance, np.array([layer[root] for root in roots.tolist()]))


def _select(model: onnx.ModelProto, channels: Channels, units: Units, options: Prune, goal: float) -> Labels:
    """The classes to remove: the least important ones of all layers, as many as it takes."""
    order = np.argsort(units.importance, kind="stable")
    low, high = 0, len(order)
    while low < high:  # the cost falls with every unit, so the number is found by halving
        middle = (low + high) // 2
        if cost(model, channels, _rounded(units, order[:middle], options)) <= goal:
            high = middle
        else:
            low = middle + 1
    return _rounded(units, order[:low], options)


def _rounded(units: Units, chosen: Array, options: Prune) -> Labels:
    """Of the chosen units those that leave every layer wide enough, and a multiple wide."""
    removed: list[int] = []
    for layer in np.unique(units.layer[chosen]):
        total = int((units.layer == layer).sum())
        mine = chosen[units.layer[chosen] == layer]  # in order of importance
        floor = max(1, round(total * (1 - options.most)))
        left = max(total - len(mine), floor)
        left = min(total, -(-left // options.multiple) * options.multiple)
        removed += units.roots[mine[: total - left]].tolist()
    return np.array(sorted(removed), np.int64)


def cost(model: onnx.ModelProto, channels: Channels, removed: Labels) -> float:
    """Multiply-accumulates of one inference after the classes `removed` are gone."""
    total = 0.0
    for node in model.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in channels.known:
            outputs = float(np.prod(channels.kept(node.output[0], removed)))
            weight = _shrunk(channels, node.input[1], removed)
            count = channels.kept(node.output[0], removed)[1 if "Conv" in node.op_type else -1]
            total += outputs * float(np.prod(weight)) / max(count, 1)
        elif node.op_type == "MatMul":
            outputs = float(np.prod(channels.kept(node.output[0], removed)))
            total += outputs * channels.kept(node.input[0], removed)[-1]
    return total


def _shrunk(channels: Channels, name: str, removed: Labels) -> Sequence[int]:
    lengths = list(channels.shape(name))
    for axis in range(len(lengths)):
        if (name, axis) in channels.ties:
            lengths[axis] = int(_stays(channels, name, axis, removed).sum())
    return lengths


def _stays(channels: Channels, name: str, axis: int, removed: Labels) -> Array:
    """Which indices along a constant's axis are kept: bool[length]."""
    return ~np.isin(channels.classes.root(channels.ties[name, axis].labels), removed)


def remove(model: onnx.ModelProto, channels: Channels, removed: Labels) -> onnx.ModelProto:
    """The model without these classes of channels."""
    result = copy(model)
    graph = result.graph
    values: dict[str, Array] = {}
    for name, axis in channels.ties:
        value = values.get(name, channels.known[name])
        values[name] = value.compress(_stays(channels, name, axis, removed), axis=axis)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in values:
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(values.pop(node.output[0])))
    for name, value in values.items():
        set_constant(graph, name, value)
    for node in graph.node:
        _resize_node(graph, node, channels, removed)
    del graph.value_info[:]
    onnx.checker.check_model(result)
    return result


def _resize_node(graph: onnx.GraphProto, node: onnx.NodeProto, channels: Channels, removed: Labels) -> None:
    """Lengths that stand in a node itself: groups of a depthwise convolution, and shapes given as constants."""
    if node.op_type == "Conv" and attribute(node, "group", 1) > 1 and channels.shape(node.input[1])[1] == 1:
        for found in node.attribute:
            if found.name == "group":
                found.i = channels.kept(node.input[0], removed)[1]
        return
    if node.op_type == "Split":
        _resize_split(graph, node, channels, removed)
        return
    where = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(node.op_type)
    if where is None or len(node.input) <= where or node.input[where] not in channels.known:
        return
    old = channels.known[node.input[where]]
    before, after = channels.shape(node.output[0]), channels.kept(node.output[0], removed)
    lead = len(before) - len(old)
    pairs = zip(old.tolist(), before[lead:], after[lead:], strict=True)
    new = np.array([a if length > 0 and a != b else length for length, b, a in pairs], np.int64)
    if not np.array_equal(old, new):
        node.input[where] = f"{node.output[0]}.lengths"
        set_constant(graph, node.input[where], new)


def _resize_split(graph: onnx.GraphProto, node: onnx.NodeProto, channels: Channels, removed: Labels) -> None:
    axis = int(attribute(node, "axis", 0))
    before, after = (
        [shape(name)[axis] for name in node.output]
        for shape in (channels.shape, lambda name: channels.kept(name, removed))
    )
    if before == after:
        return
    kept = [found for found in node.attribute if found.name != "num_outputs"]  # the parts may differ now
    del node.attribute[:], node.input[1:]
    node.attribute.extend(kept)
    node.input.append(f"{node.output[0]}.lengths")
    set_constant(graph, node.input[1], np.array(after, np.int64))


def sizes(model: onnx.ModelProto) -> Mapping[str, float]:
    """Parameters and multiply-accumulates of a model."""
    channels = Channels.of(model)
    nothing = np.zeros(0, np.int64)
    return {
        "parameters": float(sum(v.size for v in channels.known.values() if v.dtype == np.float32)),
        "macs": cost(model, channels, nothing),
    }
