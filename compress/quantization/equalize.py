r"""Cross-layer equalisation: channels of one tensor take ranges alike, so that one scale a tensor suits all of them.

Scaling channel c of an activation by ``s_c`` where it is made and by ``1/s_c`` where it is read leaves the network as
it is, as long as everything between lets a positive factor pass: Relu, Add, pooling (Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1). Two things differ from the
paper. Weights have a scale for each output channel, so what has to become alike are the activations:
``s_c = (max r / r_c)^strength`` with r_c the channel's observed range; the layer that reads them pays for it in its own
weights. And the factor may run through a whole residual stream, with every layer that writes to it or reads from it.

A Clip, such as ReLU6, lets no factor pass. There a channel is scaled up only, and only so far that on the samples
nothing new is cut off; the outputs are the same on all data that stays within the observed range times `margin`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from compress.quantization.plan import limits_of
from compress.quantization.weights import depthwise
from compress.step import Work
from converter.model import (
    Model,
    attribute,
    constants,
    consumers,
    copy,
    load,
    producers,
    set_constant,
    to_bytes,
)
from edge_runtime.console import progress
from edge_runtime.data import feeds
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_BATCH = 4
_HOMOGENEOUS = frozenset({"Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Add", "Clip", "Identity"})
_MOST = 1000.0  # between the largest and the smallest factor


@dataclass(frozen=True, slots=True)
class Equalize:
    """Parameters of the step: `strength` from 0, nothing, to 1, equal ranges; `margin` below a Clip's limit."""

    strength: float = 0.25
    margin: float = 2.0
    samples: int = 100

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return equalize(model, work.samples.x, self)


@dataclass(slots=True)
class Stream:
    """Values that one factor a channel runs through: `names`; the layers that write, and read; `clips` within."""

    names: list[str] = field(default_factory=list)
    writers: list[onnx.NodeProto] = field(default_factory=list)
    readers: list[onnx.NodeProto] = field(default_factory=list)
    clips: list[onnx.NodeProto] = field(default_factory=list)


def equalize(model: Model, samples: Array, options: Equalize | None = None) -> onnx.ModelProto:
    """Scale the channels between layers so that their ranges become alike.

    Args:
        model: float, optimised; or its path; it is not changed.
        samples: as the model takes them (records for several inputs).
        options: how far.

    Returns:
        The model with other weights and biases, and the same outputs.

    Raises:
        ModelError: strength is not between 0 and 1, or margin is below 1.
    """
    chosen = options or Equalize()
    if not 0 <= chosen.strength <= 1 or chosen.margin < 1:
        raise ModelError("equalize: strength must lie between 0 and 1, and margin be at least 1")
    result = copy(load(model))
    found = streams(result.graph)
    drawn = np.random.default_rng(0).permutation(len(samples))[: chosen.samples]
    names = sorted({name for stream in found for name in _measured(result.graph, stream)})
    peaks = _peaks(result, names, samples[np.sort(drawn)])
    for stream in found:
        seen = [peaks[name] for name in _measured(result.graph, stream)]
        highest = np.max([each.max(axis=0) for each in seen], axis=0)
        typical = np.max([each.mean(axis=0) for each in seen], axis=0)
        _scale(result.graph, stream, _factors(stream, highest, typical, constants(result.graph), chosen))
    onnx.checker.check_model(result)
    return result


def streams(graph: onnx.GraphProto) -> list[Stream]:
    """The sets of values through which a factor a channel may run, each with at least one writer and one reader."""
    known, root = constants(graph), _roots(graph)
    fixed = {root(name) for name in _bound(graph)}
    found: dict[str, Stream] = {}
    for node in graph.node:
        for name in (name for name in node.output if root(name) not in fixed):
            found.setdefault(root(name), Stream()).names.append(name)
        roles = []
        if _scalable(node, known):
            roles = [(node.output[0], "writers"), (node.input[0], "readers")]
        elif node.op_type == "Clip":
            roles = [(node.output[0], "clips")]
        for name, role in roles:
            if root(name) not in fixed:
                getattr(found.setdefault(root(name), Stream()), role).append(node)
    return [each for each in found.values() if each.writers and each.readers and _own(each, graph)]


def _roots(graph: onnx.GraphProto) -> Callable[[str], str]:
    """From a value to the one that stands for all that a factor ties to it."""
    known, made = constants(graph), producers(graph)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for node in graph.node:
        if _homogeneous(node, known, made):
            for name in (name for name in node.input if name and name not in known):
                parent[root(name)] = root(node.output[0])
    return root


def _bound(graph: onnx.GraphProto) -> set[str]:
    """Values that cannot be scaled: the graph's own, and those of operators that are not homogeneous."""
    known, made = constants(graph), producers(graph)
    bound = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        if _scalable(node, known):
            bound.update([] if node.op_type == "Conv" else node.output)
        elif not _homogeneous(node, known, made):
            bound.update((*node.input, *node.output))
    return bound


def _scalable(node: onnx.NodeProto, known: Mapping[str, Array]) -> bool:
    """A layer whose weight a factor can go into: a Conv, not grouped or depthwise, or a Gemm as the last reader."""
    if node.op_type not in ("Conv", "Gemm") or any(name not in known for name in node.input[1:] if name):
        return False
    weight = known[node.input[1]]
    return (
        node.op_type == "Gemm"
        or int(attribute(node, "group", 1)) == 1
        or (depthwise(node, weight) and len(weight) == attribute(node, "group", 1))
    )


def _homogeneous(
    node: onnx.NodeProto, known: Mapping[str, Array], made: Mapping[str, onnx.NodeProto]
) -> bool:
    """Whether a positive factor a channel passes; a Flatten after a pooling to one place leaves the channels."""
    if node.op_type == "Flatten":
        before = made.get(node.input[0])
        return before is not None and before.op_type == "GlobalAveragePool"
    if node.op_type == "Add":
        return not any(name in known for name in node.input)
    return node.op_type in _HOMOGENEOUS


def _own(stream: Stream, graph: onnx.GraphProto) -> bool:
    """Whether no weight or bias of the stream's layers is shared, so that each can be scaled alone."""
    uses = [name for node in graph.node for name in node.input]
    layers = {id(node): node for node in (*stream.writers, *stream.readers)}.values()
    return all(uses.count(name) == 1 for node in layers for name in node.input[1:] if name)


def _measured(graph: onnx.GraphProto, stream: Stream) -> list[str]:
    """The values that would be quantised: not a layer's own output where a Relu or Clip alone reads it."""
    readers = consumers(graph)
    hidden = {
        name
        for name in stream.names
        if len(readers[name]) == 1 and readers[name][0].op_type in ("Relu", "Clip", "Flatten")
    }
    flat = {node.output[0] for node in graph.node if node.op_type == "Flatten"}
    return [name for name in stream.names if name not in hidden | flat] or stream.names[:1]


def _peaks(model: onnx.ModelProto, names: Sequence[str], samples: Array) -> Mapping[str, Array]:
    """The largest absolute value of each channel (axis 1), batch by batch: float32[batches, channels]."""
    observed = copy(model)
    del observed.graph.output[:]
    set_constant(observed.graph, "observed.shape", np.array([0, 0, -1], np.int64))
    set_constant(observed.graph, "observed.axes", np.array([0, 2], np.int64))
    for k, name in enumerate(names):
        parts = [f"observed.{k}.size", f"observed.{k}.wide", f"observed.{k}"]
        observed.graph.node.extend(
            [
                helper.make_node("Abs", [name], parts[:1]),
                helper.make_node("Reshape", [parts[0], "observed.shape"], parts[1:2]),
                helper.make_node("ReduceMax", [parts[1], "observed.axes"], parts[2:], keepdims=0),
            ]
        )
        observed.graph.output.append(helper.make_tensor_value_info(parts[2], TensorProto.FLOAT, None))
    session = Session(to_bytes(observed))
    batches = list(feeds(samples, session.inputs, _BATCH))
    found = [list(session.run(feed).values()) for feed, _ in progress(batches, "observe channels")]
    return {name: np.stack([each[k] for each in found]) for k, name in enumerate(names)}


def _factors(
    stream: Stream, highest: Array, typical: Array, known: Mapping[str, Array], options: Equalize
) -> Array:
    """The factor of each channel: float64[channels]."""
    size = np.maximum(typical.astype(np.float64), typical.max() / _MOST)
    if not size.max() > 0:
        return np.ones_like(size)
    factors = (size.max() / size) ** options.strength
    for clip in stream.clips:
        limits = limits_of(clip, known)
        upper = limits.high if limits is not None and limits.low in (0.0, -limits.high) else 0.0
        room = upper / (np.maximum(highest, 1e-30) * options.margin)
        factors = np.minimum(factors, np.maximum(room, 1.0))
    return np.asarray(factors)


def _scale(graph: onnx.GraphProto, stream: Stream, factors: Array) -> None:
    known = constants(graph)
    changed: dict[str, Array] = {}
    for node in stream.writers:
        for name in (name for name in node.input[1:] if name):
            value = known[name].astype(np.float64)
            changed[name] = value * factors.reshape([-1] + [1] * (value.ndim - 1))
    for node in stream.readers:
        name = node.input[1]
        value = changed.get(name, known[name].astype(np.float64))
        if node.op_type == "Gemm":
            axis = 1 if attribute(node, "transB", 0) else 0
        else:
            axis = 0 if depthwise(node, value) else 1
        shape = [1] * value.ndim
        shape[axis] = -1
        changed[name] = value / factors.reshape(shape)
    for name, value in changed.items():
        set_constant(graph, name, value.astype(np.float32))
