"""How operators that move, join and cut tensors pass channels on (see `channels`)."""

from collections.abc import Sequence

import numpy as np
import onnx

from compress.pruning.channels import Channels, aligned, rule, unknown
from converter.model import attribute


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(channels: Channels, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    labels = channels.get(x)
    if not labels.any():
        return None
    computed = node.op_type == "Reshape" and node.input[1] not in channels.known
    if computed or np.prod(channels.shape(x)) != np.prod(channels.shape(y)):
        return unknown(channels, node)
    channels.put(y, np.broadcast_to(labels, channels.shape(x)).reshape(channels.shape(y)))
    return _one_axis(channels, y)


def _one_axis(channels: Channels, name: str) -> None:
    """Let labels vary along one axis only, for only whole slices can be removed: join along the others.

    Of trailing axes (heads, width of a head) the last but one is kept, so whole heads go; of axes before the spatial
    ones (groups, channels of a group, as in a channel shuffle) the last, so a channel of every group goes. Where that
    turns out to free nothing, `analyse` asks for the other of the two.
    """
    labels = channels.labels[name]
    varying = [axis for axis, length in enumerate(labels.shape) if length > 1]
    if len(varying) < 2:
        return
    trailing = varying[-1] == labels.ndim - 1
    first, other = (varying[-2], varying[-1]) if trailing else (varying[-1], varying[-2])
    kept = other if name in channels.turned else first
    channels.ambiguous[name] = labels
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
        return unknown(channels, node)
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
        return unknown(channels, node)
    count = len(channels.known[names[0]])
    axes = channels.known[names[2]].tolist() if names[2] else range(count)
    if any(labels.shape[axis] > 1 for axis in axes):
        return unknown(channels, node)
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
        return unknown(channels, node)
    scalar = len(channels.shape(indices)) == 0
    return channels.put(node.output[0], labels.squeeze(axis) if scalar else labels)


@rule(
    *[
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ]
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
        return unknown(channels, node)
    if any(labels.shape[k] > 1 and (pads[k] or pads[k + labels.ndim]) for k in range(labels.ndim)):
        return unknown(channels, node)
    return channels.put(node.output[0], labels)


@rule("Resize", "Expand")
def _resize(channels: Channels, node: onnx.NodeProto) -> None:
    labels, x, y = channels.get(node.input[0]), node.input[0], node.output[0]
    labels = aligned(labels, len(channels.shape(y)))
    old = (1,) * (len(channels.shape(y)) - len(channels.shape(x))) + channels.shape(x)
    if any(labels.shape[k] > 1 and old[k] != channels.shape(y)[k] for k in range(labels.ndim)):
        return unknown(channels, node)
    return channels.put(y, labels)
