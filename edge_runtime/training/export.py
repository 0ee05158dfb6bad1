"""Writing trained weights into an inference graph, without the onnx package.

The bundle's `weights.json` says where in `infer.onnx` the bytes of each parameter lie::

    {"fc.weight": {"offset": 1200, "length": 640},
     "conv.weight": {"integers": PLACE, "scale": PLACE, "limit": 127, "axis": 0,
                     "biases": [{"integers": PLACE, "scale": PLACE, "input_scale": 0.02, "of": "conv.bias",
                                 "group": 1}]},
     "conv.bias": {"with": ["conv.weight"]}}

A float parameter is written as it is. A weight of a quantised graph becomes symmetric integers, one scale a
channel: s = max|w|/limit and q = round(w/s). A bias becomes int32 in steps of input scale times weight scale
(Jacob et al. 2018), so it is written with its weight; "of" is null where the layer had no bias. What a compressor
had added to biases to make up for the rounding of the old weights is fitted to the new ones:
`edge_runtime.training.integers`. The scales of activations stay as they were calibrated.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from edge_runtime import sealing, sharing
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from edge_runtime.tensors import Array
from edge_runtime.training.arrays import read_parameters, write_parameters
from edge_runtime.training.integers import put, write_weight
from edge_runtime.training.stages import stages
from edge_runtime.training.stored import Lazy, plain, write

_OF_OLD_WEIGHTS = ("selftest.npz", "reference.json")  # what a device probes by; `edge_runtime.agent.vectors`


def export(bundle: Bundle, parameters: Mapping[str, Array], path: str | os.PathLike[str]) -> Bundle:
    """Write the bundle with other parameters, and return it; it stays on the disk.

    Raises:
        InputError: `path` cannot be written.
        BundleError: the bundle is not complete, or its weights.json does not fit.
    """
    return write(absorb(bundle, parameters), path)


def absorb(bundle: Bundle, parameters: Mapping[str, Array]) -> Bundle:
    """The bundle with other parameters in each of its graphs, which are made when they are read.

    Args:
        bundle: with a training step.
        parameters: some or all of them, by name; not to be changed any more.

    Raises:
        BundleError: the bundle is encrypted, or not complete. Reading of it raises it where weights.json does not fit.
    """
    if any(name.endswith(sealing.SUFFIX) for name in bundle.manifest.files):
        raise BundleError(
            f"{bundle.path}: is encrypted, and what was trained would be written in the clear; train the bundle that "
            "it was made of, and encrypt the result with 'littoral seal'"
        )
    names = [
        plain(name) for name in bundle.manifest.files if name not in _OF_OLD_WEIGHTS
    ]  # coded leaves plain
    files: dict[str, Callable[[], bytes]] = {name: partial(bundle.read, name) for name in names}
    files["infer.onnx"] = partial(_patched, bundle, "infer.onnx", "weights.json", parameters)
    for stage in stages(bundle).values():
        files[stage.parameters] = partial(_merged, bundle, stage.parameters, parameters)
        if stage.backbone is not None and "weights-backbone.json" in bundle:
            files[stage.backbone] = partial(
                _patched, bundle, stage.backbone, "weights-backbone.json", parameters
            )
    for name in names:
        if any(f"{name}{sharing.SUFFIX}{seal}" in bundle.manifest.files for seal in ("", sealing.SUFFIX)):
            files[name + sharing.SUFFIX] = partial(_shared, bundle, files.pop(name), files["infer.onnx"])
    entries: dict[str, dict[str, Any]] = {name: {} for name in files}
    manifest = dataclasses.replace(bundle.manifest, metrics={}, files=entries)
    return Bundle(bundle.path, manifest, Lazy(files))


def _shared(bundle: Bundle, made: Callable[[], bytes], infer: Callable[[], bytes]) -> bytes:
    """A file without what infer.onnx holds too."""
    content, others = made(), json.loads(bundle.read("weights.json"))
    places = (
        sharing.npz_places(content)
        if content.startswith(b"PK")
        else json.loads(bundle.read("weights-backbone.json"))
    )
    return sharing.share(content, places, infer(), others)


def _merged(bundle: Bundle, name: str, parameters: Mapping[str, Array]) -> bytes:
    known = read_parameters(bundle.read(name), str(bundle.path))
    return write_parameters({key: parameters.get(key, value) for key, value in known.items()})


def _patched(bundle: Bundle, name: str, table: str, parameters: Mapping[str, Array]) -> bytes:
    """A graph of the bundle with the parameters at the places that `table` names."""
    graph, places = bytearray(bundle.read(name)), json.loads(bundle.read(table))
    before = _initial(bundle) if any("integers" in place for place in places.values()) else {}
    for key, array in parameters.items():
        if key not in places and table != "weights.json":
            continue
        try:
            if "integers" in places[key]:
                write_weight(graph, key, places[key], parameters, before)
            elif "with" not in places[key]:
                put(graph, places[key], array)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BundleError(
                f"{bundle.path}: {table} does not fit parameter '{key}' ({error}); convert it again"
            ) from error
    return bytes(graph)


def _initial(bundle: Bundle) -> dict[str, Array]:
    """The float parameters that the bundle came with."""
    found: dict[str, Array] = {}
    for stage in stages(bundle).values():
        found |= read_parameters(bundle.read(stage.parameters), str(bundle.path))
    return found
