"""Gradients of operators that move elements and do not change them."""

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule
from edge_runtime.errors import ModelError


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


@rule("Expand")
def expand(g: Graph, node: Node, dy: Value) -> Gradients:
    """Broadcast to a shape: the gradient is summed over what was repeated."""
    return g.unbroadcast(dy, node.y.shape, node.x)


@rule("Slice")
def slice_(g: Graph, node: Node, dy: Value) -> Gradients:
    """A window with steps of 1: the gradient is padded with zeros to the whole."""
    rank = len(node.x.shape)
    axes = node.constant(3).tolist() if node.has(3) else list(range(len(node.constant(1))))
    steps = node.constant(4).tolist() if node.has(4) else [1] * len(axes)
    before, after = [0] * rank, [0] * rank
    for axis, start, stop, step in zip(
        axes, node.constant(1).tolist(), node.constant(2).tolist(), steps, strict=True
    ):
        length = node.x.shape[axis]
        if step != 1 or isinstance(length, str):
            raise ModelError(
                f"{node}: only slices of a fixed length with steps of 1 have a gradient; got step {step}"
            )
        first, last, _ = slice(start, stop).indices(length)
        before[axis % rank], after[axis % rank] = first, length - max(first, last)
    return g.op("Pad", dy, [*before, *after])


@rule("Gather", weights=(0,))
def gather(g: Graph, node: Node, dy: Value) -> Gradients:
    """Elements by index along an axis: each gradient is added where its element came from."""
    x, indices = node.x, node.input(1)
    rank = len(x.shape)
    axis = node.attribute("axis", 0) % rank
    length = x.shape[axis]
    if indices.name in g.constants and not indices.shape and isinstance(length, int):
        before = [0] * rank
        before[axis] = int(node.constant(1)) % length
        after = [0] * rank
        after[axis] = length - 1 - before[axis]
        return g.op("Pad", g.op("Unsqueeze", dy, [axis]), [*before, *after])
    count = len(indices.shape)
    order = [axis, *range(axis), *range(axis + 1, rank)]
    updates = [*range(axis, axis + count), *range(axis), *range(axis + count, rank + count - 1)]
    shape = g.op("Gather", g.shape_of(x), order)
    zeros = g.op("Expand", 0.0, shape)
    where = g.op("Unsqueeze", indices, [-1])
    total = g.op("ScatterND", zeros, where, g.op("Transpose", dy, perm=updates), reduction="add")
    return g.op("Transpose", total, perm=[int(i) for i in np.argsort(order)])
