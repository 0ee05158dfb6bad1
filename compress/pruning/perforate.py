"""Perforation: what only goes into a mean over positions is calculated at some of them.

A classifier's last layers work position by position and end in the mean over all of them; neighbours see nearly the
same part of the picture, so the mean over a lattice is close to it. The positions that are left are calculated exactly;
those in between, which Figurnov et al., "PerforatedCNNs", NIPS 2016, would interpolate, are not needed at all.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compress.step import Work
from converter.autodiff import infer_shapes
from converter.model import Model, attribute, constants, consumers, copy, load, producers
from edge_runtime.console import say
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_ELEMENTWISE = frozenset(
    {"Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "LeakyRelu", "BatchNormalization"}
)
_LEAST = 4  # positions that must be left


@dataclass(frozen=True, slots=True)
class Perforate:
    """Parameters of the step: keep one position of `every` along each row, and along each column."""

    every: int = 3

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return perforate(model, self)


def perforate(model: Model, options: Perforate | None = None) -> onnx.ModelProto:
    """Calculate the layers before a global mean at a lattice of positions.

    Args:
        model: a model whose feature maps are [n, channels, height, width], or its path; it is not changed.
        options: how many positions are left.

    Returns:
        The model with fewer positions from the first of the 1×1 convolutions that lead to the mean.

    Raises:
        ModelError: `every` is below 2, or there is no such mean.
    """
    every, result = (options or Perforate()).every, copy(load(model))
    if every < 2:
        raise ModelError(f"perforate: every {every}; expected 2 or more")
    shapes, known, done = infer_shapes(result), constants(result.graph), 0
    for node in list(result.graph.node):
        first = _first(result.graph, node, known) if _is_mean(node, known) else None
        shape = shapes.get(first.input[0], ()) if first else ()
        if first is None or len(shape) != 4 or not all(isinstance(length, int) for length in shape[1:]):
            continue
        rows, columns = np.indices([int(length) for length in shape[2:]])
        places = np.flatnonzero((rows + columns) % every == every // 2)
        if len(places) >= _LEAST:
            say(f"perforate: '{first.input[0]}' is read at {len(places)} of {rows.size} positions")
            _sample(result.graph, first, rows.size, places)
            done += 1
    if not done:
        raise ModelError(
            "perforate: the model has no 1×1 convolutions that only lead to a mean over positions"
        )
    del result.graph.value_info[:]
    return result


def _is_mean(node: onnx.NodeProto, known: dict[str, Array]) -> bool:
    if node.op_type != "ReduceMean":
        return str(node.op_type) == "GlobalAveragePool"
    given = known.get(node.input[1]) if len(node.input) > 1 else attribute(node, "axes", [])
    return given is not None and sorted(int(axis) % 4 for axis in given) == [2, 3]


def _first(graph: onnx.GraphProto, mean: onnx.NodeProto, known: dict[str, Array]) -> onnx.NodeProto | None:
    """The first of the 1×1 convolutions whose results go into the mean and nowhere else."""
    made, read = producers(graph), consumers(graph)
    outputs, found = {value.name for value in graph.output}, None
    name = mean.input[0]
    while name in made and len(read[name]) == 1 and name not in outputs:
        node = made[name]
        if node.op_type == "Conv" and _pointwise(node, known):
            found = node
        elif node.op_type not in _ELEMENTWISE:
            break
        name = node.input[0]
    return found


def _pointwise(node: onnx.NodeProto, known: dict[str, Array]) -> bool:
    weight = known.get(node.input[1])
    plain = all(set(attribute(node, name, [])) <= {usual} for name, usual in (("strides", 1), ("pads", 0)))
    return weight is not None and weight.shape[2:] == (1, 1) and plain


def _sample(graph: onnx.GraphProto, reader: onnx.NodeProto, size: int, places: Array) -> None:
    """Let a convolution read its input, [n, channels, height, width], at some places of its rows end to end."""
    name = reader.input[0]
    row, part, made = (f"{name}.{what}" for what in ("row", "part", "sampled"))
    numbers = {
        f"{row}.shape": np.array([0, -1, size]),
        f"{part}.places": places,
        f"{made}.shape": np.array([0, -1, 1, len(places)]),
    }
    graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.int64), key) for key, value in numbers.items()
    )
    nodes = [
        helper.make_node("Reshape", [name, f"{row}.shape"], [row], name=row),
        helper.make_node("Gather", [row, f"{part}.places"], [part], name=part, axis=2),
        helper.make_node("Reshape", [part, f"{made}.shape"], [made], name=made),
    ]
    at = list(graph.node).index(reader)
    for node in reversed(nodes):
        graph.node.insert(at, node)
    reader.input[0] = made
