r"""Vertical fusion: batch normalisation into the convolution or matrix product before it.

For ``y = conv(x, W) + b`` and ``BN(y) = gamma (y - mean) / sqrt(var + eps) + beta`` (ONNX BatchNormalization)::

    s = gamma / sqrt(var + eps)
    W' = W * s        (per output channel)
    b' = (b - mean) * s + beta

A rule is `graph -> bool` in place: whether it changed something.
"""

import numpy as np
import onnx
from onnx import helper

from converter.model import attribute, constants, consumers, output_axis, producers, set_constant
from edge_runtime.tensors import Array


def fuse_batch_normalization(graph: onnx.GraphProto) -> bool:
    """Fold every inference BatchNormalization whose input is a Conv, ConvTranspose or Gemm with constant weights."""
    known, made, readers = constants(graph), producers(graph), consumers(graph)
    outputs = {value.name for value in graph.output}
    changed = False
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        before = made.get(norm.input[0])
        if before is None or before.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        private = len(readers[norm.input[0]]) == 1 and norm.input[0] not in outputs
        grouped = before.op_type == "ConvTranspose" and attribute(before, "group", 1) != 1
        fixed = all(name in known for name in (*norm.input[1:], *before.input[1:]))
        if not private or grouped or not fixed or attribute(norm, "training_mode", 0):
            continue
        _fold(graph, before, norm, known)
        changed = True
    return changed


def _fold(
    graph: onnx.GraphProto, before: onnx.NodeProto, norm: onnx.NodeProto, known: dict[str, Array]
) -> None:
    gamma, beta, mean, var = (known[name].astype(np.float64) for name in norm.input[1:5])
    epsilon = attribute(norm, "epsilon", 1e-5)
    weight = known[before.input[1]]
    axis = output_axis(before, weight.ndim)
    scale = gamma / np.sqrt(var + epsilon)
    bias = (
        known[before.input[2]].astype(np.float64)
        if len(before.input) > 2 and before.input[2]
        else np.zeros_like(mean)
    )
    shape = [1] * weight.ndim
    shape[axis] = -1
    names = (f"{norm.output[0]}.weight", f"{norm.output[0]}.bias")
    set_constant(graph, names[0], (weight * scale.reshape(shape)).astype(weight.dtype))
    set_constant(graph, names[1], ((bias - mean) * scale + beta).astype(weight.dtype))
    rest = [before.input[0], *names]
    del before.input[:]
    before.input.extend(rest)
    before.output[0] = norm.output[0]
    graph.node.remove(norm)


def pool_for_mean(graph: onnx.GraphProto) -> bool:
    """Write a mean over both spatial axes as GlobalAveragePool, which engines and NPUs have kernels for."""
    known = constants(graph)
    found = [node for node in graph.node if node.op_type == "ReduceMean" and _spatial(graph, node, known)]
    for node in found:
        place = list(graph.node).index(node)
        out = node.output[0]
        keeps = attribute(node, "keepdims", 1)
        pooled = out if keeps else f"{out}.pooled"
        nodes = [helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=node.name)]
        if not keeps:
            nodes.append(helper.make_node("Flatten", [pooled], [out]))
        graph.node.remove(node)
        for made in reversed(nodes):
            graph.node.insert(place, made)
    return bool(found)


def _spatial(graph: onnx.GraphProto, node: onnx.NodeProto, known: dict[str, Array]) -> bool:
    axes = known.get(node.input[1]) if len(node.input) > 1 else None
    return (
        axes is not None and sorted(axes.tolist()) in ([2, 3], [-2, -1]) and _rank(graph, node.input[0]) == 4
    )


def _rank(graph: onnx.GraphProto, name: str) -> int:
    for value in (*graph.value_info, *graph.input):
        if value.name == name:
            return len(value.type.tensor_type.shape.dim)
    return -1
