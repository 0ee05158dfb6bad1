"""Batch and layer normalisation: what differs while training, and the gradients.

ONNX Runtime's BatchNormalization in training mode writes the running mean and variance into the memory of its
*inputs*. So it gets private copies here, with momentum 0, which makes it return the statistics of the batch;
the running ones are updated outside.
"""

import onnx
from onnx import helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule, training_form


@training_form("BatchNormalization")
def batch_norm_training(g: Graph, node: Node, trainable: frozenset[str]) -> Node:
    """Normalise by the batch's own statistics and update the running ones, unless both weights are frozen.

    running' = momentum·running + (1 - momentum)·batch, with the unbiased variance, as PyTorch does it.
    """
    if trainable.isdisjoint({node.input(1).name, node.input(2).name}):
        g.nodes.append(node.proto)
        return node
    x, mean, var = node.x, node.input(3), node.input(4)
    epsilon, momentum = node.attribute("epsilon", 1e-5), node.attribute("momentum", 0.9)
    names = [node.y.name, g.fresh(f"{mean.name}.batch"), g.fresh(f"{var.name}.batch")]
    # Any operator will do that onnxruntime does not optimise away, as it would Identity; the values are not read.
    private = [g.op("Mul", running, 0.5) for running in (mean, var)]
    inputs = [value.name for value in (x, node.input(1), node.input(2), *private)]
    proto = helper.make_node(
        "BatchNormalization", inputs, names, node.proto.name, training_mode=1, momentum=0.0, epsilon=epsilon
    )
    g.nodes.append(proto)
    count = g.count(x, [0, *range(2, len(x.shape))])
    unbiased = count / g.op("Max", count - 1.0, 1.0)
    for running, batch in ((mean, g.value(names[1])), (var, g.value(names[2]) * unbiased)):
        before = g.replaced.get(running.name, running)  # a layer that is applied twice is updated twice
        g.replaced[running.name] = before * momentum + batch * (1 - momentum)
    return Node.of(g, proto)


@rule("BatchNormalization", weights=(1, 2))
def batch_norm(g: Graph, node: Node, dy: Value, *_statistics: Value | None) -> Gradients:
    """Per channel, y = s·(x - mean)·r + b with r = 1/√(var + ε).

    db = Σ dy and ds = r·Σ dy·(x - mean); in inference mode dx = dy·s·r, and in training mode, over m
    elements, dx = s·r·(dy - db/m - (x - mean)·r·ds/m), collected into dx = A·dy + B·x + C with A, B, C per
    channel.
    """
    x, scale = node.x, node.input(1)
    training = bool(node.attribute("training_mode", 0))
    mean, var = (node.outputs[1], node.outputs[2]) if training else (node.input(3), node.input(4))
    axes = [0, *range(2, len(x.shape))]
    shape = [-1, *[1] * (len(x.shape) - 2)]
    inverse = g.op("Reciprocal", g.op("Sqrt", var + node.attribute("epsilon", 1e-5)))
    db = g.sum(dy, axes)
    ds = (g.sum(dy * x, axes) - mean * db) * inverse
    a = scale * inverse
    if not training:
        return dy * g.reshape(a, shape), ds, db
    share = a / g.count(x, axes)
    b = -(share * inverse * ds)
    c = -(share * db) - b * mean
    dx = dy * g.reshape(a, shape) + (x * g.reshape(b, shape) + g.reshape(c, shape))
    return dx, ds, db


@training_form("LayerNormalization")
def layer_norm_training(g: Graph, node: Node, _trainable: frozenset[str]) -> Node:
    """The same, with the mean and 1/deviation as further outputs."""
    return _with_outputs(g, node, [g.fresh(f"{node.y.name}.mean"), g.fresh(f"{node.y.name}.inverse")])


@rule("LayerNormalization", weights=(1, 2))
def layer_norm(g: Graph, node: Node, dy: Value, *_statistics: Value | None) -> Gradients:
    """Over the last axes, y = s·h + b with h = (x - mean)·r: dx = r·(d - mean(d) - h·mean(d·h)), d = dy·s."""
    x, scale = node.x, node.input(1)
    mean, inverse = node.outputs[1], node.outputs[2]
    rank = len(x.shape)
    first = node.attribute("axis", -1) % rank
    axes = list(range(first, rank))
    h = (x - mean) * inverse
    d = dy * scale
    centred = d - g.op("ReduceMean", d, axes) - h * g.op("ReduceMean", d * h, axes)
    ds = g.unbroadcast(dy * h, x.shape, scale)
    db = g.unbroadcast(dy, x.shape, node.input(2)) if node.has(2) else None
    return centred * inverse, ds, db


def _with_outputs(g: Graph, node: Node, further: list[str]) -> Node:
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    del proto.output[1:]
    proto.output.extend(further)
    g.nodes.append(proto)
    return Node.of(g, proto)
