"""Files that appear whole or not at all: atomic writes, digests, and the cache folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path  # takes a fortieth of the start of a model, which needs none of this


@contextmanager
def atomic(path: str | os.PathLike[str]) -> "Iterator[Path]":
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if not.

    The temporary path does not exist yet, so the block may create a file or a folder. A folder that stands at
    `path` is replaced as a whole.

    Raises:
        InputError: the folder of `path` does not exist or may not be written.
    """
    import shutil  # neither is needed to run a model
    import tempfile
    from pathlib import Path

    final = Path(path)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    except OSError as error:
        raise InputError(
            f"{final}: cannot be written here ({error.strerror}); give another output path"
        ) from error
    partial = scratch / final.name
    try:
        yield partial
        if final.is_dir() and not final.is_symlink():
            final.replace(scratch / "replaced")  # rename(2) does not replace a folder that is not empty
        partial.replace(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> "Path":
    """Write `text` to `path` atomically as UTF-8, and return the path."""
    from pathlib import Path

    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def existing(path: str | os.PathLike[str], what: str) -> "Path":
    """Return `path` if it exists.

    Raises:
        InputError: it does not; the sentence names `what` was looked for.
    """
    from pathlib import Path

    found = Path(path)
    if not found.exists():
        raise InputError(f"{found}: no such file; expected {what}")
    return found


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file, in hexadecimal."""
    import hashlib  # brings the whole of OpenSSL

    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_dir() -> "Path":
    """The folder for what can be made again: `$LITTORAL_CACHE`, else `littoral` in the user's cache folder."""
    from pathlib import Path

    chosen = os.environ.get("LITTORAL_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "littoral"
