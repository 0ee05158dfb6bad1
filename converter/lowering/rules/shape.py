"""Operators that only move elements: shapes, orders, concatenation, padding, resizing."""

import numpy as np
import onnx

from converter.lowering.builder import Builder, given, label
from converter.lowering.layout import Order, channels_last, natural, permuted
from converter.lowering.program import Free
from converter.lowering.registry import lowers
from converter.lowering.rules.arithmetic import common_order
from converter.lowering.window import LOWEST, pad
from converter.model import attribute
from edge_runtime.errors import ModelError


@lowers("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(b: Builder, node: onnx.NodeProto) -> None:
    """Another shape: no element moves unless the axes lie in an order that a merge does not allow."""
    x, out = node.input[0], node.output[0]
    if x in b.constants:
        b.constants[out] = b.constants[x].reshape(b.shape(out))
        return
    made = b.reshape_value(x, b.shape(out))
    b.values[out] = made


@lowers("Transpose")
def transpose(b: Builder, node: onnx.NodeProto) -> None:
    """The same tensor under other names of its axes."""
    x, out = node.input[0], node.output[0]
    perm = list(attribute(node, "perm", natural(b.rank(x))[::-1]))
    if x in b.constants:
        b.constants[out] = b.constants[x].transpose(perm)
        return
    if x in b.weights:
        b.hold(x, b.tensor(x))
    order: Order = tuple(perm.index(axis) for axis in b.order(x))
    b.hold(out, b.values[x].tensor, order)


@lowers("Concat")
def concat(b: Builder, node: onnx.NodeProto) -> None:
    """CONCATENATION, in integers if all parts are or are wanted so."""
    out = node.output[0]
    names = [name for name in node.input if int(np.prod(b.shape(name), dtype=np.int64))]
    order = common_order(b, names, b.rank(out))
    axis = order.index(int(attribute(node, "axis", 0)) % len(order))
    scales = {b.quantization(name) if name in b.values else None for name in names}
    wanted = b.integer(node, names) or (scales.pop() if len(scales) == 1 else None)
    if any(name in b.weights for name in names):
        wanted = None
    for name in names:
        if name in b.constants and any(isinstance(n, Free) for n in b.declared(name)):
            b.pin(f"{label(node)}: a part is a constant of a length that varies")
    tensors = [b.tensor(name, order, real=wanted is None) for name in names]
    if wanted is not None:
        tensors = [b.requantized(index, wanted) for index in tensors]
    b.program.emit("CONCATENATION", tensors, b.define(out, order, wanted), axis=axis)


@lowers("Expand")
def expand(b: Builder, node: onnx.NodeProto) -> None:
    """BROADCAST_TO; the shape is a constant, so a length that varies may not be made here."""
    x, out = node.input[0], node.output[0]
    rank, before, after = b.rank(out), b.shape(x), b.shape(out)
    if (
        x in b.constants and b.constants[x].size == 1
    ):  # such as the first state of a recurrence; it broadcasts
        held = [1 if isinstance(n, Free) else n for n in after]
        b.constants[out] = np.full(held, b.constants[x].reshape(()))
        return
    whole = (*[1] * (rank - len(before)), *before)
    if [int(n) for n in whole] == [int(n) for n in after]:
        made = b.reshape(b.tensor(x), whole) if len(before) < rank else b.tensor(x)
        if any(isinstance(n, Free) and not isinstance(m, Free) for n, m in zip(after, whole, strict=True)):
            b.pin(f"{label(node)}: repeats along a length that varies")
        b.hold(out, made)
        return
    if any(isinstance(n, Free) for n in after):
        b.pin(f"{label(node)}: the shape of its output varies")
    source = b.reshape(b.tensor(x, real=True), whole)
    b.program.emit("BROADCAST_TO", [source, b.vector([int(n) for n in after])], b.define(out))


@lowers("Tile")
def tile(b: Builder, node: onnx.NodeProto) -> None:
    """TILE, by constant counts."""
    repeats = b.constant(node, 1)
    x, out = node.input[0], node.output[0]
    counts = [int(k) for k in np.asarray(repeats)]
    b.program.emit("TILE", [b.tensor(x, real=True), b.vector(counts)], b.define(out))


@lowers("Pad")
def padding(b: Builder, node: onnx.NodeProto) -> None:
    """PAD, PADV2 or MIRROR_PAD, by constant amounts; negative ones cut."""
    x, out = node.input[0], node.output[0]
    rank, order = b.rank(x), b.order(x)
    amounts = b.constant(node, 1) if given(node, 1) else np.asarray(attribute(node, "pads"))
    fill, axes = b.constant(node, 2), b.constant(node, 3)
    chosen = list(range(rank)) if axes is None else [int(axis) % rank for axis in axes]
    pads = np.zeros((rank, 2), np.int64)
    pads[chosen] = np.asarray(amounts).reshape(2, -1).T
    mode = attribute(node, "mode", b"constant").decode()
    if mode not in ("constant", "reflect") or (pads < 0).any():
        raise ModelError(
            f"{label(node)}: {'negative amounts' if (pads < 0).any() else mode} has no form in TFLite"
        )
    source = b.tensor(x, order)
    held = pads[list(order)]
    if mode == "reflect":
        made = b.temporary(permuted(b.shape(out), order), out, source)
        b.program.emit("MIRROR_PAD", [source, b.array(held.astype(np.int32))], made, mode=0)
    else:
        value = 0.0 if fill is None else float(fill.reshape(()))
        made = pad(b, source, held.tolist(), max(value, LOWEST))
    b.hold(out, made, order)


@lowers("DepthToSpace", "SpaceToDepth")
def depth_and_space(b: Builder, node: onnx.NodeProto) -> None:
    """Channels to places and back; the order "CRD" by a transposition of six axes."""
    x, out = node.input[0], node.output[0]
    size, order = int(attribute(node, "blocksize")), channels_last(4)
    source = b.tensor(x, order, real=not b.quantized(x))
    after = permuted(b.shape(out), order)
    crd = node.op_type == "DepthToSpace" and attribute(node, "mode", b"DCR") == b"CRD"
    if not crd:
        made = b.temporary(after, out, source)
        code = "DEPTH_TO_SPACE" if node.op_type == "DepthToSpace" else "SPACE_TO_DEPTH"
        b.program.emit(code, [source], made, blockSize=size)
    else:
        n, h, w, c = b.program.tensors[source].shape
        split = b.reshape(source, (n, h, w, c // size**2, size, size))
        turned = b.temporary((n, h, size, w, size, c // size**2), f"{out}.turned", split)
        b.program.emit("TRANSPOSE", [split, b.vector([0, 1, 4, 2, 5, 3])], turned)
        made = b.reshape(turned, after)
    b.hold(out, made, order)


@lowers("Resize", "Upsample")
def resize(b: Builder, node: onnx.NodeProto) -> None:
    """RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR of pictures."""
    x, out = node.input[0], node.output[0]
    before, after = b.shape(x), b.shape(out)
    mode = attribute(node, "mode", b"nearest").decode()
    places = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    places = "asymmetric" if node.op_type == "Upsample" else places
    pictures = len(before) == 4 and before[:2] == after[:2]
    if not pictures or mode == "cubic" or places not in _PLACES or attribute(node, "antialias", 0):
        raise ModelError(f"{label(node)}: mode '{mode}' with '{places}' has no form in TFLite")
    scales = b.constants.get(given(node, 1 if node.op_type == "Upsample" else 2))
    exact = scales is None or scales.size != 4 or np.allclose(np.multiply(before, scales), after, rtol=1e-6)
    if not exact:
        raise ModelError(
            f"{label(node)}: its scales give no whole number of places, which TFLite cannot express"
        )
    half, corners = places in ("half_pixel", "pytorch_half_pixel"), places == "align_corners"
    order = channels_last(4)
    source = b.tensor(x, order)
    made = b.temporary(permuted(after, order), out, source)
    size = b.vector([int(after[2]), int(after[3])])
    if mode == "nearest":
        _check_nearest(node, before, after, places)
        b.program.emit("RESIZE_NEAREST_NEIGHBOR", [source, size], made, alignCorners=corners)
    else:
        b.program.emit("RESIZE_BILINEAR", [source, size], made, alignCorners=corners, halfPixelCenters=half)
    b.hold(out, made, order)


_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def _check_nearest(
    node: onnx.NodeProto, before: tuple[int, ...], after: tuple[int, ...], places: str
) -> None:
    """TFLite takes ``floor(i / scale)``, which half-pixel centres give as well where the scale is a whole number."""
    rounding = attribute(node, "nearest_mode", b"round_prefer_floor").decode()
    whole = all(b % a == 0 for a, b in zip(before[2:], after[2:], strict=True))
    if places == "asymmetric" and rounding == "floor":
        return
    if whole and places.endswith("half_pixel") and rounding.startswith("round"):
        return
    if node.op_type == "Upsample" and whole:
        return
    raise ModelError(
        f"{label(node)}: nearest with '{places}' and '{rounding}' has no form in TFLite at this scale"
    )
