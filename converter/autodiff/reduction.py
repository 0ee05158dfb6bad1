"""Gradients of sums and means over axes."""

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("ReduceSum")
def reduce_sum(g: Graph, node: Node, dy: Value) -> Gradients:
    """Sum over axes: every summand gets the gradient of the sum."""
    return _spread(g, node, dy, _axes(node))


@rule("ReduceMean")
def reduce_mean(g: Graph, node: Node, dy: Value) -> Gradients:
    """Mean over axes: every summand gets the gradient of the mean, divided by their number."""
    axes = _axes(node)
    return _spread(g, node, dy / g.count(node.x, axes) if axes else dy, axes)


@rule("GlobalAveragePool")
def global_average_pool(g: Graph, node: Node, dy: Value) -> Gradients:
    """Mean over the spatial axes, which stay with length 1."""
    axes = list(range(2, len(node.x.shape)))
    return g.op("Expand", dy / g.count(node.x, axes), g.shape_of(node.x))


def _axes(node: Node) -> list[int]:
    rank = len(node.x.shape)
    given = node.constant(1).tolist() if node.has(1) else node.attribute("axes", [])
    if given:
        return sorted(int(axis) % rank for axis in given)
    return [] if node.attribute("noop_with_empty_axes", 0) else list(range(rank))


def _spread(g: Graph, node: Node, dy: Value, axes: list[int]) -> Value:
    if not axes:
        return dy
    if not node.attribute("keepdims", 1):
        dy = g.op("Unsqueeze", dy, axes)
    return g.op("Expand", dy, g.shape_of(node.x))
