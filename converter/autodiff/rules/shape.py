"""Gradients of operators that change the shape or repeat elements."""

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(g: Graph, node: Node, dy: Value) -> Gradients:
    """Another shape for the same elements: the gradient takes the shape back."""
    return g.reshape_like(dy, node.x)


@rule("Transpose")
def transpose(g: Graph, node: Node, dy: Value) -> Gradients:
    """Axes in another order: the inverse order leads back."""
    order = node.attribute("perm", None)
    if order is None:
        return g.op("Transpose", dy)
    return g.op("Transpose", dy, perm=[int(axis) for axis in np.argsort(order)])


@rule("Concat")
def concat(g: Graph, node: Node, dy: Value) -> Gradients:
    """Joined along an axis: the gradient is split there."""
    inputs = [x for x in node.inputs if x is not None]
    axis = node.attribute("axis", 0) % len(node.y.shape)
    lengths = [x.shape[axis] for x in inputs]
    if len(inputs) == 1:
        return dy
    if all(isinstance(length, int) for length in lengths):
        sizes = g.constant([int(length) for length in lengths])
    else:
        sizes = g.op("Concat", *(g.op("Shape", x, start=axis, end=axis + 1) for x in inputs), axis=0)
    return g.ops("Split", dy, sizes, outputs=len(inputs), axis=axis)


@rule("Split")
def split(g: Graph, node: Node, *gradients: Value | None) -> Gradients:
    """Cut along an axis: the gradients are joined, zeros for a part that does not matter."""
    given = [*gradients, *[None] * (len(node.outputs) - len(gradients))]
    parts = [
        g.op("Expand", 0.0, g.shape_of(y)) if dy is None else dy
        for y, dy in zip(node.outputs, given, strict=True)
    ]
    return g.op("Concat", *parts, axis=node.attribute("axis", 0))


@rule("Expand", weights=(0,))
def expand(g: Graph, node: Node, dy: Value) -> Gradients:
    """Broadcast to a shape: the gradient is summed over what was repeated."""
    return g.unbroadcast(dy, node.y.shape, node.x)


@rule("Tile")
def tile(g: Graph, node: Node, dy: Value) -> Gradients:
    """Repeated along each axis: with the repeats as axes of their own, the gradient is summed over them."""
    pairs = [g.op("Unsqueeze", value, [1]) for value in (node.input(1), g.shape_of(node.x))]
    interleaved = g.reshape(g.op("Concat", *pairs, axis=1), [-1])
    return g.sum(g.op("Reshape", dy, interleaved), list(range(0, 2 * len(node.x.shape), 2)))


@rule("Trilu")
def trilu(g: Graph, node: Node, dy: Value) -> Gradients:
    """A triangle of a matrix, zeros elsewhere: so is the gradient."""
    return g.op("Trilu", dy, node.input(1) if node.has(1) else None, upper=node.attribute("upper", 1))


@rule("SpaceToDepth")
def space_to_depth(g: Graph, node: Node, dy: Value) -> Gradients:
    """Blocks of positions to channels: the inverse leads back."""
    mode = node.attribute("mode", "DCR")
    return g.op("DepthToSpace", dy, blocksize=node.attribute("blocksize", 1), mode=mode)


@rule("DepthToSpace")
def depth_to_space(g: Graph, node: Node, dy: Value) -> Gradients:
    """Channels to blocks of positions: the inverse leads back, for the channel order CRD by hand."""
    block = int(node.attribute("blocksize", 1))
    if node.attribute("mode", "DCR") == "DCR":
        return g.op("SpaceToDepth", dy, blocksize=block)
    _, channels, height, width = node.x.shape
    split_up = [0, int(channels) // block**2, int(height), block, int(width), block]
    return g.reshape_like(g.op("Transpose", g.reshape(dy, split_up), perm=[0, 1, 3, 5, 2, 4]), node.x)
