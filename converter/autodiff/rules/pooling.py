"""Gradients of pooling."""

import itertools

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule
from converter.autodiff.rules.window import Window
from edge_runtime.tensors import Array


@rule("MaxPool")
def max_pool(g: Graph, node: Node, dy: Value) -> Gradients:
    """The gradient goes to the largest element of each window.

    Where windows lie side by side: enlarge y, compare with x, and mask the enlarged dy. Equal elements share
    the gradient: a plain background makes them common, and each getting all of it would be wrong. Elsewhere:
    scatter by the indices that MaxPool can return, which takes ten times as long.
    """
    window = Window.of(node, node.attribute("kernel_shape", []))
    if not window.tiles:
        return _scattered(g, node, dy)
    x = _covered(g, node.x, window)
    chosen = g.mask("Equal", x, _enlarged(g, node.y, window))
    share = g.op("AveragePool", chosen, kernel_shape=list(window.kernel), strides=list(window.strides))
    dy = dy / (share * float(np.prod(window.kernel)))
    return _restored(g, chosen * _enlarged(g, dy, window), window)


def _scattered(g: Graph, node: Node, dy: Value) -> Value:
    same = {a.name: node.attribute(a.name, None) for a in node.proto.attribute}
    _, indices = g.ops("MaxPool", node.x, outputs=2, **same)
    total = g.op("Shape", g.reshape(node.x, [-1]))
    zeros = g.op("Expand", 0.0, total)
    flat = g.op("ScatterElements", zeros, g.reshape(indices, [-1]), g.reshape(dy, [-1]), reduction="add")
    return g.reshape_like(flat, node.x)


@rule("AveragePool")
def average_pool(g: Graph, node: Node, dy: Value) -> Gradients:
    """Every element of a window gets an equal share: enlarged, or added up by a transposed convolution."""
    window = Window.of(node, node.attribute("kernel_shape", []))
    if window.tiles:
        return _restored(g, _enlarged(g, dy * (1 / float(np.prod(window.kernel))), window), window)
    shares = dy * _shares(
        window, g.dtype, include_pad=bool(node.attribute("count_include_pad", 0)), node=node
    )
    channels = int(node.x.shape[1])
    return g.op(
        "ConvTranspose",
        shares,
        np.ones((channels, 1, *window.kernel), g.dtype),
        group=channels,
        strides=list(window.strides),
        dilations=list(window.dilations),
        pads=window.pads,
        output_padding=window.left_over,
    )


def _shares(window: Window, dtype: np.dtype[np.generic], *, include_pad: bool, node: Node) -> Array:
    """1 / (elements counted) for each output position: [1, 1, ...]."""
    rank = window.rank
    declared = (
        node.attribute("pads", [0] * (2 * rank))
        if node.attribute("auto_pad", "NOTSET") == "NOTSET"
        else window.pads
    )
    counts = np.ones((), dtype)
    for axis in range(rank):
        low = -window.begin[axis] if include_pad else 0
        high = window.size[axis] + (declared[rank + axis] if include_pad else 0)
        starts = np.arange(window.out[axis]) * window.strides[axis] - window.begin[axis]
        steps = np.arange(window.kernel[axis]) * window.dilations[axis]
        met = starts[:, None] + steps
        counts = np.multiply.outer(counts, ((met >= low) & (met < high)).sum(axis=1).astype(dtype))
    return (1 / counts)[None, None]


def _enlarged(g: Graph, x: Value, window: Window) -> Value:
    """Each element repeated over its window."""
    scales = np.array([1, 1, *window.kernel], np.float32)
    return g.op(
        "Resize",
        x,
        None,
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _covered(g: Graph, x: Value, window: Window) -> Value:
    """`x` without the elements at the end that no window covers."""
    if not any(window.left_over):
        return x
    stops = [n - rest for n, rest in zip(window.size, window.left_over, strict=True)]
    return g.slice(x, [0] * window.rank, stops, range(2, 2 + window.rank), [1] * window.rank)


def _restored(g: Graph, dx: Value, window: Window) -> Value:
    """Zeros for the elements that no window covers."""
    if not any(window.left_over):
        return dx
    return g.op("Pad", dx, [*itertools.repeat(0, 2 + window.rank), 0, 0, *window.left_over])
