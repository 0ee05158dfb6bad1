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

import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime import sealing, sharing
from edge_runtime.errors import BundleError
from edge_runtime.files import atomic, existing
from edge_runtime.storage import SUFFIX, restore
from edge_runtime.tensors import TensorSpec

if TYPE_CHECKING:
    from edge_runtime.declared import Input, Postprocess
    from edge_runtime.declared import Preprocess as Preprocess

SCHEMA = 1
_MANIFEST = "manifest.json"
_PACKED = 100  # times that a file of a compressed zip may grow; ours are stored
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says about itself. `files` maps each file's name to its SHA-256 and length in bytes.

    `postprocess` says how the outputs become an answer in words; None: by class, where there are labels. `engine` runs
    it best, as measured; "": the first of the target's order.
    """

    name: str
    target: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: "Input | None" = None
    labels: tuple[str, ...] = ()
    recipe: tuple[Mapping[str, Any], ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    postprocess: "Postprocess | None" = None
    engine: str = ""

    def to_json(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "target": self.target,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "preprocess": None if self.preprocess is None else self.preprocess.to_json(),
            **({} if self.postprocess is None else {"postprocess": self.postprocess.to_json()}),
            "labels": list(self.labels),
            "recipe": [dict(step) for step in self.recipe],
            "metrics": dict(self.metrics),
            **({"engine": self.engine} if self.engine else {}),
            "files": {name: dict(entry) for name, entry in sorted(self.files.items())},
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Manifest":
        """Read the content of manifest.json.

        Raises:
            BundleError: it is of another schema, something is missing, or what it declares of pictures, sounds or
                answers is wrong.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            got = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise BundleError(f"{where}: {_MANIFEST} has schema {got!r}; this version reads schema {SCHEMA}")
        try:
            pre, post = _ends(value, where)
            return cls(
                name=str(value["name"]),
                target=str(value["target"]),
                inputs=tuple(TensorSpec.from_json(v, where) for v in value["inputs"]),
                outputs=tuple(TensorSpec.from_json(v, where) for v in value["outputs"]),
                preprocess=pre,
                labels=tuple(value["labels"]),
                recipe=tuple(value["recipe"]),
                metrics=dict(value["metrics"]),
                files={
                    _inside(name, where): {"sha256": v["sha256"], "bytes": int(v["bytes"])}
                    for name, v in value["files"].items()
                },
                postprocess=post,
                engine=str(value.get("engine", "")),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"{where}: {_MANIFEST} is not complete: {error!r}") from error


def _inside(name: str, where: str) -> str:
    """A file's name, if it lies within the bundle: a manifest may come from anybody."""
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise BundleError(
            f"{where}: {_MANIFEST} names the file {name[:80]!r}, which would lie outside the bundle"
        )
    return name


def _ends(value: Mapping[str, Any], where: str) -> "tuple[Input | None, Postprocess | None]":
    """What a manifest declares of the model's two ends; what reads it is imported only where there is something."""
    if value["preprocess"] is None and value.get("postprocess") is None:
        return None, None
    from edge_runtime.declared import from_manifest

    return from_manifest(value, where)


def __getattr__(name: str) -> Any:
    """`Preprocess`, which is looked for here; it is imported only then."""
    if name != "Preprocess":
        raise AttributeError(f"module 'edge_runtime.bundle' has no attribute '{name}'")
    from edge_runtime.declared import Preprocess

    return Preprocess


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
    def open(cls, path: str | os.PathLike[str], key: bytes | None = None, whole: bool = True) -> "Bundle":
        """Open a folder or a zip, and check every file against the manifest.

        Args:
            path: the folder or file.
            key: of 32 bytes, for encrypted files; None takes that which the environment names (`sealing.read_key`).
            whole: False reads and checks a file when it is asked for, each time, and keeps none in memory.

        Raises:
            InputError: there is nothing at `path`, or the key's file holds no key.
            BundleError: it is not a bundle, is cut short, or a file is not the one that the manifest names.
        """
        where = existing(path, "a bundle (a folder or a .bundle file)")
        try:
            text = _content(where, _MANIFEST)
        except KeyError as error:
            raise BundleError(f"{where}: not a bundle, or cut short: {_MANIFEST} is missing") from error
        try:
            manifest = Manifest.from_json(json.loads(text), str(where))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise BundleError(f"{where}: {_MANIFEST} is not JSON: {error}") from error
        files: Mapping[str, bytes] = _Files(where, manifest)
        if whole:
            files = dict(files)
        return cls(where, manifest, files, key or sealing.read_key())

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

    def rewritten(
        self, path: str | os.PathLike[str], manifest: Manifest, added: Mapping[str, bytes] | None = None
    ) -> "Bundle":
        """Write the same files, encrypted ones as they are, and `added` ones, with a manifest of the same name.

        Raises:
            InputError: `path` cannot be written.
        """
        files = self._files if added is None else {**self._files, **added}
        packed = pack(path, manifest, files)
        return Bundle(packed.path, packed.manifest, files, self._key)

    @property
    def size(self) -> int:
        """Length of all files together, in bytes."""
        if isinstance(self._files, _Files):
            return sum(int(entry["bytes"]) for entry in self.manifest.files.values())
        return sum(len(content) for content in self._files.values())  # one at a time


def pack(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle atomically: a zip if `path` has a suffix, else a folder. `manifest.files` is filled in here.

    Each of `files` is taken twice, for its SHA-256 and to be written, and one at a time.

    Raises:
        InputError: `path` cannot be written.
    """
    import hashlib  # brings OpenSSL, which a start without a look into any file can do without

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
    import zipfile  # only where there is one: it takes a fifth of this module's time to import

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in (_MANIFEST, *sorted(files)):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, manifest if name == _MANIFEST else files[name])


def _content(where: Path, name: str) -> bytes:
    """One file of a folder or a zip; `KeyError` if it is not there."""
    if where.is_dir():
        path = where / name
        if not path.is_file():
            raise KeyError(name)
        return path.read_bytes()
    import zipfile

    try:
        with zipfile.ZipFile(where) as archive:
            entry = archive.getinfo(name)
            if entry.compress_type == zipfile.ZIP_STORED:
                return _span(where, entry.header_offset, entry.file_size)
            if entry.file_size > _PACKED * max(entry.compress_size, 1 << 10):
                raise BundleError(
                    f"{where}: {name} would unpack to {entry.file_size} bytes; this is no bundle of ours"
                )
            return archive.read(name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise BundleError(
            f"{where}: not a bundle, or cut short ({error}); fetch or build it again"
        ) from error


def _span(where: Path, header: int, length: int) -> bytes:
    """What a zip holds at a local header, without its own check sum: the manifest's is a better one."""
    with where.open("rb") as file:
        file.seek(header)
        file.seek(sum(sharing.LOCAL.unpack(file.read(sharing.LOCAL.size))), os.SEEK_CUR)
        return file.read(length)


class _Files(Mapping[str, bytes]):
    """A bundle's files, each read and checked when it is asked for."""

    def __init__(self, where: Path, manifest: Manifest) -> None:
        self._where, self._manifest = where, manifest

    def __getitem__(self, name: str) -> bytes:
        import hashlib

        entry = self._manifest.files[name]
        try:
            content = _content(existing(self._where, "the bundle that was opened"), name)
        except KeyError as error:
            raise BundleError(f"{self._where}: {name} is missing, though the manifest lists it") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry["sha256"]:
            raise BundleError(
                f"{self._where}: {name} has SHA-256 {digest[:16]}…, the manifest says "
                f"{str(entry['sha256'])[:16]}…; the file was altered: fetch or build the bundle again"
            )
        return content

    def __contains__(self, name: object) -> bool:
        return name in self._manifest.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifest.files)

    def __len__(self) -> int:
        return len(self._manifest.files)
