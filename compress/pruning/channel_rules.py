"""How each operator passes channels on, and which of them it makes one and the same (see `channels`)."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels
from converter.model import attribute

Rule = Callable[[Channels, onnx.NodeProto], None]
RULES: dict[str, Rule] = {}


def rule(*kinds: str) -> Callable[[Rule], Rule]:
    """Register the decorated function for these operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def analyse(model: onnx.ModelProto) -> Channels:
    """Find out which channels of a model hang together; those of its outputs must stay.

    Raises:
        ModelError: a shape cannot be inferred.
    """
    channels = Channels.of(model)
    for node in model.graph.node:
        if node.op_type != "Constant":
            RULES.get(node.op_type, _unknown)(channels, node)
    for output in model.graph.output:
        channels.classes.lock(channels.get(output.name))
    return channels


def _unknown(channels: Channels, node: onnx.NodeProto) -> None:
    """An operator without a rule: nothing that goes into it may be removed."""
    for name in node.input:
        if name and name not in channels.known:
            channels.classes.lock(channels.get(name))


@rule(
    *(
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Mish",
        "Sigmoid",
        "Softplus",
    ),
    *(
        "Softsign",
        "Tanh",
        "Erf",
        "Clip",
        "Sqrt",
        "Exp",
        "Log",
        "Abs",
        "Neg",
        "Reciprocal",
        "Sin",
        "Cos",
        "Swish",
    ),
    *(
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Identity",
        "Cast",
        "Softmax",
        "LogSoftmax",
        "Dropout",
        "ThresholdedRelu",
    ),
    *(
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GlobalLpPool",
        "LpNormalization",
    ),
)
def _pass(channels: Channels, node: onnx.NodeProto) -> None:
    channels.put(node.output[0], channels.get(node.input[0]))


@rule(
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Min",
    "Max",
    "Sum",
    "Mean",
    "PRelu",
    "Where",
    "Equal",
    "Less",
    "Greater",
)
def _elementwise(channels: Channels, node: onnx.NodeProto) -> None:
    rank = len(channels.shape(node.output[0]))
    active = [name for name in node.input if name not in channels.known]
    joined = np.zeros((1,) * rank, np.int64)
    for name in active:
        labels = _aligned(channels.get(name), rank)
        joined = _joined(channels, joined, labels)
    varying = [axis for axis in range(rank) if joined.shape[axis] > 1]
    for name in node.input:
        shape = (1,) * (rank - len(channels.shape(name))) + channels.shape(name)
        own = [axis for axis in varying if shape[axis] > 1]
        if name in channels.known:
            if len(own) == 1 == len(varying):
                channels.tie(name, own[0] - rank + len(channels.shape(name)), joined.reshape(-1))
            elif own:
                channels.classes.lock(joined)
        elif own and not channels.get(name).any():  # as long as the channels, and without labels of its own
            channels.classes.lock(joined)
    channels.put(node.output[0], joined)


def _aligned(labels: Labels, rank: int) -> Labels:
    return labels.reshape((1,) * (rank - labels.ndim) + labels.shape)


def _joined(channels: Channels, a: Labels, b: Labels) -> Labels:
    """Both label by label; where one has none, the other's."""
    if not a.any() or not b.any():
        return np.asarray(np.broadcast_to(a if a.any() else b, np.broadcast_shapes(a.shape, b.shape)))
    channels.classes.join(a, b)
    return np.asarray(np.broadcast_to(a, np.broadcast_shapes(a.shape, b.shape)))


@rule("Conv")
def _conv(channels: Channels, node: onnx.NodeProto) -> None:
    x, w, y = node.input[0], node.input[1], node.output[0]
    groups, labels = int(attribute(node, "group", 1)), channels.along(x, 1)
    count, width = channels.shape(w)[:2]
    if w not in channels.known:
        return _unknown(channels, node)
    if groups == 1:
        channels.tie(w, 1, labels)
        made = channels.classes.fresh(count)
    elif width == 1:  # depthwise: each input channel makes its own outputs
        made = np.repeat(labels, count // groups)
    else:  # the groups must stay equally wide, so the j-th channel of each goes with the others
        rows = labels.reshape(groups, width)
        channels.classes.join(rows, rows[:1])
        channels.tie(w, 1, rows[0])
        made = np.tile(channels.classes.fresh(count // groups), groups)
    channels.tie(w, 0, made)
    if len(node.input) > 2 and node.input[2]:
        channels.tie(node.input[2], 0, made)
    return channels.spread(y, 1, made)


@rule("ConvTranspose")
def _conv_transpose(channels: Channels, node: onnx.NodeProto) -> None:
    if attribute(node, "group", 1) != 1 or node.input[1] not in channels.known:
        return _unknown(channels, node)
    channels.tie(node.input[1], 0, channels.along(node.input[0], 1))
    made = channels.classes.fresh(channels.shape(node.input[1])[1])
    channels.tie(node.input[1], 1, made)
    if len(node.input) > 2 and node.input[2]:
        channels.tie(node.input[2], 0, made)
    return channels.spread(node.output[0], 1, made)


@rule("Gemm")
def _gemm(channels: Channels, node: onnx.NodeProto) -> None:
    x, w = node.input[:2]
    if w not in channels.known or attribute(node, "transA", 0):
        return _unknown(channels, node)
    out_axis = 0 if attribute(node, "transB", 0) else 1
    channels.tie(w, 1 - out_axis, channels.along(x, 1))
    made = channels.classes.fresh(channels.shape(w)[out_axis])
    channels.tie(w, out_axis, made)
    if len(node.input) > 2 and node.input[2] and channels.shape(node.input[2])[-1:] != (1,):
        channels.tie(node.input[2], len(channels.shape(node.input[2])) - 1, made)
    return channels.spread(node.output[0], 1, made)


@rule("MatMul")
def _matmul(channels: Channels, node: onnx.NodeProto) -> None:
    x, w = node.input
    if w in channels.known and channels.known[w].ndim == 2:
        channels.tie(w, 0, channels.along(x, -1))
        made = channels.classes.fresh(channels.shape(w)[1])
        channels.tie(w, 1, made)
        return channels.spread(node.output[0], -1, made)
    if x in channels.known or w in channels.known or len(channels.shape(x)) != len(channels.shape(w)):
        return _unknown(channels, node)
    return _product(channels, node)


def _product(channels: Channels, node: onnx.NodeProto) -> None:
    """Of two activations, such as attention's: the contracted axes are one, the batch axes are one."""
    a, b = (channels.get(name) for name in node.input)
    outer = [max(p, q) for p, q in zip(a.shape[:-2], b.shape[:-2], strict=True)]
    inner = [a.shape[-2], a.shape[-1], b.shape[-2], b.shape[-1]]
    if any(length > 1 for length in outer) and all(length == 1 for length in inner):
        return channels.put(node.output[0], _joined(channels, a, b))  # by head, which both share
    if all(length == 1 for length in outer) and a.shape[-2] == 1 and b.shape[-1] == 1:
        channels.classes.join(channels.along(node.input[0], -1), channels.along(node.input[1], -2))
        return None
    return _unknown(channels, node)


@rule("BatchNormalization", "InstanceNormalization")
def _per_channel(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.along(node.input[0], 1)
    for name in node.input[1:]:
        channels.tie(name, 0, labels)
    channels.put(node.output[0], channels.get(node.input[0]))


@rule("GroupNormalization")
def _group_norm(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.along(node.input[0], 1)
    rows = labels.reshape(int(attribute(node, "num_groups")), -1)
    channels.classes.join(rows, rows[:1])  # the groups must stay equally wide
    _per_channel(channels, node)


@rule("LayerNormalization", "RMSNormalization")
def _layer_norm(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.along(node.input[0], -1)
    for name in node.input[1:]:
        if name:
            channels.tie(name, len(channels.shape(name)) - 1, labels)
    channels.put(node.output[0], channels.get(node.input[0]))


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(channels: Channels, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    labels = channels.get(x)
    if not labels.any():
        return None
    if np.prod(channels.shape(x)) != np.prod(channels.shape(y)):
        return _unknown(channels, node)
    channels.put(y, np.broadcast_to(labels, channels.shape(x)).reshape(channels.shape(y)))
    return _one_axis(channels, y)


def _one_axis(channels: Channels, name: str) -> None:
    """Let labels vary along one axis only, for only whole slices can be removed: join along the others.

    Of trailing axes (heads, width of a head) the last but one is kept, so whole heads go; of axes before the spatial
    ones (groups, channels of a group, as in a channel shuffle) the last, so a channel of every group goes.
    """
    labels = channels.labels[name]
    varying = [axis for axis, length in enumerate(labels.shape) if length > 1]
    if len(varying) < 2:
        return
    kept = varying[-2] if varying[-1] == labels.ndim - 1 else varying[-1]
    for axis in varying:
        if axis != kept:
            channels.classes.join(labels, labels.take([0], axis))
    channels.put(name, channels.classes.root(labels))


@rule("Transpose")
def _transpose(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.get(node.input[0])
    channels.put(node.output[0], labels.transpose(attribute(node, "perm", list(range(labels.ndim))[::-1])))


@rule("Concat")
def _concat(channels: Channels, node: onnx.NodeProto) -> None:
    rank = len(channels.shape(node.output[0]))
    axis = int(attribute(node, "axis")) % rank
    parts = [channels.get(name) for name in node.input]
    if any(length > 1 for part in parts for k, length in enumerate(part.shape) if k != axis):
        return _stack(channels, node)
    lengths = [channels.shape(name)[axis] for name in node.input]
    vectors = [np.broadcast_to(part.reshape(-1), (n,)) for part, n in zip(parts, lengths, strict=True)]
    return channels.spread(node.output[0], axis, np.concatenate(vectors))


def _stack(channels: Channels, node: onnx.NodeProto) -> None:
    """Joined along another axis than the channels', which are then one and the same in every part."""
    active = [name for name in node.input if name not in channels.known]
    labels = channels.get(active[0])
    axes = [axis for axis, length in enumerate(labels.shape) if length > 1]
    if len(axes) != 1 or any(channels.get(name).shape != labels.shape for name in active):
        return _unknown(channels, node)
    for name in node.input:
        if name in channels.known:  # such as the token of a class before those of the patches
            channels.tie(name, axes[0], labels.reshape(-1))
        else:
            channels.classes.join(labels, channels.get(name))
    return channels.put(node.output[0], labels)


@rule("Split")
def _split(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.get(node.input[0])
    axis = int(attribute(node, "axis", 0)) % labels.ndim
    start = 0
    for name in node.output:
        stop = start + channels.shape(name)[axis]
        channels.put(name, labels.take(range(start, stop), axis) if labels.shape[axis] > 1 else labels)
        start = stop


@rule("Slice")
def _slice(channels: Channels, node: onnx.NodeProto) -> None:
    labels, names = channels.get(node.input[0]), [*node.input[1:], "", "", ""]
    if any(name and name not in channels.known for name in names[:4]):
        return _unknown(channels, node)
    count = len(channels.known[names[0]])
    axes = channels.known[names[2]].tolist() if names[2] else range(count)
    if any(labels.shape[axis] > 1 for axis in axes):
        return _unknown(channels, node)
    return channels.put(node.output[0], labels)


@rule("Gather")
def _gather(channels: Channels, node: onnx.NodeProto) -> None:
    x, indices = node.input
    axis = int(attribute(node, "axis", 0)) % len(channels.shape(x))
    if x in channels.known and indices not in channels.known and channels.known[x].ndim == 2 and axis == 0:
        made = channels.classes.fresh(channels.shape(x)[1])  # an embedding: a row for each token
        channels.tie(x, 1, made)
        return channels.spread(node.output[0], -1, made)
    labels = channels.get(x)
    if labels.shape[axis] > 1 or len(channels.shape(indices)) > 1:
        return _unknown(channels, node)
    scalar = len(channels.shape(indices)) == 0
    return channels.put(node.output[0], labels.squeeze(axis) if scalar else labels)


@rule(
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
)
def _reduce(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.get(node.input[0])
    axes = _axes(channels, node, labels.ndim)
    if any(labels.shape[axis] > 1 for axis in axes):  # summed over: what is left no longer has channels
        return None
    return channels.put(
        node.output[0], labels if attribute(node, "keepdims", 1) else labels.squeeze(tuple(axes))
    )


def _axes(channels: Channels, node: onnx.NodeProto, rank: int) -> Sequence[int]:
    given = attribute(node, "axes")
    if given is None and len(node.input) > 1 and node.input[1] in channels.known:
        given = channels.known[node.input[1]].tolist()
    return [axis % rank for axis in given] if given is not None else range(rank)


@rule("Pad")
def _pad(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.get(node.input[0])
    pads = channels.known.get(node.input[1])
    if pads is None or len(node.input) > 3 or len(pads) != 2 * labels.ndim:
        return _unknown(channels, node)
    if any(labels.shape[k] > 1 and (pads[k] or pads[k + labels.ndim]) for k in range(labels.ndim)):
        return _unknown(channels, node)
    return channels.put(node.output[0], labels)


@rule("Resize", "Expand")
def _resize(channels: Channels, node: onnx.NodeProto) -> None:
    labels, x, y = channels.get(node.input[0]), node.input[0], node.output[0]
    labels = _aligned(labels, len(channels.shape(y)))
    old = (1,) * (len(channels.shape(y)) - len(channels.shape(x))) + channels.shape(x)
    if any(labels.shape[k] > 1 and old[k] != channels.shape(y)[k] for k in range(labels.ndim)):
        return _unknown(channels, node)
    return channels.put(y, labels)
