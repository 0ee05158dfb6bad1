"""Operators that take parts of a value."""

from collections.abc import Mapping

import numpy as np
import onnx

from converter.lowering.builder import Builder, label
from converter.lowering.layout import last, permuted, without
from converter.lowering.program import Free, Lengths
from converter.lowering.registry import lowers
from converter.model import attribute
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_FAR = 2**31 - 1
_MOST_PARTS = 4
"""XNNPACK's SPLIT has at most that many; a SLICE for each part is as good."""


def cut(b: Builder, name: str, parts: Mapping[int, tuple[int, int, int]], shape: Lengths, out: str) -> int:
    """Part of a value, in the order in which it is held; axes that are not named stay whole, also where they vary.

    STRIDED_SLICE: it says "whole" by a mask, where SLICE needs a size that XNNPACK does not take.

    Args:
        b: the program.
        name: the value.
        parts: for an axis of the value: start, number of places, and step.
        shape: what comes out, in the value's own order.
        out: a name for it.
    """
    order = b.order(name)
    source = b.tensor(name, order)
    begin, end, step = ([0] * len(order) for _ in range(3))
    step = [1] * len(order)
    masks = [0, 0]
    for place, axis in enumerate(order):
        if axis not in parts:
            masks[0], masks[1] = masks[0] | 1 << place, masks[1] | 1 << place
            continue
        begin[place], count, step[place] = parts[axis]
        end[place] = begin[place] + step[place] * count
        if end[place] < 0:  # backwards to the first: an end before it cannot be written
            masks[1] |= 1 << place
    made = b.temporary(permuted(shape, order), out, source)
    vectors = [b.vector(values) for values in (begin, end, step)]
    return b.program.emit("STRIDED_SLICE", [source, *vectors], made, beginMask=masks[0], endMask=masks[1])


@lowers("Slice")
def slice_(b: Builder, node: onnx.NodeProto) -> None:
    """Places of some axes, from a start, with a step."""
    x, out = node.input[0], node.output[0]
    shape, rank, after = b.shape(x), b.rank(x), b.shape(out)
    starts, ends, axes, steps = (b.constant(node, k) for k in (1, 2, 3, 4))
    if starts is None or ends is None:
        raise ModelError(f"{label(node)}: needs starts and ends")
    parts = {}
    for k, axis in enumerate(np.arange(len(starts)) if axes is None else axes):
        axis, start = int(axis) % rank, int(starts[k])
        step, length = 1 if steps is None else int(steps[k]), int(shape[axis])
        if isinstance(shape[axis], Free):
            if start == 0 and int(ends[k]) >= _FAR and step == 1:
                continue
            b.pin(f"{label(node)}: cuts along a length that varies")
        start = start + length if start < 0 else start
        parts[axis] = (min(max(start, 0), length - 1 if step < 0 else length), int(after[axis]), step)
    b.hold(out, cut(b, x, parts, after, out), b.order(x))


@lowers("Split")
def split(b: Builder, node: onnx.NodeProto) -> None:
    """A SLICE for each part that is read, or one SPLIT where all are equal."""
    x, rank = node.input[0], b.rank(node.input[0])
    order = b.order(x)
    axis = int(attribute(node, "axis", 0)) % rank
    sizes = [int(b.shape(name)[axis]) for name in node.output]
    if len(set(sizes)) == 1 and 1 < len(sizes) <= _MOST_PARTS:
        source, place = b.tensor(x, order), b.scalar(order.index(axis), "int32")
        made = [b.temporary(permuted(b.shape(name), order), name, source) for name in node.output]
        for name, index in zip(node.output, made, strict=True):
            b.hold(name, index, order)
        b.program.emit("SPLIT", [place, source], made[0], numSplits=len(sizes))
        b.program.operators[-1].outputs[:] = made
        return
    starts = np.cumsum([0, *sizes])
    for name, start, size in zip(node.output, starts, sizes, strict=False):
        b.hold(name, cut(b, x, {axis: (int(start), size, 1)}, b.shape(name), name), order)


@lowers("Gather")
def gather(b: Builder, node: onnx.NodeProto) -> None:
    """One place or a range becomes a SLICE, anything else a GATHER."""
    data, indices, out = node.input[0], node.input[1], node.output[0]
    rank = b.rank(data)
    axis = int(attribute(node, "axis", 0)) % rank
    known = b.constants.get(indices)
    if known is not None and data in b.values and _range(known) and not isinstance(b.shape(data)[axis], Free):
        start = int(known.reshape(-1)[0]) % int(b.shape(data)[axis])
        order = b.order(data)
        shape = tuple(known.size if k == axis else n for k, n in enumerate(b.shape(data)))
        made = cut(b, data, {axis: (start, known.size, 1)}, shape, f"{out}.part")
        if known.ndim == 1:
            b.hold(out, made, order)
        else:
            after = without(order, [axis])
            b.hold(out, b.reshape(made, permuted(b.shape(out), after)), after)
        return
    if known is not None:
        length = int(b.shape(data)[axis])
        where = b.array((known % length).astype(np.int32))
    else:
        where = b.tensor(indices, real=True)
    if (
        known is not None and known.ndim == 1 and data in b.values
    ):  # the axes may stay in the order they are in
        order = b.order(data)
        source, place = b.tensor(data, order), order.index(axis)
        made = b.temporary(permuted(b.shape(out), order), out, source)
        b.program.emit("GATHER", [source, where], made, axis=place, batchDims=0)
        b.hold(out, made, order)
        return
    source = b.tensor(data)
    made = b.temporary(b.shape(out), out, source)
    b.program.emit("GATHER", [source, where], made, axis=axis, batchDims=0)
    b.hold(out, made)


def _range(indices: Array) -> bool:
    if indices.ndim > 1 or indices.size == 0:
        return False
    flat = indices.reshape(-1)
    return bool(np.array_equal(flat, flat[0] + np.arange(flat.size))) and not (flat[0] < 0 <= flat[-1])


@lowers("GatherND")
def gather_nd(b: Builder, node: onnx.NodeProto) -> None:
    """GATHER_ND without batch axes."""
    if attribute(node, "batch_dims", 0):
        raise ModelError(f"{label(node)}: batch_dims has no form in TFLite")
    tensors = [b.tensor(node.input[0], real=True), b.tensor(node.input[1], real=True)]
    b.program.emit("GATHER_ND", tensors, b.define(node.output[0]))


@lowers("TopK")
def top_k(b: Builder, node: onnx.NodeProto) -> None:
    """The largest values and their places, sorted; TFLite gives the places as int32."""
    count = b.constant(node, 1)
    x, rank = node.input[0], b.rank(node.input[0])
    if not attribute(node, "largest", 1):
        raise ModelError(f"{label(node)}: the smallest values have no form in TFLite")
    order = last(b.order(x), int(attribute(node, "axis", -1)) % rank)
    source = b.tensor(x, order, real=True)
    values = b.define(node.output[0], order)
    shape = permuted(b.shape(node.output[0]), order)
    places = b.temporary(shape, f"{node.output[0]}.places", "int32")
    k = b.scalar(int(np.asarray(count).reshape(-1)[0]), "int32")
    b.program.emit("TOPK_V2", [source, k], values)
    b.program.operators[-1].outputs[:] = [values, places]
    if len(node.output) > 1 and node.output[1]:
        wide = b.define(node.output[1], order)
        b.program.emit("CAST", [places], wide, inDataType="int32", outDataType="int64")
