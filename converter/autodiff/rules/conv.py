"""Gradients of Conv, in one to three dimensions, grouped, strided and dilated.

The textbook writes the weight gradient as a convolution of x with dy. No CPU kernel is made for such shapes:
on ONNX Runtime it takes two to twenty times as long as what stands here, which is products of matrices. Which
of them is fastest depends on the shape. Each choice below says what was measured: milliseconds of x86-64 (one
thread, AVX-512, 16 samples) and millions of instructions of an emulated Cortex-A72 (2 samples).

Depthwise convolutions have their own file, `converter.autodiff.rules.depthwise`.
"""

import math

from onnx import helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule, training_form
from converter.autodiff.rules import blocked, depthwise
from converter.autodiff.rules.window import Window

_TINY = 8
"""Maps of up to so many pixels are unrolled over the whole batch, also forwards. A kernel that works sample by
sample reads all weights for each: 512 channels on 2x2, forwards 5.6 ms against 2.1 (13.7 M against 9.1 M), the
input's gradient 13.2 against 2.9 (28.7 against 16.3). From 4x4 on there is no difference."""
_LARGE = 400
"""From so many pixels on, a product for each sample and position: 64 channels on 32x32, 7.2 ms against 12.7
unrolled (30.0 M against 26.2 M); but on 16x16 2.3 against 3.0 (9.7 M against 6.8 M)."""
_LARGE_POINTWISE = 150
"""The same for 1x1: 16 to 96 channels on 24x24, 0.16 ms against 0.33 (0.72 M against 0.76 M); but on 12x12 0.17
against 0.18 (0.88 M against 0.74 M), and on 3x3 0.25 against 0.08 (1.82 M against 0.42 M)."""
_FEW = 16
"""With fewer input channels all positions are stacked into one product for each sample."""


@training_form("Conv")
def conv_training(g: Graph, node: Node, _trainable: frozenset[str]) -> Node:
    """The same function; of small maps as a product over the whole batch."""
    window, x, w = _window(node), node.x, node.input(1)
    groups = node.attribute("group", 1)
    if blocked.fits(g, w, window, groups):
        bias = node.input(2) if node.has(2) else None
        y = blocked.forward(g, x, w, bias, window, groups)
        g.nodes.append(helper.make_node("Identity", [y.name], [node.y.name]))
        return node
    if _is_depthwise(node) and depthwise.small(window):
        y = depthwise.forward(g, x, w, window)
    elif _is_tiny(node, window):
        product = g.op("Gemm", _matrix(g, w), _columns(g, x, window))
        y = _swapped(g, g.reshape(product, [int(w.shape[0]), -1, *window.out]), window.rank)
    else:
        g.nodes.append(node.proto)
        return node
    if node.has(2):
        y = y + g.reshape(node.input(2), [-1, *[1] * window.rank])
    g.nodes.append(helper.make_node("Identity", [y.name], [node.y.name]))
    return node


@rule("Conv", weights=(1, 2))
def conv(g: Graph, node: Node, dy: Value) -> Gradients:
    """Convolution, y = W * x + b, x: [n, i, ...], W: [o, i/group, ...]: db = Σ dy over all but the channels."""
    window = _window(node)
    db = g.sum(dy, [0, *range(2, 2 + window.rank)])
    return _input_gradient(g, node, dy, window), _weight_gradient(g, node, dy, window), db


def _window(node: Node) -> Window:
    return Window.of(node, [int(k) for k in node.input(1).shape[2:]])


def _is_depthwise(node: Node) -> bool:
    """One filter a channel."""
    outputs, inputs = node.input(1).shape[:2]
    return bool(node.attribute("group", 1) == outputs != 1 and inputs == 1)


def _is_tiny(node: Node, window: Window) -> bool:
    return bool(node.attribute("group", 1) == 1 and window.pixels <= _TINY)


def _input_gradient(g: Graph, node: Node, dy: Value, window: Window) -> Value:
    """The transposed convolution with the same weights; for 1x1, a convolution with Wᵀ."""
    w, groups = node.input(1), node.attribute("group", 1)
    if blocked.fits(g, w, window, groups):
        found = blocked.input_gradient(g, w, dy, window, groups)
        if found is not None:
            return found
    if _is_depthwise(node):
        return depthwise.input_gradient(g, w, dy, window)
    # ONNX Runtime's Col2Im goes wrong with dilations on one or three spatial axes.
    if _is_tiny(node, window) and (window.pointwise or window.rank == 2):
        return _folded(g, dy, w, window)
    if window.pointwise and groups == 1:
        return g.op("Conv", dy, g.op("Transpose", w, perm=[1, 0, *range(2, 2 + window.rank)]))
    return window.transposed(g, dy, w, groups)


def _weight_gradient(g: Graph, node: Node, dy: Value, window: Window) -> Value:
    x, w, groups = node.x, node.input(1), node.attribute("group", 1)
    inputs = int(w.shape[1])
    if _is_depthwise(node):
        found = blocked.weight_gradient(g, x, w, dy, window) if blocked.fits(g, w, window, groups) else None
        if found is not None:
            return found
        return depthwise.weight_gradient(g, x, w, dy, window)
    if groups > 1:
        return _batched(g, x, w, dy, window, groups)
    if _is_tiny(node, window):
        product = g.op("Gemm", _rows(g, w, dy, window), _columns(g, x, window), transB=1)
        return g.reshape_like(product, w)
    if window.pointwise:
        large = window.pixels > _LARGE_POINTWISE
    elif inputs < _FEW:
        return _stacked(g, x, w, dy, window)
    else:
        large = max(window.strides) == 1 and window.pixels > _LARGE
    return _batched(g, x, w, dy, window) if large else _unrolled(g, x, w, dy, window)


# One product over the batch: W as it lies in memory, [o, i · positions]; x as columns [i · positions, n · pixels].


def _matrix(g: Graph, w: Value) -> Value:
    return g.reshape(w, [int(w.shape[0]), -1])


def _rows(g: Graph, w: Value, dy: Value, window: Window) -> Value:
    """From dy, the rows [o, n · pixels]."""
    return g.reshape(_swapped(g, dy, window.rank), [int(w.shape[0]), -1])


def _swapped(g: Graph, x: Value, rank: int) -> Value:
    """Samples and channels change places."""
    return g.op("Transpose", x, perm=[1, 0, *range(2, 2 + rank)])


def _columns(g: Graph, x: Value, window: Window) -> Value:
    """What each position in the kernel meets: x unrolled."""
    padded = window.padded(g, _swapped(g, x, window.rank), 2)
    parts = [g.op("Unsqueeze", part, [1]) for part in window.offsets(g, padded, 2)]
    joined = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
    return g.reshape(joined, [int(x.shape[1]) * math.prod(window.kernel), -1])


def _folded(g: Graph, dy: Value, w: Value, window: Window) -> Value:
    """The transpose of `_columns`, after Wᵀ: each element is the sum of what it became.

    Pixels are the rows of the product. W as it lies in memory is then read once, 14 M instructions for 512
    channels on 2x2 (4 samples), where it takes 24 M to begin with Wᵀ.
    """
    inputs, outputs = int(w.shape[1]), int(w.shape[0])
    pixels = g.op("Transpose", g.reshape(dy, [0, 0, -1]), perm=[0, 2, 1])
    product = g.op("Gemm", g.reshape(pixels, [-1, outputs]), _matrix(g, w))
    split = g.op("Transpose", g.reshape(product, [-1, window.pixels, _terms(w)]), perm=[0, 2, 1])
    if window.pointwise:
        return g.reshape(split, [0, inputs, *window.size])
    return g.op(
        "Col2Im",
        split,
        list(window.size),
        list(window.kernel),
        pads=window.pads,
        strides=list(window.strides),
        dilations=list(window.dilations),
    )


def _terms(w: Value) -> int:
    """How many products each output is the sum of."""
    return math.prod(int(length) for length in w.shape[1:])


# Products that read x and dy as they are.


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
    """One product over samples and positions together, channels last."""
    rank = window.rank
    last = g.op("Transpose", x, perm=[0, *range(2, 2 + rank), 1])
    inputs = int(w.shape[1])
    parts = [g.reshape(part, [-1, inputs]) for part in window.offsets(g, window.padded(g, last, 1), 1)]
    columns = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=1)
    return _channels_first(g, _rows(g, w, dy, window) @ columns, w, window)


def _channels_first(g: Graph, product: Value, w: Value, window: Window) -> Value:
    """From [o, positions · i] to the weights' own [o, i, ...]."""
    outputs, inputs = int(w.shape[0]), int(w.shape[1])
    positions = math.prod(window.kernel)
    if positions == 1:
        return g.reshape_like(product, w)
    split = g.reshape(product, [outputs, positions, inputs])
    return g.reshape_like(g.op("Transpose", split, perm=[0, 2, 1]), w)
