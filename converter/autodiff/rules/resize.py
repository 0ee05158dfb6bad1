"""The gradient of Resize, and of Col2Im: both are linear, so it is the transposed map.

Resize treats each axis by itself, as a matrix. The matrix is read off ONNX's own definition, by resizing the
unit matrix, so every mode of interpolation, rounding and coordinates is the specification's.
"""

import math

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@rule("Resize")
def resize(g: Graph, node: Node, dy: Value) -> Gradients:
    """Interpolation along axes, y = A x: dx = Aᵀ dy; whole repeats of elements are summed by an AveragePool."""
    matrices = {axis: _matrix(node, axis) for axis in _resized(node)}
    rank = len(node.x.shape)
    repeats = [_repeats(matrices[axis]) if axis in matrices else 1 for axis in range(rank)]
    if all(repeats) and rank > 2 and max(repeats[:2]) == 1:
        kernel = repeats[2:]
        return g.op("AveragePool", dy, kernel_shape=kernel, strides=kernel) * float(math.prod(kernel))
    for axis, matrix in matrices.items():
        dy = _along(g, dy, matrix.astype(g.dtype), axis, rank)
    return dy


def _resized(node: Node) -> list[int]:
    """The axes whose length or sampling changes."""
    axes = _axes(node)
    if node.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return axes
    scales = node.constant(2).tolist() if node.has(2) and node.constant(2).size else None
    if scales is not None:
        return [axis for axis, scale in zip(axes, scales, strict=True) if scale != 1]
    return [axis for axis in axes if node.x.shape[axis] != node.y.shape[axis]]


def _axes(node: Node) -> list[int]:
    rank = len(node.x.shape)
    return [int(axis) % rank for axis in node.attribute("axes", None) or range(rank)]


def _matrix(node: Node, axis: int) -> Array:
    """A: float[out, in], y = A x along that axis."""
    before, after = node.x.shape[axis], node.y.shape[axis]
    if isinstance(before, str) or isinstance(after, str):
        raise ModelError(f"{node}: its gradient needs fixed lengths where it resizes; got {node.x.shape}")
    axes = _axes(node)
    names = ["mode", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "nearest_mode"]
    given = {name: node.attribute(name, None) for name in [*names, "antialias"]}
    attributes = {name: value for name, value in given.items() if value is not None}
    feeds: dict[str, Array] = {"x": np.eye(before, dtype=np.float64)}
    inputs = ["x", "", ""]
    if node.has(1) and node.constant(1).size:
        roi = node.constant(1).reshape(2, -1)[:, axes.index(axis)]
        inputs[1], feeds["roi"] = "roi", np.asarray(roi, np.float32)
    if node.has(2) and node.constant(2).size:
        inputs[2], feeds["scales"] = "scales", node.constant(2)[[axes.index(axis)]]
    elif node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        inputs[2], feeds["scales"] = "scales", np.array([_common_scale(node, axes)], np.float32)
    else:
        inputs, feeds["sizes"] = [*inputs, "sizes"], np.array([after])
    inputs = [name if name in feeds else "" for name in inputs]
    made = helper.make_node("Resize", inputs, ["y"], axes=[1], **attributes)
    matrix: Array = ReferenceEvaluator(made).run(None, feeds)[0].T
    if matrix.shape[0] != after:
        raise ModelError(f"{node}: axis {axis} of length {before} becomes {after}, not {matrix.shape[0]}")
    return matrix


def _common_scale(node: Node, axes: list[int]) -> float:
    sizes = zip(node.constant(3).tolist(), axes, strict=True)
    scales = [size / int(node.x.shape[axis]) for size, axis in sizes]
    smaller = node.attribute("keep_aspect_ratio_policy", "stretch") == "not_larger"
    return float(min(scales) if smaller else max(scales))


def _repeats(matrix: Array) -> int:
    """How often each element is repeated, if that is all that the matrix does; else 0."""
    after, before = matrix.shape
    times = after // before
    same = times * before == after and np.array_equal(matrix, np.repeat(np.eye(before), times, axis=0))
    return times if same else 0


def _along(g: Graph, dy: Value, matrix: Array, axis: int, rank: int) -> Value:
    if axis == rank - 1:
        return dy @ g.constant(matrix)
    if axis == rank - 2:
        return g.constant(np.ascontiguousarray(matrix.T)) @ dy
    order = [i for i in range(rank) if i != axis] + [axis]
    moved = g.op("Transpose", dy, perm=order) @ g.constant(matrix)
    return g.op("Transpose", moved, perm=[int(i) for i in np.argsort(order)])


@rule("Col2Im")
def col2im(g: Graph, node: Node, dy: Value) -> Gradients:
    """Columns added up to an image: each takes the gradient of the positions that it was added to."""
    image, block = node.constant(1).tolist(), node.constant(2).tolist()
    rank, channels = len(image), int(node.y.shape[1])
    strides, dilations = (node.attribute(name, [1] * rank) for name in ("strides", "dilations"))
    pads = node.attribute("pads", [0] * (2 * rank))
    flat = np.zeros((1, 1), np.int64)
    inside = np.ones((1, 1), bool)
    for axis, size in enumerate(image):
        reach = (block[axis] - 1) * dilations[axis] + 1
        count = (size + pads[axis] + pads[rank + axis] - reach) // strides[axis] + 1
        start = np.arange(count) * strides[axis] - pads[axis]
        at = np.arange(block[axis])[:, None] * dilations[axis] + start
        flat = _outer(flat * size, at)
        inside = _outer(np.where(inside, 0, 1), ~((at >= 0) & (at < size))) == 0
    where = np.where(inside, flat, math.prod(image))  # the element behind the last is a zero
    padded = g.op("Pad", g.reshape(dy, [0, channels, -1]), [0, 0, 0, 0, 0, 1])
    return g.reshape_like(g.op("Gather", padded, where, axis=2), node.x)


def _outer(a: Array, b: Array) -> Array:
    """Sums of all pairs, the rows' pairs as rows and the columns' as columns."""
    pairs = a[:, None, :, None] + b[None, :, None, :]
    return pairs.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])
