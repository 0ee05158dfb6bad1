"""Linear layers: MatMul and Add become Gemm, and two layers with nothing between them become one where that is less."""

import numpy as np
import onnx_ir as ir

from converter.fusion import values
from converter.fusion.affine import plain, unpadded
from edge_runtime.tensors import Array


def fuse_bias(node: ir.Node) -> bool:
    """Write ``MatMul(x, W) + b`` as Gemm where x is a matrix and b one number a column; whether it did."""
    if node.op_type != "Add":
        return False
    for k in (0, 1):
        product = values.made_by(node.inputs[k], "MatMul")
        weight, bias = (None if product is None else values.constant(product.inputs[1])), node.inputs[1 - k]
        shift = values.constant(bias)
        if product is None or weight is None or shift is None or product.inputs[0] is None:
            continue
        fits = weight.ndim == 2 and shift.size in (1, weight.shape[1]) and shift.shape[-1:] == (shift.size,)
        if (
            not fits
            or shift.ndim > 2
            or values.rank(product.inputs[0]) != 2
            or not values.alone(product.outputs[0])
        ):
            continue
        out = node.outputs[0]
        if shift.ndim != 1 or shift.size != weight.shape[1]:
            bias = values.new_constant(
                node, np.broadcast_to(shift.reshape(-1), weight.shape[1:]).copy(), f"{out.name}.bias"
            )
        (made,) = values.insert(node, "Gemm", [*product.inputs[:2], bias], name=f"{out.name}.gemm")
        return values.replace(out, made)
    return False


def merge_layers(node: ir.Node) -> bool:
    """Merge a layer into the one before it, if nothing lies between and their product has no more weights."""
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return False
    first = values.made_by(node.inputs[0], "Conv") if node.op_type == "Conv" else None
    if node.op_type != "Conv":
        first = values.made_by(node.inputs[0], node.op_type)
    if first is None or not values.alone(first.outputs[0]) or first.graph is not node.graph:
        return False
    weights = [values.constant(layer.inputs[1]) for layer in (first, node)]
    biases = [_bias(layer) for layer in (first, node)]
    shared = any(len(layer.inputs[1].uses()) > 1 for layer in (first, node) if layer.inputs[1] is not None)
    if shared or any(part is None for part in (*weights, *biases)):
        return False
    merge = _merge_convolutions if node.op_type == "Conv" else _merge_products
    merged = merge(first, node, [part.astype(np.float64) for part in (*weights, *biases) if part is not None])
    if merged is None or merged[0].size > sum(part.size for part in weights if part is not None):
        return False
    weight, bias, attributes = merged
    kind, out = node.op_type, node.outputs[0]
    dtype = weights[0].dtype if weights[0] is not None else np.float32
    inputs = [first.inputs[0], values.new_constant(node, weight.astype(dtype), f"{out.name}.weight")]
    if bias.any():
        inputs.append(values.new_constant(node, bias.astype(dtype), f"{out.name}.bias"))
    (made,) = values.insert(node, kind, inputs, attributes, name=f"{out.name}.merged")
    return values.replace(out, made)


_Merged = tuple[Array, Array, dict[str, object]]


def _bias(layer: ir.Node) -> Array | None:
    given = values.given(layer, 2)
    bias = np.zeros(1) if given is None or layer.op_type == "MatMul" else values.constant(given)
    return bias if bias is not None and bias.ndim <= 1 else None


def _merge_convolutions(first: ir.Node, second: ir.Node, parts: list[Array]) -> _Merged | None:
    one, two, bias, shift = parts
    if any(values.attribute(layer, "group", 1) != 1 for layer in (first, second)):
        return None
    pointwise = [set(weight.shape[2:]) <= {1} for weight in (one, two)]
    if pointwise[1] and unpadded(second) and set(values.attribute(second, "strides", (1,))) <= {1}:
        weight, keep = np.einsum("om,mi...->oi...", two.reshape(two.shape[:2]), one), first
    elif pointwise[0] and unpadded(first) and set(values.attribute(first, "strides", (1,))) <= {1}:
        if bias.any() and not unpadded(second):
            return None  # zeros around the middle are not what the bias would have put there
        weight, keep = np.einsum("om...,mi->oi...", two, one.reshape(one.shape[:2])), second
    else:
        return None
    inner = two.reshape(*two.shape[:2], -1).sum(axis=2) @ np.broadcast_to(bias, one.shape[:1])
    options = {name: given.value for name, given in keep.attributes.items() if name != "kernel_shape"}
    return weight, inner + shift, options


def _merge_products(first: ir.Node, second: ir.Node, parts: list[Array]) -> _Merged | None:
    one, two, bias, shift = parts
    if one.ndim != 2 or two.ndim != 2 or not plain(first) or not plain(second):
        return None
    one = one.T if values.attribute(first, "transB", 0) else one
    two = two.T if values.attribute(second, "transB", 0) else two
    return one @ two, np.broadcast_to(bias, one.shape[1:]) @ two + shift, {}
