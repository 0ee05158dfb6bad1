"""A layer of a graph written as the chain of its factors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from compress.pruning.linear import Linear
from converter.model import prune_unused, set_constant
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Part:
    """One link of the chain: its weight as ONNX has it; whether it takes the layer's stride, and is depthwise."""

    weight: Array
    strided: bool = False
    depthwise: bool = False


def replace(graph: onnx.GraphProto, layer: Linear, parts: Sequence[Part], bias: Array | None) -> None:
    """Put the chain, in the order in which the data meets it, in the layer's place; every other name is kept.

    A `bias` replaces the layer's; None keeps it.
    """
    node = next(node for node in graph.node if layer.y in node.output)
    if bias is not None:
        set_constant(graph, layer.bias, bias)
    x, made = layer.x, []
    for k, part in enumerate(parts):
        last = k == len(parts) - 1
        name, y = f"{layer.weight}.{k}", layer.y if last else f"{layer.y}.{k}"
        set_constant(graph, name, np.ascontiguousarray(part.weight).astype(np.float32))
        inputs = [x, name, *(node.input[2:] if last else ())]
        made.append(
            helper.make_node(layer.kind, inputs, [y], f"{node.name or layer.y}.{k}", **_given(layer, part))
        )
        x = y
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for each in reversed(made):
        graph.node.insert(place, each)
    prune_unused(graph)


def _given(layer: Linear, part: Part) -> dict[str, object]:
    """The attributes of a link."""
    if layer.kind != "Conv":
        return {"transB": 1} if layer.transposed else {}
    given: dict[str, object] = {"kernel_shape": list(part.weight.shape[2:])}
    if part.strided:
        given |= {
            "pads": list(layer.pads),
            "strides": list(layer.strides),
            "dilations": list(layer.dilations),
        }
    if part.depthwise:
        given["group"] = len(part.weight)
    return given
