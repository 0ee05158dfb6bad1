"""Bundles, the unit of deployment: a folder, or that folder in one uncompressed zip, with a manifest.

Layout (schema 1)::

    manifest.json    what it is: signature, pre-processing, labels, target, recipe, metrics, SHA-256 of each file
    infer.onnx       the inference graph
    train.onnx       the training step, when the model can learn on the device
    params.npz       the initial weights of the training step
    NAME.coded       any of these, coded without loss by `edge_runtime.storage`
    NAME.shared      any but infer.onnx, without what that one holds too: `edge_runtime.sharing`

The same content gives the same bytes: entries are sorted, stored without compression and carry a fixed date, so a
bundle can be memory-mapped, compared and signed. What changes from run to run (a latency) is not in the manifest.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime import sealing, sharing
from edge_runtime.errors import BundleError
from edge_runtime.files import atomic, existing
from edge_runtime.storage import SUFFIX, restore
from edge_runtime.tensors import TensorSpec

SCHEMA = 1
_MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From a picture (RGB, 0 to 255) to the model's input: ``(crop(resize(picture)) - mean) / std``, NCHW float32.

    `resize` is the length of the shorter side in pixels, `crop` the side of the central square; `mean` and `std`
    have one value, or one a channel.
    """

    resize: int
    crop: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself. `files` maps each file's name to its SHA-256 and length in bytes."""

    name: str
    target: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] = ()
    recipe: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of manifest.json."""
        pre = self.preprocess
        return {
            "schema": SCHEMA,
            "name": self.name,
            "target": self.target,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "preprocess": None
            if pre is None
            else {"resize": pre.resize, "crop": pre.crop, "mean": list(pre.mean), "std": list(pre.std)},
            "labels": list(self.labels),
            "recipe": [dict(step) for step in self.recipe],
            "metrics": dict(self.metrics),
            "files": {name: dict(entry) for name, entry in sorted(self.files.items())},
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Manifest":
        """Read the content of manifest.json.

        Raises:
            BundleError: it is of another schema, or something is missing.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            got = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise BundleError(f"{where}: {_MANIFEST} has schema {got!r}; this version reads schema {SCHEMA}")
        try:
            pre = value["preprocess"]
            return cls(
                name=str(value["name"]),
                target=str(value["target"]),
                inputs=tuple(TensorSpec.from_json(v, where) for v in value["inputs"]),
                outputs=tuple(TensorSpec.from_json(v, where) for v in value["outputs"]),
                preprocess=None
                if pre is None
                else Preprocess(int(pre["resize"]), int(pre["crop"]), tuple(pre["mean"]), tuple(pre["std"])),
                labels=tuple(value["labels"]),
                recipe=tuple(value["recipe"]),
                metrics=dict(value["metrics"]),
                files={
                    name: {"sha256": v["sha256"], "bytes": int(v["bytes"])}
                    for name, v in value["files"].items()
                },
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"{where}: {_MANIFEST} is not complete: {error!r}") from error


class Bundle:
    """An opened bundle: `manifest`, and `read` for the verified content of its files.

    `files` need not be in memory: any mapping that reads or makes them when they are asked for will do.
    """

    def __init__(
        self, path: Path, manifest: Manifest, files: Mapping[str, bytes], key: bytes | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._files = files
        self._key = key

    @classmethod
    def open(cls, path: str | os.PathLike[str], key: bytes | None = None) -> "Bundle":
        """Open a folder or a zip, and check every file against the manifest.

        Args:
            path: the folder or file.
            key: of 32 bytes, for encrypted files; None takes that which the environment names (`sealing.read_key`).

        Raises:
            InputError: there is nothing at `path`, or the key's file holds no key.
            BundleError: it is not a bundle, is cut short, or a file is not the one that the manifest names.
        """
        where = existing(path, "a bundle (a folder or a .bundle file)")
        found = _read_folder(where) if where.is_dir() else _read_zip(where)
        if _MANIFEST not in found:
            raise BundleError(f"{where}: not a bundle, or cut short: {_MANIFEST} is missing")
        try:
            manifest = Manifest.from_json(json.loads(found.pop(_MANIFEST)), str(where))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise BundleError(f"{where}: {_MANIFEST} is not JSON: {error}") from error
        for name, entry in manifest.files.items():
            _verify(found, name, entry, where)
        return cls(where, manifest, {name: found[name] for name in manifest.files}, key or sealing.read_key())

    def read(self, name: str) -> bytes:
        """The content of one file of the bundle; one that is stored encrypted or coded is decoded, in memory.

        Raises:
            BundleError: the bundle has no such file, or it cannot be decrypted.
            InputError: it is encrypted and there is no key.
            TransferError: the coded content is damaged.
        """
        for stored in (name, name + SUFFIX):
            content = self._stored(stored)
            if content is not None:
                return content if stored == name else restore(content)
        shared = self._stored(name + sharing.SUFFIX)
        if shared is not None:
            return sharing.restore(shared, self.read)
        raise BundleError(f"{self.path}: has no {name}; it holds {', '.join(sorted(self._files))}")

    def _stored(self, name: str) -> bytes | None:
        """A file as it was before it was encrypted; None if there is none."""
        sealed = self._files.get(name + sealing.SUFFIX)
        if sealed is not None:
            return sealing.unseal(sealed, self.manifest.name, name, self._key)
        return self._files.get(name)

    def __contains__(self, name: str) -> bool:
        forms = ("", SUFFIX, sharing.SUFFIX)
        return any(name + form + seal in self._files for form in forms for seal in ("", sealing.SUFFIX))

    def sealed(self, path: str | os.PathLike[str], key: bytes) -> "Bundle":
        """Write the bundle with every file encrypted (the manifest stays readable), and return it.

        Raises:
            InputError: `path` cannot be written.
            BackendError: the cryptography package is missing.
        """
        name = self.manifest.name
        plain = {each: self._stored(each.removesuffix(sealing.SUFFIX)) for each in self._files}
        files = {
            each.removesuffix(sealing.SUFFIX) + sealing.SUFFIX: sealing.seal(
                content, name, each.removesuffix(sealing.SUFFIX), key
            )
            for each, content in plain.items()
            if content is not None
        }
        packed = pack(path, self.manifest, files)
        return Bundle(packed.path, packed.manifest, files, key)

    @property
    def size(self) -> int:
        """Length of all files together, in bytes."""
        return sum(len(content) for content in self._files.values())  # one at a time


def pack(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle atomically: a zip if `path` has a suffix, else a folder. `manifest.files` is filled in here.

    Each of `files` is taken twice, for its SHA-256 and to be written, and one at a time.

    Raises:
        InputError: `path` cannot be written.
    """
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    table = manifest.to_json() | {"files": dict(sorted(entries.items()))}
    text = json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    final = Path(path)
    with atomic(final) as partial:
        if final.suffix:
            _write_zip(partial, text, files)
        else:
            partial.mkdir()
            (partial / _MANIFEST).write_bytes(text.encode())
            for name in files:
                (partial / name).write_bytes(files[name])
    return Bundle(final, Manifest.from_json(table, str(final)), files)


def _write_zip(path: Path, manifest: str, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in (_MANIFEST, *sorted(files)):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, manifest if name == _MANIFEST else files[name])


def _read_folder(where: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(where.iterdir()) if entry.is_file()}


def _read_zip(where: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(where) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"{where}: not a bundle, or cut short ({error}); fetch or build it again"
        ) from error


def _verify(found: Mapping[str, bytes], name: str, entry: Mapping[str, Any], where: Path) -> None:
    if name not in found:
        raise BundleError(f"{where}: {name} is missing, though the manifest lists it")
    digest = hashlib.sha256(found[name]).hexdigest()
    if digest != entry["sha256"]:
        raise BundleError(
            f"{where}: {name} has SHA-256 {digest[:16]}…, the manifest says {str(entry['sha256'])[:16]}…; "
            "the file was altered: fetch or build the bundle again"
        )
