"""Gradients of the normalisations that need no statistics of the batch.

Over the normalised elements, with h the input brought to mean 0 and deviation 1 (or to norm 1)::

    h = (x - mean(x))·r,  r = 1/√(var(x) + ε):   dx = r·(d - mean(d) - h·mean(d·h))
    h = x·r,  r = 1/√(mean(x²) + ε):             dx = r·(d - h·mean(d·h))

where d is the gradient of h. Layer, Instance and GroupNormalization are the first, RMSNormalization the second.
"""

from collections.abc import Sequence

import onnx

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule, training_form


@training_form("LayerNormalization")
def layer_norm_training(g: Graph, node: Node, _trainable: frozenset[str]) -> Node:
    """The same, with the mean and 1/deviation as further outputs."""
    return _with_outputs(g, node, [g.fresh(f"{node.y.name}.mean"), g.fresh(f"{node.y.name}.inverse")])


def _with_outputs(g: Graph, node: Node, further: list[str]) -> Node:
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    for index, name in enumerate(further, start=1):
        if index == len(proto.output):
            proto.output.append(name)
        elif not proto.output[index]:
            proto.output[index] = name
    g.nodes.append(proto)
    return Node.of(g, proto)


@rule("LayerNormalization", weights=(1, 2))
def layer_norm(
    g: Graph, node: Node, dy: Value | None, dmean: Value | None = None, dinverse: Value | None = None
) -> Gradients:
    """Over the last axes, y = s·h + b; the mean and r may be outputs too: dx = dmean/m - dr·r²·h/m over m elements."""
    x, scale, axes = node.x, node.input(1), _trailing(node)
    mean, inverse = node.outputs[1], node.outputs[2]
    h = (x - mean) * inverse
    parts = [] if dy is None else [_through(g, dy * scale, h, inverse, axes)]
    if dmean is not None:
        parts.append(g.op("Expand", dmean / g.count(x, axes), g.shape_of(x)))
    if dinverse is not None:
        parts.append(-(h * (dinverse * inverse * inverse / g.count(x, axes))))
    dx = parts[0] if len(parts) == 1 else g.op("Sum", *parts)
    if dy is None:
        return dx
    ds = g.unbroadcast(dy * h, x.shape, scale)
    return dx, ds, g.unbroadcast(dy, x.shape, node.input(2)) if node.has(2) else None


@rule("RMSNormalization", weights=(1,))
def rms_norm(g: Graph, node: Node, dy: Value) -> Gradients:
    """Over the last axes, y = s·h with the root of the mean square only."""
    x, scale, axes = node.x, node.input(1), _trailing(node)
    inverse = _inverse(g, g.op("ReduceMean", x * x, axes), node)
    h = x * inverse
    d = dy * scale
    dx = (d - h * g.op("ReduceMean", d * h, axes)) * inverse
    return dx, g.unbroadcast(dy * h, x.shape, scale)


@rule("InstanceNormalization", weights=(1, 2))
def instance_norm(g: Graph, node: Node, dy: Value) -> Gradients:
    """Over each channel's positions, y = s·h + b with s and b per channel."""
    x, spatial = node.x, list(range(2, len(node.x.shape)))
    h, inverse = _standardised(g, x, spatial, node)
    scale = g.reshape(node.input(1), [-1, *[1] * len(spatial)])
    return (
        _through(g, dy * scale, h, inverse, spatial),
        g.sum(dy * h, [0, *spatial]),
        g.sum(dy, [0, *spatial]),
    )


@rule("GroupNormalization", weights=(1, 2))
def group_norm(g: Graph, node: Node, dy: Value) -> Gradients:
    """Over groups of channels and their positions, y = s·h + b with s and b per channel."""
    x, spatial = node.x, list(range(2, len(node.x.shape)))
    grouped = [0, int(node.attribute("num_groups", 1)), -1]
    h, inverse = _standardised(g, g.reshape(x, grouped), [2], node)
    scaled = dy * g.reshape(node.input(1), [-1, *[1] * len(spatial)])
    dx = g.reshape_like(_through(g, g.reshape(scaled, grouped), h, inverse, [2]), x)
    ds = g.sum(dy * g.reshape_like(h, x), [0, *spatial])
    return dx, ds, g.sum(dy, [0, *spatial])


@rule("LpNormalization")
def lp_norm(g: Graph, node: Node, dy: Value) -> Gradients:
    """y = x/n with the norm n along an axis: dx = (dy - s·Σ dy·y)/n, s = y for p = 2 and sign(x) for p = 1."""
    axis, p = node.attribute("axis", -1), node.attribute("p", 2)
    norm = g.op("ReduceL1" if p == 1 else "ReduceL2", node.x, [axis])
    norm = norm + g.mask("Equal", norm, 0.0)
    slope = g.op("Sign", node.x) if p == 1 else node.y
    return (dy - slope * g.sum(dy * node.y, [axis], keep=True)) / norm


@rule("LRN")
def local_response_norm(g: Graph, node: Node, dy: Value) -> Gradients:
    """y = x·s^-β, s = bias + α/size·Σ x² over near channels.

    dx = dy·s^-β - 2·α·β/size·x·Σ dy·x·s^(-β-1), summed over the channels that x is near to.
    """
    size = int(node.attribute("size", 1))
    alpha, beta = float(node.attribute("alpha", 1e-4)), float(node.attribute("beta", 0.75))
    before, after = (size - 1) // 2, size // 2

    def near(value: Value, low: int, high: int) -> Value:
        flat = g.reshape(value, [0, 1, int(node.x.shape[1]), -1])
        pooled = g.op(
            "AveragePool", flat, kernel_shape=[size, 1], pads=[low, 0, high, 0], count_include_pad=1
        )
        return g.reshape_like(pooled, node.x)

    s = near(node.x * node.x, before, after) * alpha + float(node.attribute("bias", 1.0))
    power = g.op("Pow", s, -beta)
    others = near(dy * node.x * power / s, after, before)
    return dy * power - node.x * others * (2 * alpha * beta)


def _trailing(node: Node) -> list[int]:
    """The axes from the attribute "axis" on."""
    rank = len(node.x.shape)
    return list(range(node.attribute("axis", -1) % rank, rank))


def _inverse(g: Graph, mean_square: Value, node: Node) -> Value:
    return g.op("Reciprocal", g.op("Sqrt", mean_square + float(node.attribute("epsilon", 1e-5))))


def _standardised(g: Graph, x: Value, axes: Sequence[int], node: Node) -> tuple[Value, Value]:
    """h and r of the first equation above."""
    centred = x - g.op("ReduceMean", x, list(axes))
    inverse = _inverse(g, g.op("ReduceMean", centred * centred, list(axes)), node)
    return centred * inverse, inverse


def _through(g: Graph, d: Value, h: Value, inverse: Value, axes: Sequence[int]) -> Value:
    """dx of the first equation above."""
    axes = list(axes)
    return (d - g.op("ReduceMean", d, axes) - h * g.op("ReduceMean", d * h, axes)) * inverse
