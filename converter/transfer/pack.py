"""Bundles that learn in stages: the head on features that the backbone gave once, and perhaps the whole network.

Layout, beside what every bundle has::

    stages.json            what can be trained: {"head": {"suffix": "", "backbone": "backbone.onnx"},
                                                 "all": {"suffix": "-all", "backbone": null}}
    backbone.onnx          A, from the data to the features
    train.onnx             the training step of B on features (eval.onnx, params.npz: likewise)
    train-all.onnx         the training step of the whole network on data, where the bundle has one
    infer.onnx             A and B joined; weights.json says where in it the weights lie
    weights-backbone.json  where in backbone.onnx the weights lie that stage "all" changes

With stage "all" the weights are stored once, in infer.onnx: the backbone and the initial parameters leave them out
(`edge_runtime.sharing`).
Without stage "all" nothing in A ever changes, so it is optimised: batch normalisation is folded away.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from converter import verify
from converter.model import to_bytes
from converter.optimize import optimize
from converter.trainable import pack_trainable, tensor_data
from converter.transfer.layers import last_layers
from converter.transfer.split import join, split
from edge_runtime.bundle import Bundle, Preprocess, pack
from edge_runtime.declared import Postprocess
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.sharing import SUFFIX, npz_places, share

_OWN = frozenset(("infer.onnx", "weights.json"))
_TOLERANCE = 1e-4


def pack_split(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    name: str,
    at: str | None = None,
    trainable: Collection[str] | None = None,
    whole: bool = False,
    target: str = "rpi4",
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] = (),
    postprocess: Postprocess | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle whose head learns on features that the frozen backbone gives once.

    For further options of training, give two bundles of `pack_trainable` to `pack_stages`.

    Args:
        model: as for `converter.differentiate`; `replace_head` first where the classes change.
        path: where to; with a suffix a zip, else a folder.
        name: what the model is called.
        at: the value to cut at; None chooses (see `split`).
        trainable: the weights that train in the head; None means the output layer's.
        whole: give the bundle a second stage, "all", which trains the whole network on data.
        target: the device profile that it is meant for.
        loss: as for `differentiate`.
        optimizer: as for `differentiate`.
        momentum: of sgd.
        weight_decay: added to each gradient, times the weight.
        preprocess: how pictures become the input.
        postprocess: what the outputs mean.
        labels: the classes' names.
        metrics: what was measured of the model.

    Raises:
        ModelError: the model cannot be cut or differentiated, or the parts joined differ from the model.
        InputError: `path` cannot be written.
    """
    chosen = last_layers(model) if trainable is None else list(trainable)
    backbone, head = split(model, at, chosen)
    options: dict[str, Any] = {"name": name, "target": target, "loss": loss, "optimizer": optimizer}
    options |= {"momentum": momentum, "weight_decay": weight_decay, "metrics": metrics}
    options |= {"preprocess": preprocess, "labels": labels, "postprocess": postprocess}
    with tempfile.TemporaryDirectory() as folder:
        parts = [pack_trainable(head, Path(folder) / "head", trainable=chosen, **options)]
        if whole:
            parts.append(pack_trainable(model, Path(folder) / "all", **options))
        made = pack_stages(Path(folder) / "made", backbone, *parts)
    _require_equal(model, made, head.graph.input[0].name)
    return pack(path, made.manifest, {name: made.read(name) for name in made.manifest.files})


def _require_equal(model: onnx.ModelProto, made: Bundle, cut: str) -> None:
    reference, inputs = verify.runner(model)
    difference = verify.compare(reference, verify.runner(made.read("infer.onnx"))[0], inputs)
    if not difference.within(_TOLERANCE):
        raise ModelError(
            f"cut at '{cut}' and joined, the model gives other outputs, by "
            f"{difference.max_abs:.3g}; {_TOLERANCE:g} is accepted"
        )


def pack_stages(
    path: str | os.PathLike[str], backbone: onnx.ModelProto, head: Bundle, whole: Bundle | None = None
) -> Bundle:
    """Write one bundle from the parts of a split.

    Args:
        path: where to; with a suffix a zip, else a folder.
        backbone: A, as `split` gave it; without `whole` it may also be in 8-bit QDQ form, as `compress.quantize`
            makes it of the optimised A: the head then learns on the features that the device will really see.
        head: B packed by `pack_trainable`.
        whole: the model before the split packed by `pack_trainable`; it becomes stage "all".

    Raises:
        ModelError: the parts are not of one split, or a quantised backbone is to be trained.
        InputError: `path` cannot be written.
    """
    if whole is not None and _quantised(backbone):
        raise ModelError("the backbone is quantised and stage 'all' would train it; give it as floats")
    files = {name: head.read(name) for name in head.manifest.files if name not in _OWN}
    stages: dict[str, Any] = {"head": {"suffix": "", "backbone": "backbone.onnx"}}
    if whole is None:
        front = backbone if _quantised(backbone) else optimize(backbone)
        infer = to_bytes(join(front, onnx.load_model_from_string(head.read("infer.onnx"))))
        files["weights.json"] = _places(infer, json.loads(head.read("weights.json")))
    else:
        front, infer = backbone, whole.read("infer.onnx")
        for name in whole.manifest.files:
            if name not in _OWN:
                files[_with_suffix(name, "-all")] = whole.read(name)
        files["weights.json"] = whole.read("weights.json")
        stages["all"] = {"suffix": "-all", "backbone": None}
        held = {tensor.name for tensor in front.graph.initializer}
        changed = [name for name in json.loads(whole.read("weights.json")) if name in held]
        files["weights-backbone.json"] = _places(to_bytes(front), changed)
    files |= {"backbone.onnx": to_bytes(front), "infer.onnx": infer, "stages.json": _json(stages)}
    if whole is not None:
        _share(files)
    session = Session(infer)
    at = {"name": "split", "at": backbone.graph.output[0].name}
    manifest = dataclasses.replace(
        head.manifest, inputs=session.inputs, outputs=session.outputs, recipe=(*head.manifest.recipe, at)
    )
    return pack(path, manifest, files)


def _share(files: dict[str, bytes]) -> None:
    """Store the weights once: what infer.onnx holds is left out of the backbone and of the initial parameters."""
    others = json.loads(files["weights.json"])
    for name in ("backbone.onnx", "params.npz", "params-all.npz"):
        content = files.pop(name)
        places = npz_places(content) if name.endswith(".npz") else json.loads(files["weights-backbone.json"])
        files[name + SUFFIX] = share(content, places, files["infer.onnx"], others)


def _quantised(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def _places(model: bytes, names: Collection[str]) -> bytes:
    places = tensor_data(model)
    missing = [name for name in names if name not in places]
    if missing:
        raise ModelError(
            f"'{missing[0]}': trains, but the model has no such weight; are the parts of one split?"
        )
    return _json({name: dict(zip(("offset", "length"), places[name], strict=True)) for name in names})


def _with_suffix(name: str, suffix: str) -> str:
    stem, dot, kind = name.rpartition(".")
    return f"{stem}{suffix}{dot}{kind}"


def _json(table: Mapping[str, Any]) -> bytes:
    return (json.dumps(table, indent=1) + "\n").encode()
