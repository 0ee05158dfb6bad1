"""Reading bytes that nobody vouches for: every length is checked before anything is allocated."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import TransferError

_VARINT_BYTES = 5  # 35 bits: more than any count of a model


class Reader:
    """The content from front to back.

    Raises:
        TransferError: from any method, when more is asked for than there is.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._place = memoryview(content), 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self._content) - self._place

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if not 0 <= count <= self.left:
            raise TransferError(f"update is cut short: {count} bytes expected, {self.left} are there")
        self._place += count
        return bytes(self._content[self._place - count : self._place])

    def peek(self, count: int) -> bytes:
        """Up to `count` of the next bytes, which stay unread."""
        return bytes(self._content[self._place : self._place + count])

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        """The next `count` numbers, as in ``array("<f4", 3)``."""
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self, most: int) -> int:
        """The next number, as `varint` wrote it, which may be `most` at most."""
        value = 0
        for shift in range(0, 7 * _VARINT_BYTES, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if value > most:
            raise TransferError(f"update is damaged: a count is {value}, {most} is possible")
        return value

    def scales(self, count: int) -> NDArray[np.float32]:
        """The next `count` float32, which have to be finite and not negative."""
        found = self.array("<f4", count)
        if not (np.isfinite(found).all() and (found >= 0).all()):
            raise TransferError("update is damaged: a scale is negative or not a number")
        return found.astype(np.float32)

    def done(self) -> None:
        """Do nothing if all was read."""
        if self.left:
            raise TransferError(f"update is damaged: {self.left} bytes too many")


def varint(value: int) -> bytes:
    """A number of 0 or more in as few bytes as it needs (LEB128).

    >>> varint(300).hex()
    'ac02'
    """
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
