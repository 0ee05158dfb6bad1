"""Small whole numbers as bytes: packed bits, bytes by their frequencies, and range-coded symbols with a checked count.

The range coder is `edge_runtime.entropy`, rANS in plain NumPy. The library `constriction` codes a dense stream to
within 0.5 % of it and faster, but a device would need a compiled wheel for it.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from edge_runtime import entropy
from edge_runtime.errors import TransferError
from federated.codecs.reader import Reader, varint

_RAW, _RANGE, _ZLIB = range(3)
_WORTH = 64  # bytes below which nothing is gained


def pack_bits(values: NDArray[np.integer], width: int) -> bytes:
    """Each value in `width` bits (0 to 31), the highest first."""
    if not width or not values.size:
        return b""
    shifts = np.arange(width - 1, -1, -1)
    return np.packbits(((values[:, None] >> shifts) & 1).astype(np.uint8)).tobytes()


def unpack_bits(content: Reader, count: int, width: int) -> NDArray[np.int64]:
    """Read what `pack_bits` wrote."""
    if not width or not count:
        return np.zeros(count, np.int64)
    bits = np.unpackbits(content.array("u1", -(-count * width // 8)), count=count * width)
    return np.asarray(bits.reshape(count, width) @ (1 << np.arange(width - 1, -1, -1)), np.int64)


def write_coded(coded: bytes) -> bytes:
    """What `entropy.encode` gave, with its length before it."""
    return varint(len(coded)) + coded


def read_coded(content: Reader, count: int) -> NDArray[np.int64]:
    """The `count` symbols of `write_coded`; no more are allocated, whatever the content says.

    Raises:
        TransferError: it holds another number of symbols, or is damaged.
    """
    coded = content.take(content.varint(content.left))
    # entropy's layout: the number of symbols comes first, then in how many lanes. Few lanes would take for ever.
    symbols, lanes = int.from_bytes(coded[:4], "little"), int.from_bytes(coded[4:6], "little")
    if symbols != count or lanes < min(count // 2048, 1024):
        raise TransferError(f"update is damaged: its symbols are not the {count} expected")
    return entropy.decode(coded)


def write_bytes(values: NDArray[np.uint8]) -> bytes:
    """Bytes by whichever is shortest: as they are, by their frequencies, or with what repeats (zlib)."""
    raw = bytes([_RAW]) + values.tobytes()
    if len(values) < _WORTH:
        return raw
    packed = zlib.compress(values.tobytes(), 6)
    others = [bytes([_RANGE]) + write_coded(entropy.encode(values)), bytes([_ZLIB]) + write_coded(packed)]
    return min(raw, *others, key=len)


def read_bytes(content: Reader, count: int) -> NDArray[np.uint8]:
    """Read the `count` bytes of `write_bytes`.

    Raises:
        TransferError: it holds another number of bytes, or is damaged.
    """
    kind = content.byte()
    if kind == _RAW:
        return content.array("u1", count)
    if kind == _RANGE:
        found = read_coded(content, count)
        if count and found.max() > 255:
            raise TransferError("update is damaged: a byte is above 255")
        return found.astype(np.uint8)
    if kind == _ZLIB:
        return np.frombuffer(_inflate(content.take(content.varint(content.left)), count), np.uint8)
    raise TransferError("update is damaged: no such code of bytes")


def _inflate(packed: bytes, count: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(packed, count + 1)  # never more, whatever it would unfold to
    except zlib.error as error:
        raise TransferError(f"update is damaged: {error}") from error
    if len(found) != count or not stream.eof or stream.unused_data:
        raise TransferError(f"update is damaged: it does not unfold to {count} bytes")
    return found
