"""How each operator passes channels on, and which of them it makes one and the same (see `channels`)."""

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels, aligned, rule, unknown
from converter.model import attribute

_BY_ELEMENT = (
    "Relu LeakyRelu Elu Selu Celu Gelu HardSigmoid HardSwish Mish Sigmoid Softplus Softsign Tanh Swish Clip "
    "ThresholdedRelu Shrink Erf Sqrt Exp Log Abs Neg Reciprocal Sin Cos Floor Ceil Round Sign Not Identity Cast "
    "CastLike Dropout"
)
_BY_CHANNEL = "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool LpNormalization LRN"
# LRN's window slides over the channels that are left.


@rule(*_BY_ELEMENT.split(), *_BY_CHANNEL.split())
def _pass(channels: Channels, node: onnx.NodeProto) -> None:
    channels.put(node.output[0], channels.get(node.input[0]))


@rule("Softmax", "LogSoftmax")
def _softmax(channels: Channels, node: onnx.NodeProto) -> None:
    labels = channels.get(node.input[0])
    if labels.shape[int(attribute(node, "axis", -1))] > 1:  # a share of a whole that would change
        return unknown(channels, node)
    return channels.put(node.output[0], labels)


@rule(
    *[
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
    ]
)
def _elementwise(channels: Channels, node: onnx.NodeProto) -> None:
    rank = len(channels.shape(node.output[0]))
    active = [name for name in node.input if name not in channels.known]
    joined = np.zeros((1,) * rank, np.int64)
    for name in active:
        labels = aligned(channels.get(name), rank)
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
        return unknown(channels, node)
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
        return unknown(channels, node)
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
        return unknown(channels, node)
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
        return unknown(channels, node)
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
    return unknown(channels, node)


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
