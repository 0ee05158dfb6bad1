"""Dynamic quantisation: weights int8, activations quantised anew in every inference by their own extremes.

It needs no data. In the form of ONNX's own operators: DynamicQuantizeLinear gives the activation as uint8 with scale
and zero point, MatMulInteger multiplies in integers, and the sum is scaled back, ``y = s_x s_w q + b``. onnxruntime
fuses the whole into DynamicQuantizeMatMul. It suits matrix products with large weights (transformers, recurrent
layers): the extremes cost a pass over the activation. Its ConvInteger is a plain loop, slower than float, so that
convolutions take part only on request.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from compress.quantization.plan import plan
from compress.quantization.weights import Integers, integers
from compress.step import Work
from converter.model import Model, attribute, constants, copy, load, prune_unused, set_constant
from edge_runtime.errors import ModelError


@dataclass(frozen=True, slots=True)
class Dynamic:
    """Parameters of the step: `per_channel` weights; whether `convolutions` take part."""

    per_channel: bool = True
    convolutions: bool = False

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return quantize_dynamic(model, self)


def quantize_dynamic(model: Model, options: Dynamic | None = None) -> onnx.ModelProto:
    """Quantise the weights of matrix products, and their activations as they come.

    Args:
        model: float, optimised; or its path; it is not changed.
        options: what takes part.

    Returns:
        The model with integer matrix products; everything else stays float.

    Raises:
        ModelError: there is no such layer.
    """
    chosen = options or Dynamic()
    result = copy(load(model))
    kinds = {"Gemm", "MatMul"} | ({"Conv"} if chosen.convolutions else set())
    layers = {node.output[0]: node for node in plan(result.graph).layers if node.op_type in kinds}
    if not layers:
        raise ModelError(
            "nothing to quantise: the model has no MatMul or Gemm with constant weights"
            + ("" if chosen.convolutions else "; 'convolutions' takes those too")
        )
    nodes: list[onnx.NodeProto] = []
    for node in list(result.graph.node):
        if node.output[0] not in layers:
            nodes.append(node)
            continue
        known = constants(result.graph)
        weight = known[node.input[1]]
        if node.op_type == "Gemm" and attribute(node, "transB", 0):
            weight = np.ascontiguousarray(weight.T)
            node.attribute.remove(next(found for found in node.attribute if found.name == "transB"))
        nodes += _dynamic(result.graph, node, integers(node, weight, per_channel=chosen.per_channel), nodes)
    del result.graph.node[:], result.graph.value_info[:]
    result.graph.node.extend(nodes)
    prune_unused(result.graph)
    onnx.checker.check_model(result)
    return result


def _dynamic(
    graph: onnx.GraphProto, node: onnx.NodeProto, weight: Integers, before: list[onnx.NodeProto]
) -> list[onnx.NodeProto]:
    x, out = node.input[0], node.output[0]
    quantized = [f"{x}.quantized", f"{x}.scale", f"{x}.zero_point"]
    nodes = []
    if not any(quantized[0] in other.output for other in before):
        nodes.append(helper.make_node("DynamicQuantizeLinear", [x], quantized))
    name = f"{out}.weight"
    spatial = weight.values.ndim - 2 if node.op_type == "Conv" else 0
    set_constant(graph, f"{name}.integers", weight.values)
    set_constant(
        graph, f"{name}.scale", weight.scale.reshape([-1, *[1] * spatial] if weight.scale.ndim else ())
    )
    set_constant(graph, f"{name}.zero_point", np.zeros((), np.int8))
    parts = [quantized[0], f"{name}.integers", quantized[2], f"{name}.zero_point"]
    product = helper.make_node(
        "ConvInteger" if node.op_type == "Conv" else "MatMulInteger", parts, [f"{out}.integers"]
    )
    if node.op_type == "Conv":
        product.attribute.extend(node.attribute)
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else ""
    scaled = f"{out}.scaled" if bias else out
    nodes += [
        product,
        helper.make_node("Cast", [f"{out}.integers"], [f"{out}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [quantized[1], f"{name}.scale"], [f"{out}.step"]),
        helper.make_node("Mul", [f"{out}.float", f"{out}.step"], [scaled]),
    ]
    if bias and spatial:
        value = constants(graph)[bias]
        set_constant(graph, f"{out}.bias", value.reshape([-1, *[1] * spatial]))
        bias = f"{out}.bias"
    return [*nodes, helper.make_node("Add", [scaled, bias], [out])] if bias else nodes
