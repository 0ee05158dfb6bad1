"""A bounded sample of what applications ran, as files that the shadow reads: inputs, and the true class where known.

``live/samples/TIME-PID-N.npz`` holds each input as "x:NAME" and, where the application learnt it, the class as "label".
"""

import io
import os
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.tensors import Array

FOLDER = "live/samples"
WANTED = "live/shadow"  # while this file is there, every input is kept, for a shadow is watching
_INPUT, _LABEL = "x:", "label"


@dataclass(frozen=True, slots=True)
class Sample:
    """Inputs by name, and the true class; None where it is not known."""

    inputs: Mapping[str, Array]
    label: int | None


class Samples:
    """The samples of a store; several processes may write and read.

    Args:
        store: the agent's folder.
        most: files that are kept.
        max_bytes: what they may take of the disk.
    """

    def __init__(self, store: Path, most: int = 512, max_bytes: int = 16 << 20) -> None:
        self._folder, self._most, self._max_bytes = store / FOLDER, most, max_bytes
        self._serial = 0

    def put(self, inputs: Mapping[str, Array], label: int | None = None) -> None:
        """Keep one; if there is no room on the disk, or it is larger than all may be, it is not."""
        held = {_INPUT + name: value for name, value in inputs.items()}
        if label is not None:
            held[_LABEL] = np.asarray(label)
        if sum(each.nbytes for each in inputs.values()) > self._max_bytes // 4:
            return
        stream = io.BytesIO()
        np.savez(stream, **held)  # type: ignore[arg-type]
        self._serial += 1
        name = f"{time.time_ns() // 1000:017}-{os.getpid()}-{self._serial}"
        beside = self._folder / f".{name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(stream.getvalue())
            beside.replace(self._folder / f"{name}.npz")
        except OSError:
            with suppress(OSError):
                beside.unlink()
        if self._serial % 16 == 1:
            self._prune()

    def names(self) -> list[str]:
        """The samples that are there, the oldest first."""
        return sorted(path.name for path in self._folder.glob("*.npz"))

    def read(self, name: str) -> Sample | None:
        """One of them; None if it is gone or damaged."""
        try:
            with np.load(self._folder / name, allow_pickle=False) as arrays:
                held = dict(arrays)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None
        label = held.pop(_LABEL, None)
        return Sample(
            {name.removeprefix(_INPUT): value for name, value in held.items()},
            None if label is None else int(label),
        )

    def _prune(self) -> None:
        found = []
        for path in self._folder.glob("*.npz"):
            with suppress(OSError):
                found.append((path.name, path.stat().st_size, path))
        room, left = self._max_bytes, self._most
        for _, size, path in sorted(found, reverse=True):
            room, left = room - size, left - 1
            if room < 0 or left < 0:
                with suppress(OSError):
                    path.unlink()
