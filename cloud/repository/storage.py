"""Where a repository's files are: a folder, or any store that fsspec reaches by URL (s3://, gs://, memory://).

Files are small metadata, and blobs that are named by the SHA-256 of what they hold. Each appears whole or not at all.
"""

import re
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError, TransferError
from edge_runtime.files import atomic

TIMESTAMP = "metadata/timestamp.json"
_METADATA = re.compile(r"metadata/[A-Za-z0-9][A-Za-z0-9._-]*\.json")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")


def blob(digest: str) -> str:
    """Where the blob with this SHA-256 is.

    >>> blob("ab" * 32)[:20]
    'blobs/sha256/ab/abab'
    """
    return f"blobs/sha256/{digest[:2]}/{digest}"


def is_public(path: str) -> bool:
    """Whether a path is one that a repository serves: a metadata file or a blob, and nothing beside.

    >>> is_public("metadata/timestamp.json"), is_public("metadata/../keys/root.pem")
    (True, False)
    """
    return bool(_METADATA.fullmatch(path) or _BLOB.fullmatch(path))


class Storage:
    """A store of files by path.

    Args:
        url: a folder, or a URL that fsspec knows; for those beyond file:// and memory:// its package is needed.
        options: what fsspec's file system is made with, such as an endpoint.

    Raises:
        InputError: no such store, or its package is missing.
    """

    def __init__(self, url: str, **options: Any) -> None:
        import fsspec  # only here

        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url, **options)
        except (ValueError, ImportError) as error:
            raise InputError(f"{url}: no store that can be reached: {error}") from error
        self._root = root.rstrip("/")
        protocols = (
            self._files.protocol if isinstance(self._files.protocol, tuple) else (self._files.protocol,)
        )
        self._local = "file" in protocols

    def read(self, path: str, start: int | None = None, stop: int | None = None) -> bytes:
        """A file's bytes, or those from `start` to before `stop`.

        Raises:
            TransferError: it is not there, or the store cannot be reached.
        """
        try:
            content: bytes = self._files.cat_file(self._at(path), start=start, end=stop)
        except FileNotFoundError as error:
            raise TransferError(f"{self.url}: has no {path}") from error
        except OSError as error:
            raise TransferError(f"{self.url}: {path} cannot be read: {error}") from error
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            TransferError: the store cannot be written.
        """
        try:
            if self._local:
                with atomic(Path(self._at(path))) as partial:
                    partial.write_bytes(content)
            else:
                self._files.makedirs(self._at(path).rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(self._at(path), content)
        except (OSError, InputError) as error:
            raise TransferError(f"{self.url}: {path} cannot be written: {error}") from error

    def size(self, path: str) -> int | None:
        """A file's length in bytes; None if it is not there."""
        try:
            if not self._local:
                self._files.invalidate_cache()  # another may have written it since
            return int(self._files.info(self._at(path))["size"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TransferError(f"{self.url}: {path} cannot be looked up: {error}") from error

    def under(self, folder: str) -> list[str]:
        """The paths of all files below a folder, sorted."""
        try:
            self._files.invalidate_cache()
            found = self._files.find(self._at(folder))
        except FileNotFoundError:
            return []
        prefix = self._at("")
        return sorted(str(each).removeprefix(prefix) for each in found)

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no mistake."""
        try:
            self._files.rm_file(self._at(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise TransferError(f"{self.url}: {path} cannot be deleted: {error}") from error

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"
