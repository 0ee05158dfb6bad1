"""Gradients of Conv, in one to three dimensions, grouped, strided and dilated.

The textbook writes the weight gradient as a convolution of x with dy. No CPU kernel is made for such shapes:
on ONNX Runtime it takes two to twenty times as long as what stands here, which is products of matrices, one
for each position in the kernel, or one over all unrolled positions. Which is fastest depends on the shape
only (measured on x86 with one thread; the sizes in `_weight_gradient` are where the order changes).
"""

import math

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule
from converter.autodiff.window import Window


@rule("Conv", weights=(1, 2))
def conv(g: Graph, node: Node, dy: Value) -> Gradients:
    """Convolution, y = W * x + b, x: [n, i, ...], W: [o, i/group, ...]: db = Σ dy over all but the channels."""
    window = Window.of(node, [int(k) for k in node.input(1).shape[2:]])
    db = g.sum(dy, [0, *range(2, 2 + window.rank)])
    return _input_gradient(g, node, dy, window), _weight_gradient(g, node, dy, window), db


def _input_gradient(g: Graph, node: Node, dy: Value, window: Window) -> Value:
    """The transposed convolution with the same weights; for 1x1, a convolution with Wᵀ."""
    w, groups = node.input(1), node.attribute("group", 1)
    if window.pointwise and groups == 1:
        return g.op("Conv", dy, g.op("Transpose", w, perm=[1, 0, *range(2, 2 + window.rank)]))
    return g.op(
        "ConvTranspose",
        dy,
        w,
        group=groups,
        kernel_shape=list(window.kernel),
        strides=list(window.strides),
        dilations=list(window.dilations),
        pads=window.pads,
        output_padding=window.left_over,
    )


def _weight_gradient(g: Graph, node: Node, dy: Value, window: Window) -> Value:
    x, w, groups = node.x, node.input(1), node.attribute("group", 1)
    outputs, inputs = int(w.shape[0]), int(w.shape[1])
    if groups == outputs > 1 and inputs == 1:
        return _depthwise(g, x, w, dy, window)
    if groups > 1:
        return _batched(g, x, w, dy, window, groups)
    if window.pointwise:
        return _unrolled(g, x, w, dy, window) if window.pixels <= 16 else _batched(g, x, w, dy, window)
    if inputs < 16:
        return _stacked(g, x, w, dy, window)
    large = max(window.strides) == 1 and window.pixels >= 196
    return _batched(g, x, w, dy, window) if large else _unrolled(g, x, w, dy, window)


def _batched(g: Graph, x: Value, w: Value, dy: Value, window: Window, groups: int = 1) -> Value:
    """For each position in the kernel: dW = Σₙ dyₙ xₙᵀ, a product for each sample."""
    lead = [0, -1] if groups == 1 else [0, groups, -1]
    d = g.reshape(dy, [*lead, window.pixels])
    swap = [*range(len(lead) - 1), len(lead), len(lead) - 1]
    parts = []
    for part in window.offsets(g, window.padded(g, x, 2), 2):
        columns = g.op("Transpose", g.reshape(part, [*lead, window.pixels]), perm=swap)
        product = g.reshape(g.sum(d @ columns, [0]), [int(w.shape[0]), int(w.shape[1]), 1])
        parts.append(product)
    joined = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=2)
    return g.reshape_like(joined, w)


def _stacked(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value:
    """As `_batched`, all positions in one product: for few input channels, which make thin matrices."""
    parts = [g.reshape(part, [0, 0, -1]) for part in window.offsets(g, window.padded(g, x, 2), 2)]
    columns = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
    product = g.reshape(dy, [0, 0, -1]) @ g.op("Transpose", columns, perm=[0, 2, 1])
    return _channels_first(g, g.sum(product, [0]), w, window)


def _unrolled(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value:
    """One product over samples and positions together, channels last: for small maps and for strides."""
    rank = window.rank
    last = g.op("Transpose", x, perm=[0, *range(2, 2 + rank), 1])
    inputs = int(w.shape[1])
    parts = [g.reshape(part, [-1, inputs]) for part in window.offsets(g, window.padded(g, last, 1), 1)]
    columns = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
    rows = g.reshape(g.op("Transpose", dy, perm=[1, 0, *range(2, 2 + rank)]), [int(w.shape[0]), -1])
    return _channels_first(g, rows @ columns, w, window)


def _channels_first(g: Graph, product: Value, w: Value, window: Window) -> Value:
    """From [o, positions · i] to the weights' own [o, i, ...]."""
    outputs, inputs = int(w.shape[0]), int(w.shape[1])
    positions = math.prod(window.kernel)
    if positions == 1:
        return g.reshape_like(product, w)
    split = g.reshape(product, [outputs, positions, inputs])
    return g.reshape_like(g.op("Transpose", split, perm=[0, 2, 1]), w)


def _depthwise(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value:
    """One channel a filter: for each position Σ x·dy, channels last, where they are contiguous."""
    channels, rank = int(w.shape[0]), window.rank
    order = [0, *range(2, 2 + rank), 1]
    d = g.op("Transpose", dy, perm=order)
    padded = window.padded(g, g.op("Transpose", x, perm=order), 1)
    sums = [
        g.reshape(g.sum(g.reshape(part * d, [-1, channels]), [0]), [channels, 1])
        for part in window.offsets(g, padded, 1)
    ]
    return g.reshape_like(sums[0] if len(sums) == 1 else g.op("Concat", *sums, axis=1), w)
