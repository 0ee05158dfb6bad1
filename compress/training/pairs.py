"""Pairs of integer weights that stay within 16 bits while training moves them.

A model that was quantised with head-room says so in its metadata, and engines then choose kernels that add neighbouring
products in 16 bits (`compress.quantization.weights`). So the graph that learns scales a pair down that grew too large,
before it is rounded: ``w·min(1, limit / (|w₀| + |w₁|))`` for neighbours of one sign.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from compress.quantization.weights import PAIR, depthwise, rows
from converter.model import WEIGHTED, output_axis
from edge_runtime.engines.onnx import HEADROOM
from edge_runtime.tensors import Array


def has_headroom(model: onnx.ModelProto) -> bool:
    """Whether the model promises that no pair exceeds 16 bits."""
    return any(entry.key == HEADROOM for entry in model.metadata_props)


def narrowing(
    layer: onnx.NodeProto, value: str, growth: str, stem: str, shape: Sequence[int], peak: int
) -> tuple[list[onnx.NodeProto], dict[str, Array], str]:
    """The nodes that scale pairs down, what constants they need, and the name of their result.

    Args:
        layer: reads the weight.
        value: the name of the weight, in units of `peak` first steps.
        growth: the name of the factor on the first scales, float[channels] or float[].
        stem: begins the names.
        shape: of the weight.
        peak: the integer that 1 stands for.
    """
    order = _order(layer, len(shape))
    moved = [shape[k] for k in order]
    length = int(np.prod(moved[1:]))
    constants: dict[str, Array] = {
        # A step less than PAIR: rounding may add half a step to each.
        "most": np.float32((PAIR - 1) / peak) * np.ones((), np.float32),
        "each": np.array([-1, 1, 1]),
        "flat": np.array([moved[0], length]),
        "odd": np.array([0, 0, 0, length % 2]),
        "two": np.array([moved[0], -1, 2]),
        "axis": np.array([2]),
        "wide": np.array([moved[0], -1]),
        "start": np.array([0]),
        "end": np.array([length]),
        "along": np.array([1]),
        "moved": np.array(moved),
    }
    named = {name: f"{stem}.pair.{name}" for name in constants}
    nodes = []

    def add(kind: str, *inputs: str, out: str, **attributes: int | Sequence[int]) -> str:
        name = f"{stem}.paired.{out}"
        given = [named.get(each, each) for each in inputs]
        nodes.append(helper.make_node(kind, given, [name], name=name, **attributes))
        return name

    limit = add("Reshape", add("Mul", growth, "most", out="most"), "each", out="limit")
    rows_ = add("Reshape", add("Transpose", value, out="turned", perm=order), "flat", out="rows")
    pairs = add("Reshape", add("Pad", rows_, "odd", out="even"), "two", out="pairs")
    positive, negative = add("Relu", pairs, out="up"), add("Relu", add("Neg", pairs, out="turn"), out="down")
    parts = []
    for part in (positive, negative):
        total = add("ReduceSum", part, "axis", out=f"{len(nodes)}.total", keepdims=1)
        factor = add(
            "Div", limit, add("Max", total, limit, out=f"{len(nodes)}.most"), out=f"{len(nodes)}.factor"
        )
        parts.append(add("Mul", part, factor, out=f"{len(nodes)}.scaled"))
    joined = add("Reshape", add("Sub", *parts, out="joined"), "wide", out="long")
    cut = add("Reshape", add("Slice", joined, "start", "end", "along", out="cut"), "moved", out="shaped")
    out = add("Transpose", cut, out="value", perm=np.argsort(order).tolist())
    return nodes, {named[name]: array for name, array in constants.items()}, out


def narrowed(layer: onnx.NodeProto, value: Array, growth: Array, peak: int) -> Array:
    """What the nodes of `narrowing` give."""
    order = _order(layer, value.ndim)
    turned = value.transpose(order)
    flat = turned.reshape(len(turned), -1)
    pairs = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2))).reshape(len(flat), -1, 2)
    limit = (growth * np.float32((PAIR - 1) / peak)).reshape(-1, 1, 1)
    parts = [np.maximum(sign * pairs, 0) for sign in (1, -1)]
    up, down = (part * (limit / np.maximum(part.sum(axis=2, keepdims=True), limit)) for part in parts)
    cut = (up - down).reshape(len(flat), -1)[:, : flat.shape[1]]
    return np.asarray(cut.reshape(turned.shape).transpose(np.argsort(order)))


def _order(layer: onnx.NodeProto, rank: int) -> list[int]:
    """The axes of a weight in the order in which a kernel adds along all but the first (see `rows`)."""
    if layer.op_type == "Conv":
        return [0, *range(2, rank), 1]
    channels = output_axis(layer, rank)
    return [channels, *(k for k in range(rank) if k != channels)]


def pairing(model: onnx.ModelProto, weights: Mapping[str, Array]) -> dict[str, onnx.NodeProto]:
    """The layer of each of the dequantised `weights` whose kernel adds pairs, if the model promises head-room."""
    if not has_headroom(model):
        return {}
    layers = {node.input[1]: node for node in model.graph.node if node.op_type in WEIGHTED}
    return {
        name: layers[name]
        for name, weight in weights.items()
        if name in layers and not depthwise(layers[name], weight)
    }


def fitted(node: onnx.NodeProto, weight: Array) -> Array:
    """The integers of a layer's weight, neighbours of one sign with a sum of at most `PAIR`."""
    flat = rows(node, weight).astype(np.int64)
    length = flat.shape[1]
    pairs = np.pad(flat, ((0, 0), (0, length % 2))).reshape(len(flat), -1, 2)
    for sign in (1, -1):
        part = np.maximum(sign * pairs, 0)
        total = part.sum(axis=2, keepdims=True)
        smaller = part * PAIR // np.maximum(total, PAIR)
        pairs = np.where((total > PAIR) & (part > 0), sign * smaller, pairs)
    order = _order(node, weight.ndim)
    turned = pairs.reshape(len(flat), -1)[:, :length].reshape([weight.shape[k] for k in order])
    return turned.transpose(np.argsort(order)).astype(weight.dtype)
