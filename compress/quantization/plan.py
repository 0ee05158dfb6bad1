"""What is quantised: the operators that run in integers, and the activations between them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from compress.quantization.calibrate import Range
from converter.model import WEIGHTED, attribute, captured, constants, consumers
from edge_runtime.tensors import Array

ARITHMETIC = frozenset(
    {"Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat", "Sigmoid", "LeakyRelu", "Softmax"}
)
"""Operators for which onnxruntime has kernels of integers."""
SAME_SCALE = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Split"})
"""Operators that hand integers on as they are."""
POINTWISE = frozenset(
    {"HardSwish", "HardSigmoid", "Gelu", "Tanh", "Mish", "Elu", "Selu", "Celu", "Softplus", "Relu", "Clip"}
)
"""Operators without such a kernel: calculated in float, and so is what follows, up to a reader of integers.

A layer quantises what it reads in any case; so does an operator of `ARITHMETIC` that has other integers to read, such
as the Mul of squeeze-and-excitation, which scales a map in integers by a HardSigmoid. Quantising all that follows as
well was measured on an OCR detector (`rpi4`): 149 M instructions, and 143 M like this.
"""


@dataclass(slots=True)
class Plan:
    """What is quantised: `nodes`, by name of first output; `tensors`: each activation, and the one observed for it.

    `limits`: what a Relu or Clip, which disappears, lets through; `fused`: from a layer's output to that of the
    Relu or Clip after it.
    """

    nodes: dict[str, onnx.NodeProto] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    limits: dict[str, Range] = field(default_factory=dict)
    fused: dict[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> list[onnx.NodeProto]:
        """The nodes that have weights."""
        return [node for node in self.nodes.values() if node.op_type in WEIGHTED]

    @property
    def observed(self) -> list[str]:
        """The activations whose ranges are needed, sorted."""
        return sorted(set(self.tensors.values()))

    def limited(self, name: str, seen: Range) -> Range:
        """The part of the range that the Relu or Clip that disappears lets through."""
        limits = self.limits.get(name)
        return seen.clipped(limits.low, limits.high) if limits else seen


def plan(graph: onnx.GraphProto, keep: Collection[str] = ()) -> Plan:
    """Decide what is quantised, in the graph's order, so that a pass-through operator follows what feeds it.

    Args:
        graph: float, optimised.
        keep: nodes that stay in float, by the name of their first output.
    """
    known, readers = constants(graph), consumers(graph)
    outputs = {value.name for value in graph.output} | captured(graph)
    made = Plan()
    loose: set[str] = set()  # in float, made of integers by operators of `POINTWISE`
    for node in graph.node:
        if node.output[0] in keep:
            continue
        if not _quantizable(node, known, made, loose):
            if _passing(node, known) and node.input[0] in loose | set(made.tensors):
                loose.update(node.output)
            continue
        made.nodes[node.output[0]] = node
        for name in _activations(node, known):
            made.tensors.setdefault(name, name)
        out = node.output[0]
        after = readers[out]
        if node.op_type in WEIGHTED | {"Add"} and len(after) == 1 and out not in outputs:
            limits = limits_of(after[0], known)
            if limits is not None and after[0].output[0] not in captured(
                graph
            ):  # the activation's output is quantised in the place of this one's
                made.fused[out] = after[0].output[0]
                made.limits[after[0].output[0]] = limits
                out = after[0].output[0]
        for each in (out, *node.output[1:]):
            if each not in outputs:  # a graph's output stays float: the last operator dequantises for free
                made.tensors[each] = made.tensors[node.input[0]] if node.op_type in SAME_SCALE else each
    return made


def _passing(node: onnx.NodeProto, known: Mapping[str, Array]) -> bool:
    """Whether a node makes of one value another that a reader of integers may quantise in its place."""
    return node.op_type in POINTWISE | SAME_SCALE or bool(scalars(node, known))


def _quantizable(
    node: onnx.NodeProto, known: Mapping[str, Array], made: Plan, loose: Collection[str]
) -> bool:
    if node.op_type in WEIGHTED:
        fixed = (
            node.input[1] in known and known[node.input[1]].dtype == np.float32 and node.input[0] not in known
        )
        plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
        straight = not attribute(node, "transA", 0) and (
            node.op_type != "MatMul" or known[node.input[1]].ndim == 2 if fixed else False
        )
        return fixed and plain and straight
    if node.op_type in SAME_SCALE:
        return node.input[0] in made.tensors
    if node.op_type not in ARITHMETIC:
        return False
    rest = [name for name in node.input if name and name not in scalars(node, known)]
    there = [name in made.tensors for name in rest]
    return any(there) and all(name in loose or here for name, here in zip(rest, there, strict=True))


def scalars(node: onnx.NodeProto, known: Mapping[str, Array]) -> list[str]:
    """The single constant numbers that an Add or Mul takes: as an integer and a scale they are exact."""
    if node.op_type not in ("Add", "Mul"):
        return []
    return [
        name
        for name in node.input
        if name in known and known[name].size == 1 and np.isfinite(known[name]).all()
    ]


def _activations(node: onnx.NodeProto, known: Mapping[str, Array]) -> list[str]:
    if node.op_type in WEIGHTED | SAME_SCALE:
        return [node.input[0]]
    return [name for name in node.input if name and name not in known]


def limits_of(node: onnx.NodeProto, known: Mapping[str, Array]) -> Range | None:
    """The range to which a Relu or Clip limits its output; None if it is neither, or its limits vary."""
    if node.op_type == "Relu":
        return Range(0.0, np.inf)
    if node.op_type != "Clip":
        return None
    bounds = []
    for k, missing in ((1, -np.inf), (2, np.inf)):
        name = node.input[k] if len(node.input) > k else ""
        if name and name not in known:
            return None
        bounds.append(float(known[name]) if name else missing)
    # Zero must be representable, so a range that leaves it out cannot stand for the Clip.
    return Range(bounds[0], bounds[1]) if bounds[0] <= 0 <= bounds[1] else None
