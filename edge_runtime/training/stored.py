"""A bundle that stays on the disk: each file is read, and verified, when it is asked for.

Training needs the memory: the graph that is run and the weights are in it anyway, and what a bundle holds
beside them is as large again.
"""

import hashlib
import os
import zipfile
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError
from edge_runtime.storage import SUFFIX, restore


class Stored(Bundle):
    """A bundle whose files are not in memory."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Stored":
        """Open a folder or a zip, check every file, and let go of them.

        Raises:
            InputError: there is nothing at `path`.
            BundleError: it is not a bundle, is cut short, or a file is not the one that the manifest names.
        """
        whole = Bundle.open(path)
        return cls(whole.path, whole.manifest, {})

    def read(self, name: str) -> bytes:
        """The content of one file of the bundle; one that is stored coded is decoded.

        Raises:
            TransferError: a coded file is damaged.
            BundleError: the bundle has no such file, or it was altered after it was opened.
        """
        if name not in self.manifest.files:
            coded = name + SUFFIX
            return restore(self.read(coded)) if coded in self.manifest.files else super().read(name)
        try:
            content = self._content(name)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.path}: {name} cannot be read any more ({error})") from error
        if hashlib.sha256(content).hexdigest() != self.manifest.files[name]["sha256"]:
            raise BundleError(f"{self.path}: {name} was altered since the bundle was opened; open it again")
        return content

    def _content(self, name: str) -> bytes:
        if self.path.is_dir():
            return Path(self.path, name).read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(name)

    def __contains__(self, name: str) -> bool:
        return name in self.manifest.files or name + SUFFIX in self.manifest.files

    @property
    def size(self) -> int:
        """Length of all files together, in bytes."""
        return sum(int(entry["bytes"]) for entry in self.manifest.files.values())
