"""Bundles whose files are read, or made, when they are asked for: memory holds one of them at a time.

Training needs the memory: the graph that is run and the weights are in it anyway, and what a bundle holds
beside them is as large again.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from edge_runtime import sealing, sharing, storage
from edge_runtime.bundle import Bundle, Manifest, pack
from edge_runtime.errors import BundleError


class Lazy(Mapping[str, bytes]):
    """The content of files by name: each is made anew, by a function of its own, whenever it is read."""

    def __init__(self, makers: Mapping[str, Callable[[], bytes]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, name: str) -> bytes:
        return self._makers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def plain(name: str) -> str:
    """The name under which `Bundle.read` gives a stored file, whatever form it is stored in."""
    for ending in (sealing.SUFFIX, storage.SUFFIX, sharing.SUFFIX):
        name = name.removesuffix(ending)
    return name


def open_stored(path: str | os.PathLike[str]) -> Bundle:
    """Open a folder or a zip, check every file, and let go of them; each is read and checked again when needed.

    `Bundle.read` raises BundleError where a file was altered after that.

    Raises:
        InputError: there is nothing at `path`.
        BundleError: it is not a bundle, is cut short, or a file is not the one that the manifest names.
    """
    whole = Bundle.open(path)
    return stored(whole.path, whole.manifest)


def write(bundle: Bundle, path: str | os.PathLike[str]) -> Bundle:
    """Write a bundle file by file, and return the one that lies there.

    Raises:
        InputError: `path` cannot be written.
        BundleError: a file of the bundle cannot be read or made.
    """
    files = Lazy({name: partial(bundle.read, name) for name in bundle.manifest.files})
    packed = pack(path, bundle.manifest, files)
    return stored(packed.path, packed.manifest)


def stored(path: Path, manifest: Manifest) -> Bundle:
    """The bundle that was written to `path` with this manifest."""
    files = Lazy({name: partial(_read, path, name, manifest) for name in manifest.files})
    return Bundle(path, manifest, files, sealing.read_key())


def _read(path: Path, name: str, manifest: Manifest) -> bytes:
    try:
        content = _content(path, name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path}: {name} cannot be read any more ({error})") from error
    if hashlib.sha256(content).hexdigest() != manifest.files[name]["sha256"]:
        raise BundleError(f"{path}: {name} was altered since the bundle was opened; open it again")
    return content


def _content(path: Path, name: str) -> bytes:
    if path.is_dir():
        return Path(path, name).read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)
