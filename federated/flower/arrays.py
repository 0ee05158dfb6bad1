"""Weights in Flower's records, without a detour over bytes while they stay in this process.

Flower's Array holds the content of an .npy file: every read parses that file. `Held` is an Array that keeps the numbers
themselves, and writes the file only for who asks for its bytes, as an engine does that sends them to another process.
"""

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord

from edge_runtime.tensors import Array


class Held(FlowerArray):  # type: ignore[misc]
    """An Array around a copy of an ndarray; equal to Flower's own in every field."""

    __qualname__ = (
        "Array"  # Flower writes this name in front of what it sends, and reads a plain Array from it
    )

    def __init__(self, ndarray: Array) -> None:
        kept = np.array(ndarray, order="C", subok=False)
        kept.flags.writeable = False
        self.__dict__.update(dtype=str(kept.dtype), shape=kept.shape, stype="numpy.ndarray", _kept=kept)

    @property
    def data(self) -> bytes:
        """The .npy file."""
        kept = self.__dict__["_kept"]
        return _front(kept.dtype.str, kept.shape) + bytes(kept.tobytes())

    def numpy(self) -> Array:
        """A copy of the numbers, which may be written."""
        found: Array = self.__dict__["_kept"].copy()
        return found

    def __reduce__(self) -> Any:
        return Held, (self.__dict__["_kept"],)


@lru_cache(256)
def _front(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers in an .npy file of version 1.0, as `numpy.save` writes it."""
    stream = io.BytesIO()
    table = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, table)
    return stream.getvalue()


def to_record(parameters: Mapping[str, Array]) -> ArrayRecord:
    """Weights as Flower carries them, by name."""
    record = ArrayRecord()  # given a table, it would make Arrays of its own
    for name, array in parameters.items():
        record[name] = Held(np.asarray(array))
    return record


def from_record(record: ArrayRecord) -> dict[str, Array]:
    """The weights of a record, by name."""
    return {name: array.numpy() for name, array in record.items()}
