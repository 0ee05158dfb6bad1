"""Writes that a power cut leaves done or undone, never half done: written beside, flushed, renamed, folder flushed.

`step` is called before each of them with a word for it; tests put in its place what ends the process there, or what
says that the disk is full.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from edge_runtime.errors import InputError

step: Callable[[str], None] = lambda _what: None  # noqa: E731


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a file there; what was there before stays if this does not come to its end.

    Raises:
        OSError: the disk is full, or may not be written; nothing has changed then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        step(f"create {path.name}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
            step(f"write {path.name}")
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.chmod(mode)  # whatever the mask is, or an older file was
        _rename(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


def alone(folder: Path, refusal: str) -> IO[str]:
    """A lock on the folder that lasts as long as the file is open, for two that work in one undo each other's work.

    Raises:
        InputError: another process has it; `refusal` is the sentence.
    """
    stream = (folder / "lock").open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise InputError(refusal) from error
    return stream


def move(source: Path, path: Path) -> None:
    """Move a file within the disk, its content flushed first."""
    step(f"flush {path.name}")
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    _rename(source, path)


def link(path: Path, to: str) -> None:
    """Make `path` a symbolic link to the name `to`, at once in the place of another."""
    beside = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    step(f"link {path.name}")
    beside.symlink_to(to)
    _rename(beside, path)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with what is in it; nothing if it is not there."""
    step(f"remove {path.name}")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _flush(path.parent)


def _rename(source: Path, path: Path) -> None:
    step(f"rename {path.name}")
    source.replace(path)
    step(f"flush folder of {path.name}")
    _flush(path.parent)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
