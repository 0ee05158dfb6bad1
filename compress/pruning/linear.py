"""Layers as linear maps: the rows of features that a layer multiplies its weight with, sampled from activations.

A convolution is a matrix product of patches, so all of these are ``y = features · matrix + bias``, with one row for
each position of the output. A few thousand positions drawn at random say as much of their second moments as all.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper

from converter.model import (
    attribute,
    constants,
    consumers,
    copy,
    output_axis,
    prune_unused,
    to_bytes,
)
from edge_runtime.console import progress
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_BATCH = 4
_NO_GEOMETRY: tuple[tuple[int, ...], ...] = ((), (), ())
_ROWS = (20_000, 60_000)  # positions of a layer, at least and at most; between, four for each feature


@dataclass(frozen=True, slots=True)
class Linear:
    """A Conv without groups, a Gemm or a MatMul with a constant weight; `bias` is the constant added to its output.

    `subtracted` says that the bias is the mean of a batch normalisation behind it. An empty `bias` stands for none.
    """

    x: str
    y: str
    weight: str
    bias: str
    subtracted: bool
    kind: str
    shape: tuple[int, ...]
    pads: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    transposed: bool = False

    @property
    def input_axis(self) -> int:
        """The axis of the weight that holds its input channels."""
        return 1 if self.kind == "Conv" or self.transposed else 0

    @property
    def repeats(self) -> int:
        """How many neighbouring features belong to one input channel."""
        return prod(self.shape[2:])

    def matrix(self, weight: Array) -> Array:
        """The weight as float64[features, outputs]."""
        flat = weight.reshape(len(weight), -1) if self.kind == "Conv" else weight
        return (flat.T if self.input_axis else flat).astype(np.float64)

    def weight_of(self, matrix: Array, dtype: np.dtype[np.float32]) -> Array:
        """The inverse of `matrix`, for any number of channels."""
        flat = np.ascontiguousarray(matrix.T if self.input_axis else matrix).astype(dtype)
        return flat.reshape(len(flat), -1, *self.shape[2:]) if self.kind == "Conv" else flat

    def rows(self, x: Array, y_shape: Sequence[int], count: int, rng: np.random.Generator) -> Array:
        """Features at `count` random positions of each sample: float32[n·count, features]."""
        places = self.places(y_shape, count, rng)
        if self.kind != "Conv":
            return x[places]
        sample, *at = places
        spatial = len(self.shape) - 2
        padded = np.pad(x, [(0, 0), (0, 0), *zip(self.pads[:spatial], self.pads[spatial:], strict=True)])
        found = []
        for offset in product(*map(range, self.shape[2:])):
            shifted = (
                p * s + k * d for p, s, k, d in zip(at, self.strides, offset, self.dilations, strict=True)
            )
            index: tuple[Any, ...] = (sample, slice(None), *shifted)
            found.append(padded[index])
        return np.stack(found, axis=2).reshape(len(sample), -1)

    def places(self, y_shape: Sequence[int], count: int, rng: np.random.Generator) -> tuple[Array, ...]:
        """Indices of random rows of the output: int64[n·count] along every axis but that of its channels."""
        free = (*y_shape[:1], *y_shape[2:]) if self.kind == "Conv" else tuple(y_shape[:-1])
        inner = prod(free[1:])
        chosen = [k * inner + rng.integers(0, inner, min(count, inner)) for k in range(free[0])]
        return tuple(np.unravel_index(np.concatenate(chosen), free))

    def outputs(self, y: Array, count: int, rng: np.random.Generator) -> Array:
        """The output at the positions that `rows` takes: float32[n·count, outputs]."""
        sample, *at = self.places(y.shape, count, rng)
        index: tuple[Any, ...] = (sample, slice(None), *at) if self.kind == "Conv" else (sample, *at)
        return np.asarray(y[index])

    def wanted(self, samples: int) -> int:
        """How many positions to take of each of so many samples."""
        features = prod(self.shape[1:]) if self.kind == "Conv" else self.shape[self.input_axis]
        return -(-min(max(4 * features, _ROWS[0]), _ROWS[1]) // samples)


def linear_layers(model: onnx.ModelProto) -> list[Linear]:
    """The layers of a model that are such maps, in the order of the graph; those with groups are left out."""
    known, readers = constants(model.graph), consumers(model.graph)
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in known:
            continue
        weight = known[node.input[1]]
        plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1 and not attribute(
            node, "transA", 0
        )
        shared = len(readers[node.input[1]]) > 1
        if (
            attribute(node, "group", 1) != 1
            or not plain
            or shared
            or (weight.ndim != 2 and node.op_type != "Conv")
        ):
            continue
        geometry = _geometry(node, weight.ndim - 2) if node.op_type == "Conv" else _NO_GEOMETRY
        if geometry is not None:
            pads, strides, dilations = geometry
            found.append(
                Linear(
                    *(node.input[0], node.output[0], node.input[1]),
                    *_bias(node, known, readers),
                    kind=node.op_type,
                    shape=weight.shape,
                    pads=pads,
                    strides=strides,
                    dilations=dilations,
                    transposed=bool(attribute(node, "transB", 0)),
                )
            )
    return found


def _geometry(node: onnx.NodeProto, rank: int) -> tuple[tuple[int, ...], ...] | None:
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    return (
        tuple(attribute(node, "pads", [0] * 2 * rank)),
        tuple(attribute(node, "strides", [1] * rank)),
        tuple(attribute(node, "dilations", [1] * rank)),
    )


def _bias(
    node: onnx.NodeProto, known: Mapping[str, Array], readers: Mapping[str, Sequence[onnx.NodeProto]]
) -> tuple[str, bool]:
    """The constant that alone is added to a layer's output; whether it is a mean, which is subtracted."""
    count = known[node.input[1]].shape[output_axis(node, known[node.input[1]].ndim)]

    def private(name: str) -> bool:
        return name in known and len(readers[name]) == 1 and known[name].shape == (count,)

    if len(node.input) > 2 and node.input[2]:
        return (node.input[2], False) if private(node.input[2]) else ("", False)
    after = readers[node.output[0]]
    if len(after) != 1:
        return "", False
    if after[0].op_type == "BatchNormalization":
        return (after[0].input[3], True) if private(after[0].input[3]) else ("", False)
    if after[0].op_type == "Add":
        (other,) = [name for name in after[0].input if name != node.output[0]] or [""]
        vector = node.op_type == "MatMul" and private(other)
        return (other, False) if vector else ("", False)
    return "", False


def observed(
    model: onnx.ModelProto, names: Sequence[str], x: Array, what: str = ""
) -> Iterator[tuple[slice, dict[str, Array]]]:
    """Run a model over samples, a few at a time, and give the values of these names."""
    part = copy(model)
    del part.graph.output[:], part.graph.value_info[:]
    given = {value.name for value in model.graph.input}
    wanted = list(dict.fromkeys(name for name in names if name not in given))
    part.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted
    )
    prune_unused(part.graph)
    session = Session(to_bytes(part)) if wanted else None
    starts = range(0, len(x), _BATCH)
    for start in progress(starts, what) if what else starts:
        batch = x[start : start + _BATCH]
        found = {name: batch for name in names if name in given} | (_run(session, batch) if session else {})
        yield slice(start, start + len(batch)), found


def _run(session: Session, x: Array) -> dict[str, Array]:
    (spec,) = session.inputs
    if isinstance(spec.shape[0], str):
        return session.run({spec.name: x})
    return dict(zip([out.name for out in session.outputs], session.run_batches(x), strict=True))


def places_rng(layer: Linear, batch: slice) -> np.random.Generator:
    """What draws the positions: the same ones for the same layer and samples in every run."""
    return np.random.default_rng([zlib.crc32(layer.y.encode()), batch.start])


@dataclass(frozen=True, slots=True)
class Moments:
    """Of a layer's features over samples: their `mean` float64[features], and their `second` moment.

    It is about the mean where the layer has a bias, which can take a mean back, and else about zero.
    """

    mean: Array
    second: Array


def moments(
    model: onnx.ModelProto, layers: Sequence[Linear], x: Array, what: str = "observe"
) -> Mapping[str, Moments]:
    """The moments of the features of every layer, by the name of its output, in one pass over the samples."""
    totals: dict[str, list[Array]] = {}
    count = dict.fromkeys((layer.y for layer in layers), 0)
    names = [name for layer in layers for name in (layer.x, layer.y)]
    for batch, values in observed(model, names, x, what):
        for layer in layers:
            shape, wanted = values[layer.y].shape, layer.wanted(len(x))
            rows = layer.rows(values[layer.x], shape, wanted, places_rng(layer, batch)).astype(np.float64)
            sums = [rows.sum(axis=0), rows.T @ rows]
            old = totals.get(layer.y)
            totals[layer.y] = [a + b for a, b in zip(old, sums, strict=True)] if old else sums
            count[layer.y] += len(rows)
    found = {}
    for layer in layers:
        mean, second = (each / count[layer.y] for each in totals[layer.y])
        found[layer.y] = Moments(mean, second - np.outer(mean, mean) if layer.bias else second)
    return found
