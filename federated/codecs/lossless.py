"""Lossless: the bytes of all elements by significance, each plane coded by itself.

The exponents of an update repeat and code well, the low bits of its mantissas do not; side by side in one stream
neither is seen (Gailly's byte shuffle, as in HDF5 and Blosc).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.tensors import Array
from federated.codecs.codec import Context
from federated.codecs.reader import Reader
from federated.codecs.symbols import read_bytes, write_bytes


@dataclass(frozen=True, slots=True)
class Lossless:
    """Every bit of every element, in its own dtype."""

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        return b"".join(
            write_bytes(np.ascontiguousarray(_bytes(update, width)[:, plane]))
            for width in _widths(update)
            for plane in range(width)
        )

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        found = {}
        for width, names in _widths(like).items():
            count = sum(like[name].size for name in names)
            planes = np.stack([read_bytes(content, count) for _ in range(width)], axis=1)
            place = 0
            for name in names:
                array = like[name]
                part = planes[place : place + array.size]
                whole = np.frombuffer(part.tobytes(), array.dtype.newbyteorder("<"))
                found[name] = whole.astype(array.dtype).reshape(array.shape)
                place += array.size
        return found


def _widths(arrays: Mapping[str, Array]) -> dict[int, list[str]]:
    """The names by the size of an element in bytes, both in order."""
    widths = sorted({array.dtype.itemsize for array in arrays.values()})
    return {
        width: sorted(name for name, array in arrays.items() if array.dtype.itemsize == width)
        for width in widths
    }


def _bytes(arrays: Mapping[str, Array], width: int) -> Array:
    """uint8[n, width] of all elements of this size, the least significant byte first."""
    names = _widths(arrays)[width]
    parts = [arrays[name].astype(arrays[name].dtype.newbyteorder("<")).tobytes() for name in names]
    return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, width)
