"""Trained weights as the integers of a quantised graph, with the correction of its biases carried along.

A compressor may have changed a bias to make up for the rounding of the weights, c = -D·m, where D is what rounding
added to each weight and m the mean of each input (Nagel et al. 2019, section 4.2; `compress.quantization.correct`).
New weights round otherwise. So the means are found again from the old weights, of which D and c are known: they are
the most likely m that gives c, where the stored bias is exact to its step and inputs are of the size that their scale
allows (linear regression with a normal prior). The new correction is c + (D - D')·m, which is c where nothing changed.
A weight that did not change keeps its integers, however they were chosen; another is rounded to the nearest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_runtime.engines.onnx import HEADROOM
from edge_runtime.tensors import Array

_SMALLEST = float(np.finfo(np.float32).tiny) * 256  # scale of a channel that is all zeros
_TYPICAL = 64  # of the 256 steps that an input may have, its mean lies within so many


def write_weight(
    graph: bytearray,
    name: str,
    place: Mapping[str, Any],
    parameters: Mapping[str, Array],
    before: Mapping[str, Array],
) -> None:
    """Write a weight into a serialised quantised graph, and the biases that go with it.

    Args:
        graph: the graph.
        name: the weight's.
        place: its entry in weights.json.
        parameters: the float parameters to write.
        before: those of which the graph was made.
    """
    weight, old_weight = parameters[name], before[name]
    if np.array_equal(weight, old_weight):
        scale, integers = _taken(graph, place, weight)
    else:
        withdraw_headroom(graph)
        scale, integers = symmetric(weight, place["axis"], place["limit"])
    changes = [
        _wide(place, s, weight) * k - w
        for (s, k), w in ((_taken(graph, place, weight), old_weight), ((scale, integers), weight))
    ]
    put(graph, place["integers"], integers)
    put(graph, place["scale"], scale)
    for bias in place["biases"]:
        count = bias["scale"]["length"] // scale.itemsize
        step = np.broadcast_to(np.float32(bias["input_scale"]) * scale, count)
        old, new = (
            np.zeros(count) if bias["of"] is None else known[bias["of"]].reshape(-1).astype(np.float64)
            for known in (before, parameters)
        )
        stored = np.array(read(graph, bias["scale"], "<f4"), np.float64)
        added = read(graph, bias["integers"], "<i4") * stored - old
        if (np.abs(added) > 0.51 * stored).any():  # more than rounding explains
            was, becomes = (_by_channel(change, place["axis"], count) for change in changes)
            new = new + _carried(added, was, becomes, stored, bias)
        most = np.iinfo(np.int32).max
        put(graph, bias["integers"], np.clip(np.rint(new / step), -most, most).astype(np.int32))
        put(graph, bias["scale"], step)


def withdraw_headroom(graph: bytearray) -> None:
    """Take back a graph's promise that pairs of its weights fit 16 bits: new weights were not bounded so.

    Where it matters, sessions then take the slower kernels, which are exact for any weights.
    """
    where = graph.rfind(HEADROOM.encode())
    if where >= 0:
        graph[where : where + len(HEADROOM)] = HEADROOM.upper().encode()


def _carried(
    added: Array, old: Array | None, new: Array | None, step: Array, bias: Mapping[str, Any]
) -> Array:
    """The correction for the new weights; see above. `old` and `new`: D and D', float[outputs, inputs of a group]."""
    group = int(bias.get("group", 0))
    if old is None or new is None or not group:
        return added
    old, new = (change.reshape(group, -1, change.shape[1]) for change in (old, new))
    prior = (_TYPICAL * bias["input_scale"]) ** 2
    sure = (np.sqrt(12) / step).reshape(group, -1, 1)  # of each equation, one over its deviation
    known = old * sure
    turned = known.transpose(0, 2, 1)
    system = prior * known @ turned + np.eye(known.shape[1])
    mean = -prior * turned @ np.linalg.solve(system, added.reshape(group, -1, 1) * sure)
    return np.asarray(added + ((old - new) @ mean).reshape(-1))


def _by_channel(change: Array, axis: int | None, count: int) -> Array | None:
    """A change of the weights by output and input, taps added up; None if the outputs' axis is not known."""
    if axis is None and change.ndim == 2 and change.shape[0] == change.shape[1]:
        return None
    first = change.shape[0] == count if axis is None else axis % change.ndim == 0
    turned = change if first else change.swapaxes(0, 1)
    return np.asarray(turned.reshape(*turned.shape[:2], -1).sum(axis=2, dtype=np.float64))


def _taken(graph: bytearray, place: Mapping[str, Any], like: Array) -> tuple[Array, Array]:
    """The scale and the integers of the weight that the graph holds."""
    integers = read(graph, place["integers"], "i1").reshape(like.shape)
    return read(graph, place["scale"], "<f4"), integers


def _wide(place: Mapping[str, Any], scale: Array, weight: Array) -> Array:
    """Scales in the weight's rank."""
    if place["axis"] is None:
        return scale.reshape(())
    shape = [1] * weight.ndim
    shape[place["axis"]] = -1
    return scale.reshape(shape)


def read(graph: bytearray, place: Mapping[str, int], dtype: str) -> Array:
    """The numbers at a place of the graph."""
    count = place["length"] // np.dtype(dtype).itemsize
    return np.frombuffer(graph, dtype, count, place["offset"]).copy()


def put(graph: bytearray, place: Mapping[str, int], content: Array) -> None:
    """Write numbers to a place of the graph.

    Raises:
        ValueError: they are more or fewer bytes.
    """
    little = content.astype(content.dtype.newbyteorder("<"), copy=False)
    if place["length"] != little.nbytes:
        raise ValueError(f"{little.nbytes} bytes for a place of {place['length']}")
    graph[place["offset"] : place["offset"] + place["length"]] = little.tobytes()


def symmetric(weight: Array, axis: int | None, limit: int) -> tuple[Array, Array]:
    """Symmetric integers for a weight: ``weight ≈ scale * integers``.

    Args:
        weight: float32, any shape.
        axis: one scale for each index of this axis; None for one scale.
        limit: the largest integer, 127 for 8 bits.

    Returns:
        scale float32[channels] or float32[], and int8 of the weight's shape.
    """
    others = None if axis is None else tuple(k for k in range(weight.ndim) if k != axis % weight.ndim)
    peak = np.abs(weight).max(axis=others, keepdims=axis is not None)
    scale = np.maximum(peak / np.float32(limit), _SMALLEST).astype(np.float32)
    integers = np.clip(np.rint(weight / scale), -limit, limit).astype(np.int8)
    return scale.reshape(-1) if axis is not None else scale.reshape(()), integers
