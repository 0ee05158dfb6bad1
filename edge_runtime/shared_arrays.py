"""Arrays in memory that several processes see: what one writes, the model of another reads without a copy."""

import math
import mmap
from collections.abc import Sequence
from multiprocessing import shared_memory
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array, TensorSpec

_ALIGNED = 64  # bytes: a cache line, and what vector kernels like
_LINUX = Path("/dev/shm")  # noqa: S108  where Linux shows shared memory as files  # nosec B108


class SharedArrays:
    """Arrays by name, in shared memory, in the layout that `specs` gives: zeros at first.

    One process makes them, and sends `name` to the others, which open them with the same specs. Bound to a session
    (`Session.bind`), they are the model's inputs and outputs themselves.

    >>> specs = [TensorSpec("x", "float32", (2, 3))]
    >>> with SharedArrays(specs) as made, SharedArrays(specs, made.name) as seen:
    ...     made["x"][1, 2] = 5
    ...     float(seen["x"][1, 2])
    5.0
    """

    def __init__(self, specs: Sequence[TensorSpec], name: str = "") -> None:
        """Make shared memory, or open what is there.

        Args:
            specs: names, types and shapes; every length is a number.
            name: of memory that another process made; empty to make it.

        Raises:
            InputError: a length varies, there is no such memory, or it is smaller than the arrays.
        """
        places, size = [], 0
        for spec in specs:
            if not all(isinstance(dim, int) for dim in spec.shape):
                raise InputError(f"'{spec}' has an axis that varies; shared memory needs numbers")
            places.append(size)
            size += -(-math.prod(map(int, spec.shape)) * np.dtype(spec.dtype).itemsize // _ALIGNED) * _ALIGNED
        self._made: shared_memory.SharedMemory | None = None
        self._mapped: mmap.mmap | None = None
        buffer: Any
        try:
            if name:
                buffer = self._mapped = _opened(name)
            else:
                self._made = shared_memory.SharedMemory(create=True, size=max(size, 1))
                buffer = self._made.buf
        except (OSError, ValueError) as error:
            raise InputError(f"shared memory {name or '(new)'}: {error}") from error
        self.name = name or self._made.name if self._made is not None else name
        if len(buffer) < size:
            raise InputError(f"shared memory {name} has {len(buffer)} bytes, and these arrays need {size}")
        self._arrays = {
            spec.name: np.ndarray(tuple(map(int, spec.shape)), spec.dtype, buffer, place)
            for spec, place in zip(specs, places, strict=True)
        }

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def keys(self) -> list[str]:
        """The names; with this, ``**`` and ``dict`` take the arrays."""
        return list(self._arrays)

    def close(self) -> None:
        """Forget the arrays here; in the process that made them, also remove the memory's name."""
        self._arrays.clear()
        for memory in (self._made, self._mapped):
            try:
                if memory is not None:
                    memory.close()
            except BufferError:  # an array or a binding is still in use: the memory stays as long as that
                pass
        if self._made is not None:
            self._made.unlink()
            self._made = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _opened(name: str) -> mmap.mmap:
    """Memory that another process made. `SharedMemory` would take it for our own, and remove it when we end."""
    path = _LINUX / Path(name).name
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
