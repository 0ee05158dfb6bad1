"""Writing trained weights into an inference graph, without the onnx package.

The bundle's `weights.json` says where in `infer.onnx` the bytes of each parameter lie::

    {"fc.weight": {"offset": 1200, "length": 640},
     "conv.weight": {"integers": PLACE, "scale": PLACE, "limit": 127, "axis": 0,
                     "biases": [{"integers": PLACE, "scale": PLACE, "input_scale": 0.02, "of": "conv.bias"}]},
     "conv.bias": {"with": ["conv.weight"]}}

A float parameter is written as it is. A weight of a quantised graph becomes symmetric integers, one scale a
channel: s = max|w|/limit and q = round(w/s). A bias becomes int32 in steps of input scale times weight scale
(Jacob et al. 2018), so it is written with its weight. What a compressor had added to biases to make up for the
rounding of the old weights is dropped ("of" is null where there was no bias but that). The scales of
activations stay as they were calibrated.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle, pack
from edge_runtime.errors import BundleError
from edge_runtime.storage import SUFFIX
from edge_runtime.tensors import Array
from edge_runtime.training.arrays import write_parameters

_SMALLEST = float(np.finfo(np.float32).tiny) * 256  # scale of a channel that is all zeros


def export(bundle: Bundle, parameters: Mapping[str, Array], path: str | os.PathLike[str]) -> Bundle:
    """Write the bundle with other parameters.

    Raises:
        InputError: `path` cannot be written.
        BundleError: the bundle is not complete, or its weights.json does not fit.
    """
    names = [name.removesuffix(SUFFIX) for name in bundle.manifest.files]  # what came coded leaves plain
    files = {name: bundle.read(name) for name in names}
    graph, places = bytearray(files["infer.onnx"]), json.loads(bundle.read("weights.json"))
    for name, array in parameters.items():
        try:
            for place, content in _contents(name, array, places, parameters):
                _put(graph, place, content)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BundleError(
                f"{bundle.path}: weights.json does not fit parameter '{name}' ({error}); convert it again"
            ) from error
    files["infer.onnx"] = bytes(graph)
    files["params.npz"] = write_parameters(parameters)
    return pack(path, dataclasses.replace(bundle.manifest, metrics={}), files)


def _contents(
    name: str, array: Array, places: Mapping[str, Any], parameters: Mapping[str, Array]
) -> list[tuple[Mapping[str, int], Array]]:
    """Each place of a parameter in the graph, and what belongs there."""
    place = places[name]
    if "with" in place:
        return []
    if "integers" not in place:
        return [(place, array)]
    scale, integers = symmetric(array, place["axis"], place["limit"])
    found = [(place["integers"], integers), (place["scale"], scale)]
    for bias in place["biases"]:
        count = bias["scale"]["length"] // scale.itemsize
        step = np.broadcast_to(np.float32(bias["input_scale"]) * scale, count)
        exact = (
            np.zeros(count) if bias["of"] is None else parameters[bias["of"]].reshape(-1).astype(np.float64)
        )
        most = np.iinfo(np.int32).max
        rounded = np.clip(np.rint(exact / step), -most, most).astype(np.int32)
        found += [(bias["integers"], rounded), (bias["scale"], step)]
    return found


def _put(graph: bytearray, place: Mapping[str, int], content: Array) -> None:
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
