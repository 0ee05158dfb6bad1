"""A mean over both spatial axes is GlobalAveragePool, which engines and NPUs have kernels for."""

import numpy as np
import onnx_ir as ir

from converter.fusion import values


def pool_for_mean(node: ir.Node) -> bool:
    """Write a ReduceMean over the last two of four axes as GlobalAveragePool; whether it was one."""
    source = node.inputs[0] if node.inputs else None
    if node.op_type != "ReduceMean" or source is None or values.rank(source) != 4:
        return False
    axes = values.attribute(node, "axes")
    if axes is None:
        found = values.constant(values.given(node, 1))
        axes = () if found is None else found.tolist()
    if sorted(axes) not in ([2, 3], [-2, -1]):
        return False
    out = node.outputs[0]
    (pooled,) = values.insert(node, "GlobalAveragePool", [source], name=f"{out.name}.pooled")
    if not values.attribute(node, "keepdims", 1):
        (pooled,) = values.insert(node, "Flatten", [pooled], name=f"{out.name}.flat")
    return values.replace(out, pooled)


def pool_for_pad(node: ir.Node) -> bool:
    """Take a Pad with zeros around a convolution's input into the convolution; whether there was one."""
    pad = values.made_by(node.inputs[0], "Pad") if node.op_type == "Conv" and node.inputs else None
    if (
        pad is None
        or not values.alone(pad.outputs[0])
        or values.attribute(node, "auto_pad", "NOTSET") != "NOTSET"
    ):
        return False
    widths, fill = values.constant(values.given(pad, 1)), values.given(pad, 2)
    axes, mode = values.given(pad, 3), values.attribute(pad, "mode", "constant")
    weight = values.constant(node.inputs[1])
    if widths is None or weight is None or axes is not None or mode != "constant":
        return False
    if (
        (fill is not None and values.scalar(fill) != 0)
        or (widths < 0).any()
        or len(widths) != 2 * weight.ndim
    ):
        return False
    before, after = np.split(widths, 2)
    if before[:2].any() or after[:2].any():
        return False
    own = np.asarray(values.attribute(node, "pads", [0] * (2 * (weight.ndim - 2))))
    pads = (own + np.concatenate([before[2:], after[2:]])).tolist()
    out = node.outputs[0]
    options = {name: given.value for name, given in node.attributes.items()} | {"pads": pads}
    (made,) = values.insert(
        node, "Conv", [pad.inputs[0], *node.inputs[1:]], options, name=f"{out.name}.padded"
    )
    return values.replace(out, made)
