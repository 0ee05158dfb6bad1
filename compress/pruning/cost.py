"""What a pruned model costs, as a quick function of the channels that are left.

Every layer's cost is a constant times the lengths of the axes that its channels run along, so it is known for any
choice of channels without building the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels
from converter.model import WEIGHTED, attribute
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

BUDGETS = ("macs", "parameters", "bytes", "instructions")
PRICES: Mapping[str, tuple[float, ...]] = {"xnnpack-int8": (0.25, 0.69, 0.45, 3.9, 0.2, 1.5e6)}
"""Instructions for a unit of each kind of work in `_KINDS`, and for what is always there.

"xnnpack-int8" is LiteRT's int8 form on Arm without dot products (Cortex-A53, A72), counted layer by layer.
"""
_KINDS = ("conv", "depthwise", "product", "outputs", "elements")


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the cost: `factor` times the number of channels that are left along each of `axes`.

    `kind` says of what: multiply-accumulates of a "conv", a "depthwise" convolution or a "product" of matrices;
    "outputs" that a layer with weights writes, but for depthwise ones; "elements" that another operator writes; or
    those of a constant, "parameters" if it is of floats, else "constants", of `width` bytes each.
    """

    kind: str
    factor: float
    axes: tuple[Labels, ...]
    width: int = 0
    name: str = ""

    def __call__(self, alive: Array) -> float:
        """The cost where `alive` bool[labels] says which classes of channels are left."""
        return self.factor * prod(int(alive[axis].sum()) for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost of a model in each unit, for any choice of channels; `prices` of work in instructions."""

    terms: tuple[Term, ...]
    labels: int
    prices: Array | None = None

    @classmethod
    def of(cls, model: onnx.ModelProto, channels: Channels) -> "Costs":
        """The terms of an analysed model."""
        terms = [*_work(model.graph, channels), *_constants(channels)]
        return cls(tuple(terms), channels.classes.count)

    def __call__(self, budget: str, removed: Labels) -> float:
        """The cost in `budget`, one of `BUDGETS`, after the classes `removed` are gone.

        Raises:
            ModelError: the budget is unknown, or instructions are asked for and no counts have been fitted.
        """
        alive = np.ones(self.labels, bool)
        alive[removed] = False
        match budget:
            case "macs":
                return sum(t(alive) for t in self.terms if t.kind in _KINDS[:3])
            case "parameters":
                return sum(t(alive) for t in self.terms if t.kind == "parameters")
            case "bytes":
                return sum(t(alive) * t.width for t in self.terms)
            case "instructions" if self.prices is not None:
                return float(self.work(removed) @ self.prices)
            case "instructions":
                raise ModelError("pruning to instructions needs a target that can be emulated here")
        raise ModelError(f"budget '{budget}' is unknown; expected one of {', '.join(BUDGETS)}")

    def work(self, removed: Labels) -> Array:
        """How much work of each kind is left, and 1 for what is always there: float[6]."""
        alive = np.ones(self.labels, bool)
        alive[removed] = False
        found = dict.fromkeys(_KINDS, 0.0)
        for term in self.terms:
            if term.kind in found:
                found[term.kind] += term(alive)
        return np.array([*found.values(), 1.0])


def _work(graph: onnx.GraphProto, channels: Channels) -> Iterator[Term]:
    for node in graph.node:
        if not node.output or node.output[0] not in channels.shapes:
            continue
        name, y = node.name or node.output[0], node.output[0]
        if node.op_type in WEIGHTED and node.input[1] in channels.known:
            lengths = channels.shape(node.input[0] if node.op_type == "ConvTranspose" else y)
            rows = lengths[2:] if "Conv" in node.op_type else lengths[:-1]
            fixed, axes = weight_axes(channels, node.input[1])
            deep = node.op_type == "Conv" and attribute(node, "group", 1) > 1
            kind = "depthwise" if deep else "conv" if "Conv" in node.op_type else "product"
            yield Term(kind, fixed * prod(rows), axes, name=name)
            if not deep:
                yield Term("outputs", *_tensor_axes(channels, y), name=name)
        elif node.op_type == "MatMul":
            fixed, axes = _tensor_axes(channels, y)
            inner, more = _tensor_axes(channels, node.input[0], -1)
            yield Term("product", fixed * inner, (*axes, *more), name=name)
        elif node.op_type != "Constant":
            yield Term("elements", *_tensor_axes(channels, y), name=name)


def _constants(channels: Channels) -> Iterator[Term]:
    for name, value in channels.known.items():
        fixed, axes = weight_axes(channels, name)
        kind = "parameters" if value.dtype.kind == "f" else "constants"
        yield Term(kind, fixed, axes, value.itemsize, name)


def weight_axes(channels: Channels, name: str) -> tuple[float, tuple[Labels, ...]]:
    """Of a constant: the product of the lengths that stay, and the classes along each axis that may shrink."""
    shape = channels.shape(name)
    tied = [axis for axis in range(len(shape)) if (name, axis) in channels.ties]
    fixed = prod(length for axis, length in enumerate(shape) if axis not in tied)
    return fixed, tuple(channels.classes.root(channels.ties[name, axis].labels) for axis in tied)


def _tensor_axes(channels: Channels, name: str, only: int | None = None) -> tuple[float, tuple[Labels, ...]]:
    """The same of a tensor that is calculated, of all of its axes or of one."""
    shape, labels = channels.shape(name), channels.classes.root(channels.get(name))
    wanted = range(len(shape)) if only is None else [only % len(shape)]
    axes = [
        labels.max(axis=tuple(k for k in range(labels.ndim) if k != axis))
        for axis in wanted
        if labels.shape[axis] > 1
    ]
    return prod(shape[axis] for axis in wanted if labels.shape[axis] == 1), tuple(axes)
