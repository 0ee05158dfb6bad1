"""Gradients of operators that pick elements or put them somewhere.

An element that is picked passes its gradient back to where it came from. Where that has no operator of its own,
the forward operator is applied to the positions 0, 1, 2 ... of the elements, which tells where each came from.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.autodiff.graph import Graph, Operand, Value
from converter.autodiff.registry import Gradients, Node, expansion, rule
from edge_runtime.errors import ModelError


def _zeros(g: Graph, like: Value) -> Value:
    return g.op("Expand", 0.0, g.shape_of(like))


def _positions(g: Graph, x: Value, first: int = 0) -> Value:
    """The numbers of the elements of `x`, in its shape."""
    size = g.op("Size", x) if first == 0 else g.op("Add", g.op("Size", x), np.array(first))
    numbers = g.op("Range", np.array(first), size, np.array(1))
    return g.op("Reshape", numbers, g.shape_of(x))


def _to_origin(g: Graph, x: Value, origin: Value, dy: Value) -> Value:
    """`dy` added up in the shape of `x`, each element at the position that `origin` says."""
    zeros = g.op("Expand", 0.0, g.op("Unsqueeze", g.op("Size", x), [0]))
    flat = [g.reshape(value, [-1]) for value in (origin, dy)]
    return g.reshape_like(g.op("ScatterElements", zeros, *flat, reduction="add"), x)


@rule("Compress")
def picked(g: Graph, node: Node, dy: Value) -> Gradients:
    """Any choice of elements, by the positions that it chooses."""
    same = {a.name: node.attribute(a.name, None) for a in node.proto.attribute}
    further: list[Operand] = list(node.inputs[1:])
    return _to_origin(g, node.x, g.op(node.proto.op_type, _positions(g, node.x), *further, **same), dy)


@rule("Slice")
def slice_(g: Graph, node: Node, dy: Value) -> Gradients:
    """A window: with steps of 1, the gradient is padded with zeros to the whole."""
    padding = _window(node)
    return picked(g, node, dy) if padding is None else g.op("Pad", dy, padding)


def _window(node: Node) -> list[int] | None:
    """What a Slice leaves out before and after; None if that is not known or it has steps."""
    rank = len(node.x.shape)
    if any(x is not None and x.name not in x.graph.constants for x in node.inputs[1:]):
        return None
    axes = node.constant(3).tolist() if node.has(3) else list(range(len(node.constant(1))))
    steps = node.constant(4).tolist() if node.has(4) else [1] * len(axes)
    before, after = [0] * rank, [0] * rank
    for axis, start, stop, step in zip(
        axes, node.constant(1).tolist(), node.constant(2).tolist(), steps, strict=True
    ):
        length = node.x.shape[axis]
        if step != 1 or isinstance(length, str):
            return None
        first, last, _ = slice(start, stop).indices(length)
        before[axis % rank], after[axis % rank] = first, length - max(first, last)
    return [*before, *after]


@rule("Pad")
def pad(g: Graph, node: Node, dy: Value) -> Gradients:
    """Borders: a constant one is cut off, and its value gets the sum of what is; others add to their origin."""
    if node.attribute("mode", "constant") != "constant":
        further: list[Operand] = [node.input(1), None, node.inputs[3] if node.has(3) else None]
        mode = node.attribute("mode", "constant")
        origin = g.op("Pad", _positions(g, node.x), *further[: 3 if node.has(3) else 1], mode=mode)
        return _to_origin(g, node.x, origin, dy)
    pads = g.constant(-node.constant(1)) if node.input(1).name in g.constants else -node.input(1)
    dx = g.op("Pad", dy, pads, None, node.input(3)) if node.has(3) else g.op("Pad", dy, pads)
    if not node.has(2):
        return dx
    whole, inside = (g.op("ReduceSum", value, keepdims=0) for value in (dy, dx))
    return dx, None, g.reshape_like(whole - inside, node.input(2))


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
    return _gathered(g, x, indices, dy, axis, len(indices.shape))


def _gathered(g: Graph, x: Value, indices: Value, dy: Value, axis: int, count: int) -> Value:
    """The gradient of picking by `indices`, of `count` axes, along an axis."""
    rank = len(x.shape)
    order = [axis, *range(axis), *range(axis + 1, rank)]
    updates = [*range(axis, axis + count), *range(axis), *range(axis + count, rank + count - 1)]
    zeros = g.op("Expand", 0.0, g.op("Gather", g.shape_of(x), order))
    where = g.op("Unsqueeze", indices, [-1])
    total = g.op("ScatterND", zeros, where, g.op("Transpose", dy, perm=updates), reduction="add")
    return g.op("Transpose", total, perm=[int(i) for i in np.argsort(order)])


@rule("GatherElements")
def gather_elements(g: Graph, node: Node, dy: Value) -> Gradients:
    """One index for each element: each gradient is added where its element came from."""
    axis = node.attribute("axis", 0)
    return g.op("ScatterElements", _zeros(g, node.x), node.input(1), dy, axis=axis, reduction="add")


@rule("GatherND")
def gather_nd(g: Graph, node: Node, dy: Value) -> Gradients:
    """Slices by tuples of indices: each gradient is added where its slice came from."""
    if node.attribute("batch_dims", 0):
        return picked(g, node, dy)
    return g.op("ScatterND", _zeros(g, node.x), node.input(1), dy, reduction="add")


@rule("TopK")
def top_k(g: Graph, node: Node, dy: Value) -> Gradients:
    """The k largest along an axis: each gradient goes where its value came from."""
    axis = node.attribute("axis", -1)
    return g.op("ScatterElements", _zeros(g, node.x), node.outputs[1], dy, axis=axis)


@rule("Unique")
def unique(g: Graph, node: Node, dy: Value) -> Gradients:
    """What occurs, once each: the gradient goes to its first occurrence."""
    same = {a.name: node.attribute(a.name, None) for a in node.proto.attribute}
    _, first = g.ops("Unique", node.x, outputs=2, **same)
    axis = node.attribute("axis", None)
    if axis is None:
        return _to_origin(g, node.x, first, dy)
    return _gathered(g, node.x, first, dy, axis % len(node.x.shape), 1)


@rule("OneHot")
def one_hot(g: Graph, node: Node, dy: Value) -> Gradients:
    """The second of two values at an index, the first elsewhere: each gets the sum where it stands."""
    chosen = g.op("OneHot", node.x, node.input(1), g.floats(0.0, 1.0), axis=node.attribute("axis", -1))
    on = g.op("ReduceSum", dy * chosen, keepdims=0)
    off = g.op("ReduceSum", dy, keepdims=0) - on
    return None, None, g.op("Concat", g.reshape(off, [1]), g.reshape(on, [1]), axis=0)


@rule("ReverseSequence")
def reverse_sequence(g: Graph, node: Node, dy: Value) -> Gradients:
    """The first elements of each sequence in reverse: once more is the inverse."""
    same = {a.name: node.attribute(a.name, None) for a in node.proto.attribute}
    return g.op("ReverseSequence", dy, node.input(1), **same)


@rule("MaxUnpool")
def max_unpool(g: Graph, node: Node, dy: Value) -> Gradients:
    """Values put where a MaxPool found them: their positions put there tell where each gradient goes."""
    same = {a.name: node.attribute(a.name, None) for a in node.proto.attribute}
    numbers = g.op("Cast", _positions(g, node.x, 1), to=g.elem_type)
    further: list[Operand] = list(node.inputs[1:])
    placed = g.op("Cast", g.op("MaxUnpool", numbers, *further, **same), to=7)
    size = g.op("Unsqueeze", g.op("Add", g.op("Size", node.x), np.array(1)), [0])
    flat = [g.reshape(value, [-1]) for value in (placed, dy)]
    total = g.op("ScatterElements", g.op("Expand", 0.0, size), *flat, reduction="add")
    return g.reshape_like(g.op("Slice", total, [1], size), node.x)


@rule("ScatterElements")
def scatter_elements(g: Graph, node: Node, dy: Value) -> Gradients:
    """Updates put into x, one index for each."""
    axis = node.attribute("axis", 0)

    def put(x: Value, updates: Value, **reduction: str) -> Value:
        return g.op("ScatterElements", x, node.input(1), updates, axis=axis, **reduction)

    def pick(x: Value) -> Value:
        return g.op("GatherElements", x, node.input(1), axis=axis)

    return _scattered(g, node, dy, put, pick)


@rule("ScatterND")
def scatter_nd(g: Graph, node: Node, dy: Value) -> Gradients:
    """Updates put into x, a tuple of indices for each slice."""

    def put(x: Value, updates: Value, **reduction: str) -> Value:
        return g.op("ScatterND", x, node.input(1), updates, **reduction)

    def pick(x: Value) -> Value:
        return g.op("GatherND", x, node.input(1))

    return _scattered(g, node, dy, put, pick)


def _scattered(
    g: Graph, node: Node, dy: Value, put: Callable[..., Value], pick: Callable[[Value], Value]
) -> Gradients:
    """The gradient of x, of nothing for the indices, and of the updates.

    Replaced elements of x get none. Of a sum, all get it; of a product, each times the others, y/x; of an
    extremum, those that are equal to it, in equal shares.
    """
    x, updates, reduction = node.x, node.input(2), node.attribute("reduction", "none")
    if reduction == "add":
        return dy, None, pick(dy)
    if reduction == "none":
        return put(dy, _zeros(g, updates)), None, pick(dy)
    if reduction == "mul":
        factors = put(g.op("Expand", 1.0, g.shape_of(x)), updates, reduction="mul")
        return dy * factors, None, pick(dy * node.y) / updates
    if reduction not in ("max", "min"):
        raise ModelError(f"{node}: no gradient for reduction '{reduction}'")
    own, theirs = g.mask("Equal", x, node.y), g.mask("Equal", updates, pick(node.y))
    share = dy / put(own, theirs, reduction="add")
    return share * own, None, pick(share) * theirs


@expansion("TensorScatter")
def tensor_scatter(g: Graph, node: Node) -> Value:
    """Updates put into a cache along an axis, from a position on that may differ from sample to sample."""
    cache, updates = node.x, node.input(1)
    rank = len(cache.shape)
    axis = node.attribute("axis", -2) % rank
    dims: list[Any] = [g.op("Shape", updates, start=axis, end=axis + 1), np.array([0])]
    steps = g.op("Range", np.array(0), g.op("Squeeze", dims[0]), np.array(1))
    at = g.reshape(steps, [-1, *[1] * (rank - 1 - axis)])
    if node.has(2):
        at = g.op("Add", g.reshape(node.input(2), [-1, *[1] * (rank - 1)]), at)
    if node.attribute("mode", "linear") == "circular":
        at = g.op("Mod", at, g.op("Shape", cache, start=axis, end=axis + 1))
    indices = g.op("Expand", at, g.op("Shape", updates))
    return g.op("ScatterElements", cache, indices, updates, axis=axis)
