"""QDQ form: QuantizeLinear and DequantizeLinear around float operators, written into a graph as a plan says."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from compress.quantization.calibrate import QuantParams, Range, affine
from compress.quantization.plan import Plan, scalars
from compress.quantization.weights import Integers
from converter.model import WEIGHTED, constants, producers, set_constant
from edge_runtime.tensors import Array


def write_qdq(
    graph: onnx.GraphProto, plan: Plan, params: Mapping[str, QuantParams], weights: Mapping[str, Integers]
) -> None:
    """Bring a graph into QDQ form, in place.

    Args:
        graph: float; the plan was made of it.
        plan: what is quantised.
        params: of each of the plan's tensors.
        weights: of each of the plan's layers, by the weight's name.
    """
    known, made = constants(graph), producers(graph)
    renamed: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    skipped = {id(made[after]) for after in plan.fused.values()}
    inputs = {value.name for value in graph.input}
    for name in plan.tensors:
        if name in inputs:
            nodes += pair(graph, name, name, params[name])
            renamed[name] = f"{name}.dequantized"
    for node in list(graph.node):
        if id(made[node.output[0]]) in skipped:
            continue
        out = node.output[0]
        if out in plan.nodes:
            _write_weight(graph, nodes, node, known, params, weights)
            _write_scalars(graph, nodes, node, known, params)
            for k, name in enumerate(node.input):
                node.input[k] = renamed.get(name, name)
        final = plan.fused.get(out, out)
        nodes.append(node)
        for source, name in ((out, final), *((other, other) for other in node.output[1:])):
            if name in params:
                nodes += pair(graph, source, name, params[name])
                renamed[name] = f"{name}.dequantized"
    del graph.node[:]
    # Operators that stay float read the dequantised value too, so that the activation lives once, as integers.
    for node in nodes:
        if node.op_type != "QuantizeLinear":
            for k, name in enumerate(node.input):
                node.input[k] = renamed.get(name, name)
    graph.node.extend(nodes)


def pair(graph: onnx.GraphProto, source: str, name: str, params: QuantParams) -> list[onnx.NodeProto]:
    """QuantizeLinear and DequantizeLinear of one activation."""
    scale, zero = f"{name}.scale", f"{name}.zero_point"
    set_constant(graph, scale, np.asarray(params.scale, np.float32))
    set_constant(graph, zero, np.asarray(params.zero_point, params.dtype))
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}.quantized"], name=f"{name}.q"),
        helper.make_node(
            "DequantizeLinear", [f"{name}.quantized", scale, zero], [f"{name}.dequantized"], name=f"{name}.dq"
        ),
    ]


def _write_weight(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    params: Mapping[str, QuantParams],
    weights: Mapping[str, Integers],
) -> None:
    """Put the weight and the bias of `node` into integers."""
    if node.op_type not in WEIGHTED:
        return
    weight = weights[node.input[1]]
    made = f"{node.input[1]}.dequantized"
    if not any(made in other.output for other in nodes):
        nodes.append(dequantized(graph, node.input[1], weight.values, weight.scale, weight.axis))
    step = params[node.input[0]].scale * weight.scale
    node.input[1] = made
    if len(node.input) > 2 and node.input[2] in known:
        channels = weight.values.shape[weight.axis]
        nodes.append(_write_bias(graph, node, known[node.input[2]], np.broadcast_to(step, channels)))


def _write_scalars(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    params: Mapping[str, QuantParams],
) -> None:
    """Put the single numbers that an Add or Mul takes into integers of the type of what they meet."""
    for name in scalars(node, known):
        other = next(each for each in node.input if each != name)
        value = float(known[name].reshape(-1)[0])
        kind = params[other].dtype
        # In the middle of the type, so that a number that is trained further may also change its sign.
        how = affine(Range(-abs(value), abs(value)), kind.name, symmetric=True)
        made = f"{node.output[0]}.constant"
        integer = np.rint(known[name] / how.scale) + how.zero_point
        nodes.append(dequantized(graph, made, integer.astype(kind), np.asarray(how.scale), 0, how.zero_point))
        node.input[list(node.input).index(name)] = f"{made}.dequantized"


def dequantized(
    graph: onnx.GraphProto,
    name: str,
    integers: Array,
    scale: Array,
    axis: int,
    zero: int = 0,
    **attributes: int,
) -> onnx.NodeProto:
    """Integers as initializers, and the DequantizeLinear node that gives them back as ``NAME.dequantized``."""
    set_constant(graph, f"{name}.integers", integers)
    set_constant(graph, f"{name}.scale", scale.astype(np.float32))
    set_constant(graph, f"{name}.zero_point", np.full(scale.shape, zero, integers.dtype))
    parts = [f"{name}.integers", f"{name}.scale", f"{name}.zero_point"]
    return helper.make_node(
        "DequantizeLinear", parts, [f"{name}.dequantized"], name=f"{name}.dq", axis=axis, **attributes
    )


def _write_bias(graph: onnx.GraphProto, node: onnx.NodeProto, bias: Array, step: Array) -> onnx.NodeProto:
    # Named after the node's output: two layers may share a bias, but not its scale.
    name = f"{node.output[0]}.bias"
    limit = np.iinfo(np.int32).max
    rounded = np.clip(np.rint(bias.reshape(-1).astype(np.float64) / step), -limit, limit)
    node.input[2] = f"{name}.dequantized"
    return dequantized(graph, name, rounded.astype(np.int32), step, 0)
