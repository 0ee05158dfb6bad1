"""Checkpoints: all that a training depends on, in one file that is whole or not there.

An uncompressed zip: `checkpoint.json` (schema, and how far a fit has come: epoch, step, state of the random
generator), and arrays as `parameters/NAME.npy`, `state/NAME.npy` and `best/NAME.npy`. It is written beside its
place, flushed to the disk and renamed, so that a full disk, a kill or a power cut leaves what was there before.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.console import megabytes
from edge_runtime.errors import InputError
from edge_runtime.files import atomic, existing
from edge_runtime.tensors import Array
from edge_runtime.training.arrays import add

SCHEMA = 1
_TABLE = "checkpoint.json"


def write(
    path: str | os.PathLike[str], parts: Mapping[str, Mapping[str, Array]], progress: Mapping[str, Any] | None
) -> None:
    """Write a checkpoint.

    Args:
        path: where to.
        parts: arrays by name, by part: "parameters", "state" and, of a fit, "best".
        progress: how far a fit has come, or None outside of one.

    Raises:
        InputError: it cannot be written; what stood at `path` before is intact.
    """
    final = Path(path)
    for stale in final.parent.glob(f".{final.name}.*"):  # of a process that was killed while it wrote
        shutil.rmtree(stale, ignore_errors=True)
    try:
        with atomic(final) as partial, partial.open("wb") as stream:
            _write(stream, parts, {"schema": SCHEMA, "progress": progress})
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        size = sum(array.nbytes for arrays in parts.values() for array in arrays.values())
        kept = "; the checkpoint before it is intact" if final.exists() else ""
        raise InputError(
            f"{final}: the checkpoint of {megabytes(size)} cannot be written ({error.strerror or error}){kept}"
        ) from error


def _write(stream: Any, parts: Mapping[str, Mapping[str, Array]], table: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_TABLE, json.dumps(table))
        for part, arrays in parts.items():
            for name, array in arrays.items():
                add(archive, f"{part}/{name}", array)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, dict[str, Array]], dict[str, Any] | None]:
    """What `write` wrote: the parts, and the progress.

    Raises:
        InputError: there is nothing at the path, or it is not a whole checkpoint.
    """
    where = existing(path, "a checkpoint")
    parts: dict[str, dict[str, Array]] = {}
    try:
        with zipfile.ZipFile(where) as archive:
            table = json.loads(archive.read(_TABLE))
            if table["schema"] != SCHEMA:
                raise InputError(
                    f"{where}: is a checkpoint of schema {table['schema']}; this version reads {SCHEMA}"
                )
            for entry in archive.namelist():
                if entry.endswith(".npy"):
                    part, _, name = entry.removesuffix(".npy").partition("/")
                    with archive.open(entry) as stream:
                        array = np.lib.format.read_array(stream, allow_pickle=False)
                    parts.setdefault(part, {})[name] = array
            return parts, table["progress"]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError) as error:
        raise InputError(f"{where}: is not a checkpoint, or cut short ({error})") from error
