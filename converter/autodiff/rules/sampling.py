"""Operators that look at an image between its pixels: written out as picking pixels and weighting them.

The weights are differentiable in the position, which is how a grid, an offset or a box is trained.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Node, expansion


def _sample(
    g: Graph,
    x: Value,
    sizes: Sequence[int],
    at: Sequence[Value],
    *,
    mode: str = "linear",
    padding: str = "zeros",
    aligned: bool = False,
) -> Value:
    """The values of an image at positions.

    Args:
        g: the graph.
        x: float[n, c, pixels], the image's axes joined.
        sizes: its lengths.
        at: for each axis float[n, 1, p], in pixels.
        mode: "nearest", "linear" or "cubic".
        padding: what lies outside: "zeros", "border" or "reflection".
        aligned: whether a reflection is about the outer pixels' centres, or about their edges.

    Returns:
        float[n, c, p].
    """
    taps = [_taps(g, u, mode) for u in at]
    total: list[Value] = []
    for corner in itertools.product(*taps):
        flat: Value | None = None
        weight: Value | None = None
        for (index, share), size in zip(corner, sizes, strict=True):
            place, known = _inside(g, index, size, padding, aligned)
            flat = place if flat is None else g.op("Add", g.op("Mul", flat, np.array(size)), place)
            for factor in (share, known):
                if factor is not None:
                    weight = factor if weight is None else weight * factor
        if flat is None:
            continue
        channels = int(x.shape[1]) if x.name in g.shapes else 0
        wide = g.op("Expand", flat, [1, channels, 1])
        values = g.op("GatherElements", x, wide, axis=2)
        total.append(values if weight is None else values * weight)
    return total[0] if len(total) == 1 else g.op("Sum", *total)


def _taps(g: Graph, u: Value, mode: str) -> list[tuple[Value, Value | None]]:
    """The pixels that a position depends on along one axis, and their weights (None for 1)."""
    if mode == "nearest":
        return [(g.op("Cast", g.op("Round", u), to=7), None)]
    low = g.op("Floor", u)
    t = u - low
    first = g.op("Cast", low, to=7)
    if mode == "linear":
        return [(first, 1.0 - t), (g.op("Add", first, np.array(1)), t)]
    a = -0.75  # Keys' cubic convolution
    weights: list[tuple[Value, Value | None]] = []
    for offset in (-1, 0, 1, 2):
        d = t - float(offset) if offset <= 0 else float(offset) - t
        if offset in (0, 1):
            weight = d * d * (d * (a + 2) - (a + 3)) + 1.0
        else:
            weight = d * (d * (d * a - 5 * a) + 8 * a) - 4 * a
        weights.append((g.op("Add", first, np.array(offset)), weight))
    return weights


def _inside(g: Graph, index: Value, size: int, padding: str, aligned: bool) -> tuple[Value, Value | None]:
    """An index within the image, and a mask of those that were (None if all count)."""
    limit = np.array(size - 1)
    clipped = g.op("Clip", index, np.array(0), limit)
    if padding == "zeros":
        return clipped, g.mask("Equal", index, clipped)
    if padding == "border":
        return clipped, None
    period = max(2 * (size - 1), 1) if aligned else 2 * size
    around = g.op("Mod", index, np.array(period))
    back = g.op("Sub", np.array(period if aligned else period - 1), around)
    return g.op("Min", around, back), None


@expansion("GridSample", needs="an image of fixed size")
def grid_sample(g: Graph, node: Node) -> Value | None:
    """A grid of positions from -1 to 1, x before y, in an image of two or three axes."""
    sizes = _fixed(node.x)
    if sizes is None:
        return None
    rank, aligned = len(sizes), bool(node.attribute("align_corners", 0))
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(node.attribute("mode", "linear"))
    flat = g.reshape(node.input(1), [0, 1, -1, rank])
    parts = g.ops("Split", flat, [1] * rank, outputs=rank, axis=3)
    at = []
    for part, size in zip(reversed(parts), sizes, strict=True):
        u = g.op("Squeeze", part, [3]) + 1.0
        at.append(u * ((size - 1) / 2) if aligned else u * (size / 2) - 0.5)
    x = _joined(g, node.x)
    found = _sample(
        g, x, sizes, at, mode=mode or node.attribute("mode", "linear"),
        padding=node.attribute("padding_mode", "zeros"), aligned=aligned,
    )  # fmt: skip
    head = g.op("Shape", node.x, start=0, end=2)
    tail = g.op("Shape", node.input(1), start=1, end=-1)
    return g.op("Reshape", found, g.op("Concat", head, tail, axis=0))


def _fixed(x: Value) -> list[int] | None:
    """The lengths of the axes behind batch and channels, if all are fixed; the channels must be too."""
    fixed = [dim for dim in x.shape[1:] if isinstance(dim, int)]
    return fixed[1:] if len(fixed) == len(x.shape) - 1 else None


def _joined(g: Graph, x: Value) -> Value:
    """The image's axes as one; its shape is noted for `_sample`."""
    sizes = _fixed(x) or []
    made = g.reshape(x, [0, 0, int(np.prod(sizes))])
    g.shapes[made.name] = (*x.shape[:2], int(np.prod(sizes)))
    return made


@expansion("RoiAlign", needs="an image of fixed size, a fixed sampling ratio and the mode avg")
def roi_align(g: Graph, node: Node) -> Value | None:
    """For each box, the mean of ratio² samples in each cell of a grid."""
    sizes, ratio = _fixed(node.x), int(node.attribute("sampling_ratio", 0))
    if sizes is None or ratio < 1 or node.attribute("mode", "avg") != "avg":
        return None
    out = [int(node.attribute(f"output_{name}", 1)) for name in ("height", "width")]
    half = node.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    scaled = node.input(1) * float(node.attribute("spatial_scale", 1.0)) - (0.5 if half else 0.0)
    x1, y1, x2, y2 = g.ops("Split", scaled, [1] * 4, outputs=4, axis=1)
    at = []
    for low, high, count in ((y1, y2, out[0]), (x1, x2, out[1])):
        extent = high - low if half else g.op("Max", high - low, 1.0)
        steps = (np.arange(count * ratio) + 0.5) / (count * ratio)
        at.append(low + extent * g.constant(steps[None].astype(g.dtype)))
    rows, columns = out[0] * ratio, out[1] * ratio
    v = g.reshape(g.op("Expand", g.op("Unsqueeze", at[0], [2]), [1, 1, columns]), [0, 1, -1])
    u = g.reshape(g.op("Expand", g.op("Unsqueeze", at[1], [1]), [1, rows, 1]), [0, 1, -1])
    images = g.op("Gather", _joined(g, node.x), node.input(2), axis=0)
    g.shapes[images.name] = (node.input(1).shape[0], node.x.shape[1], int(np.prod(sizes)))
    # A sample less than a pixel outside counts as on the border; one further away is zero.
    known = None
    positions = []
    for w, size in zip((v, u), sizes, strict=True):
        mask = g.mask("GreaterOrEqual", w, -1.0) * g.mask("LessOrEqual", w, float(size))
        known = mask if known is None else known * mask
        positions.append(g.op("Clip", w, 0.0, float(size - 1)))
    found = _sample(g, images, sizes, positions, padding="border")
    found = found if known is None else found * known
    cells = g.reshape(found, [0, 0, rows, columns])
    return g.op("AveragePool", cells, kernel_shape=[ratio, ratio], strides=[ratio, ratio])


@expansion("DeformConv", weights=(1, 3), needs="an image of fixed size")
def deform_conv(g: Graph, node: Node) -> Value | None:
    """A convolution whose kernel looks at positions that are shifted by an offset, and weighted by a mask."""
    sizes = _fixed(node.x)
    out = _fixed(node.y)
    if sizes is None or out is None or len(sizes) != 2:
        return None
    x, w = node.x, node.input(1)
    kernel = [int(k) for k in w.shape[2:]]
    taps, pixels = kernel[0] * kernel[1], out[0] * out[1]
    strides, dilations = node.attribute("strides", [1, 1]), node.attribute("dilations", [1, 1])
    pads, shared = node.attribute("pads", [0] * 4), int(node.attribute("offset_group", 1))
    channels, groups = int(x.shape[1]), int(node.attribute("group", 1))
    offsets = g.reshape(node.input(2), [-1, taps, 2, pixels])
    parts = g.ops("Split", offsets, [1, 1], outputs=2, axis=2)
    at = []
    for axis in range(2):
        tap = np.arange(kernel[axis]) * dilations[axis]
        place = np.arange(out[axis]) * strides[axis] - pads[axis]
        sums = tap[:, None] + place
        grid = sums[:, None, :, None] if axis == 0 else sums[None, :, None, :]
        fixed = np.broadcast_to(grid, (*kernel, *out)).reshape(1, 1, taps * pixels)
        at.append(g.reshape(parts[axis], [-1, 1, taps * pixels]) + g.constant(fixed.astype(g.dtype)))
    joined = g.reshape(x, [-1, channels // shared, sizes[0] * sizes[1]])
    g.shapes[joined.name] = ("?-1/-1", channels // shared, sizes[0] * sizes[1])
    found = _sample(g, joined, sizes, at)
    if node.has(4):
        found = found * g.reshape(node.input(4), [-1, 1, taps * pixels])
    columns = g.reshape(found, [-1, groups, channels // groups * taps, pixels])
    weights = g.reshape(w, [1, groups, int(w.shape[0]) // groups, channels // groups * taps])
    y = g.reshape(weights @ columns, [-1, int(w.shape[0]), *out])
    return y + g.reshape(node.input(3), [-1, 1, 1]) if node.has(3) else y
