"""Pooling of regions of an image: written out as the largest within each row of cells, then within each cell.

Fast R-CNN (Girshick 2015), section 2.1. Where a cell begins and ends is rounded, so no gradient reaches the boxes.
"""

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Node, expansion


@expansion("MaxRoiPool", needs="an image of fixed size")
def max_roi_pool(g: Graph, node: Node) -> Value | None:
    """For each box, the largest pixel in each cell of a grid; 0 in a cell that lies outside of the image."""
    if len(node.x.shape) != 4 or not all(isinstance(length, int) for length in node.x.shape[2:]):
        return None
    scale = float(node.attribute("spatial_scale", 1.0))
    number, *corners = g.ops("Split", g.op("Cast", node.input(1), to=1), [1] * 5, outputs=5, axis=1)
    x1, y1, x2, y2 = (_rounded(g, corner, scale) for corner in corners)
    images = g.op("Gather", node.x, g.op("Squeeze", g.op("Cast", number, to=7), [1]), axis=0)
    sizes, cells = [int(length) for length in node.x.shape[2:]], node.attribute("pooled_shape", [])
    rows = _within(g, y1, y2, int(cells[0]), sizes[0])  # [boxes, cells, pixels]
    columns = _within(g, x1, x2, int(cells[1]), sizes[1])
    lowest = g.constant(np.array(np.finfo(g.dtype).min, g.dtype))
    tall = g.op("Where", g.op("Unsqueeze", rows, [1, 4]), g.op("Unsqueeze", images, [2]), lowest)
    tall = g.op("ReduceMax", tall, [3], keepdims=0)  # [boxes, channels, cells, width]
    wide = g.op("Where", g.op("Unsqueeze", columns, [1, 2]), g.op("Unsqueeze", tall, [3]), lowest)
    found = g.op("ReduceMax", wide, [4], keepdims=0)
    some = [g.op("ReduceMax", g.op("Cast", part, to=1), [2], keepdims=0) for part in (rows, columns)]
    filled = g.op("Mul", g.op("Unsqueeze", some[0], [1, 3]), g.op("Unsqueeze", some[1], [1, 2]))
    return g.op("Where", g.op("Cast", filled, to=9), found, g.constant(np.array(0, g.dtype)))


def _rounded(g: Graph, corner: Value, scale: float) -> Value:
    """In whole pixels; a half goes away from zero."""
    scaled = g.op("Mul", corner, np.array(scale, np.float32))
    away = g.op("Floor", g.op("Add", g.op("Abs", scaled), np.array(0.5, np.float32)))
    return g.op("Mul", g.op("Sign", scaled), away)


def _within(g: Graph, low: Value, high: Value, cells: int, pixels: int) -> Value:
    """Which pixels along one axis each cell of each box covers: bool[boxes, cells, pixels]; neighbours may overlap."""
    one = np.array(1, np.float32)
    extent = g.op("Max", g.op("Add", g.op("Sub", high, low), one), one)
    size = g.op("Div", extent, np.array(cells, np.float32))
    first = g.op("Add", g.op("Floor", g.op("Mul", size, np.arange(cells, dtype=np.float32))), low)
    end = g.op("Add", g.op("Ceil", g.op("Mul", size, np.arange(1, cells + 1, dtype=np.float32))), low)
    places = np.arange(pixels, dtype=np.float32)
    after = g.op("GreaterOrEqual", places, g.op("Unsqueeze", first, [2]))
    return g.op("And", after, g.op("Less", places, g.op("Unsqueeze", end, [2])))
