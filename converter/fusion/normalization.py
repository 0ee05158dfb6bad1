r"""Layer and RMS normalisation written out in small operators become LayerNormalization and RMSNormalization.

Of opsets 17 and 23, over the last axis, as `region` finds them by what they calculate::

    LayerNormalization   (x - mean(x)) / sqrt(mean((x - mean(x))²) + epsilon) * scale + bias
    RMSNormalization     x / sqrt(mean(x²) + epsilon) * scale
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from converter.fusion import values
from converter.fusion.region import Region, regions
from edge_runtime.tensors import Array

_SINCE = {"LayerNormalization": 17, "RMSNormalization": 23}


def _layer(x: Array, epsilon: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon))


def _rms(x: Array, epsilon: float) -> Array:
    return np.asarray(x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon))


_FORMULAS: dict[str, Callable[[Array, float], Array]] = {
    "LayerNormalization": _layer,
    "RMSNormalization": _rms,
}


def fuse_normalization(root: ir.Node) -> bool:
    """Replace the normalisation that ends in `root`, without its scale; whether there was one."""
    if root.op_type not in ("Mul", "Div"):
        return False
    for region in regions(root, rows=True):
        if not any(node.op_type == "ReduceMean" for node in region.nodes):
            continue
        width = values.length(region.source, -1)
        found = _recognised(region, width) if width else None
        if found is None:
            continue
        kind, epsilon = found
        name = root.outputs[0].name
        ones = values.new_constant(root, np.ones(width or 1, np.float32), f"{name}.scale")
        options = {"axis": -1, "epsilon": epsilon}
        (made,) = values.insert(root, kind, [region.source, ones], options, name=f"{name}.{kind}")
        return values.replace(root.outputs[0], made)
    return False


def _recognised(region: Region, width: int) -> tuple[str, float] | None:
    rng = np.random.default_rng(0)
    scales = np.array([1e-3, 1e-2, 0.1, 1, 10, 100])[:, None]
    x = rng.standard_normal((6, width)) * scales + rng.standard_normal((6, 1)) * scales
    got = region(x)
    for kind, formula in _FORMULAS.items():
        if got.shape != x.shape or values.opset(region.root) < _SINCE[kind]:
            continue
        for epsilon in region.constants():
            wanted = formula(x, epsilon) if 0 < epsilon < 1 else None
            if wanted is not None and np.allclose(got, wanted, rtol=1e-6, atol=1e-9):
                return kind, epsilon
    return None


def fuse_scale(node: ir.Node) -> bool:
    """Take the Mul and Add behind a normalisation into its scale and bias; whether there was one."""
    if node.op_type not in ("Mul", "Add"):
        return False
    for k in (0, 1):
        norm = values.made_by(node.inputs[k], *_SINCE)
        factor = values.constant(node.inputs[1 - k])
        if norm is None or factor is None or not values.alone(norm.outputs[0]) or len(norm.outputs) > 1:
            continue
        scale, bias = values.constant(norm.inputs[1]), values.given(norm, 2)
        shift = values.constant(bias)
        if scale is None or (bias is not None and shift is None) or values.attribute(norm, "axis", -1) != -1:
            continue
        if (
            factor.dtype != scale.dtype
            or factor.size not in (1, scale.size)
            or factor.shape[-1:] != (factor.size,)
        ):
            continue
        if node.op_type == "Add" and norm.op_type != "LayerNormalization":
            continue
        return _rescaled(node, norm, factor.reshape(-1), scale, shift)
    return False


def _rescaled(node: ir.Node, norm: ir.Node, factor: Array, scale: Array, shift: Array | None) -> bool:
    out = node.outputs[0]
    if node.op_type == "Mul":
        scale, shift = scale * factor, None if shift is None else shift * factor
    else:
        shift = np.broadcast_to(factor, scale.shape) + (0 if shift is None else shift)
    parts = [norm.inputs[0], values.new_constant(node, scale, f"{out.name}.scale")]
    if shift is not None:
        parts.append(values.new_constant(node, shift.astype(scale.dtype), f"{out.name}.bias"))
    (made,) = values.insert(node, norm.op_type, parts, dict(norm.attributes), name=f"{out.name}.norm")
    return values.replace(out, made)
