"""Regions of small operators between one value and another, recognised by what they calculate, not by how.

GELU can be written in a dozen ways that differ in the order of factors and in Div for Mul. A pattern for each finds
those that its author has seen. Here a region (elementwise operators and means over the last axis, from one value to
one value, with scalar constants) is evaluated in double precision on sample points and compared with the function that
an operator stands for.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from converter.fusion import values
from edge_runtime.tensors import Array

_MOST = 20
"""Nodes: more than any formula that is looked for has."""

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _clip(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.minimum(np.maximum(x, -np.inf if low is None else low), np.inf if high is None else high)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` without overflow."""
    return np.asarray(np.exp(-_softplus(-x)))


FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
    "Min": np.minimum, "Max": np.maximum, "Neg": np.negative, "Abs": np.abs, "Reciprocal": np.reciprocal,
    "Sqrt": np.sqrt, "Exp": np.exp, "Log": np.log, "Erf": _erf, "Tanh": np.tanh, "Sigmoid": sigmoid,
    "Softplus": _softplus, "Relu": lambda x: np.maximum(x, 0), "Clip": _clip, "Identity": lambda x: x,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "ReduceMean": lambda x: x.mean(axis=-1, keepdims=True),
}  # fmt: skip
_ATTRIBUTES = {"HardSigmoid": ("alpha", "beta")}


@dataclass(frozen=True, slots=True)
class Region:
    """`nodes` calculate the first output of `root` from `source` alone, and nobody else reads what lies between."""

    root: ir.Node
    source: ir.Value
    nodes: tuple[ir.Node, ...]

    def constants(self) -> list[float]:
        """The numbers in it."""
        found = {values.scalar(value) for node in self.nodes for value in node.inputs}
        return sorted(number for number in found if number is not None)

    def __call__(self, x: Array) -> Array:
        """What it gives for `x`: float64, rows along the last axis."""
        known: dict[ir.Value, Array] = {self.source: x}

        def value_of(value: ir.Value) -> Array:
            if value not in known:
                node = value.producer()
                number = values.scalar(value)
                known[value] = (
                    np.asarray(number, np.float64) if number is not None or node is None else run(node)
                )
            return known[value]

        def run(node: ir.Node) -> Array:
            inside = node.inputs[:1] if node.op_type == "ReduceMean" else node.inputs
            arguments = [None if value is None else value_of(value) for value in inside]
            options = {
                name: float(values.attribute(node, name))
                for name in _ATTRIBUTES.get(node.op_type, ())
                if name in node.attributes
            }
            return FUNCTIONS[node.op_type](*arguments, **options)

        with np.errstate(all="ignore"):
            return np.asarray(value_of(self.root.outputs[0]), np.float64)


def regions(root: ir.Node, *, rows: bool) -> Iterator[Region]:
    """The regions that end in `root`, the smallest first; with means over the last axis if `rows`."""
    if not _allowed(root, rows):
        return
    inside = [root]
    while len(inside) <= _MOST:
        frontier = _frontier(inside, rows)
        if frontier is None:
            return
        if len(frontier) == 1:
            (source,) = frontier
            if source.dtype == ir.DataType.FLOAT:
                yield Region(root, source, tuple(inside))
        grown = next((node for node in map(_producer, frontier) if _private(node, inside, rows)), None)
        if grown is None:
            return
        inside.append(grown)


def _producer(value: ir.Value) -> ir.Node | None:
    return value.producer()


def _allowed(node: ir.Node | None, rows: bool) -> bool:
    if (
        node is None
        or node.domain not in ("", "ai.onnx")
        or node.op_type not in FUNCTIONS
        or len(node.outputs) != 1
    ):
        return False
    if node.op_type == "ReduceMean":
        return rows and _over_last_axis(node)
    return node.op_type not in ("Min", "Max") or len(node.inputs) == 2


def _over_last_axis(node: ir.Node) -> bool:
    axes = values.attribute(node, "axes")
    if axes is None:
        found = values.constant(values.given(node, 1))
        axes = None if found is None else found.tolist()
    source = node.inputs[0]
    last = None if source is None else values.rank(source)
    if axes is None or last is None or not values.attribute(node, "keepdims", 1):
        return False
    return list(axes) in ([-1], [last - 1])


def _private(node: ir.Node | None, inside: list[ir.Node], rows: bool) -> bool:
    if node is None or not _allowed(node, rows) or node in inside or node.graph is not inside[0].graph:
        return False
    out = node.outputs[0]
    return not out.is_graph_output() and all(use.node in inside for use in out.uses())


def _frontier(inside: list[ir.Node], rows: bool) -> list[ir.Value] | None:
    """The values that come from outside, each once; None where one of them is a constant of many elements."""
    found: list[ir.Value] = []
    for node in inside:
        for k, value in enumerate(node.inputs):
            if value is None or value.producer() in inside or value in found:
                continue
            if rows and node.op_type == "ReduceMean" and k == 1:
                continue
            array = values.constant(value)
            if array is None:
                found.append(value)
            elif array.size != 1 or array.ndim > 1:
                return None
    return found
