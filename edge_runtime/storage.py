"""Coded storage of a model file: every weight tensor as a codebook and entropy-coded indices, without loss.

A weight that was quantised, clustered or pruned takes few different values; each is written once, and every element as
an index into them, coded by frequency (the third stage of Han et al., "Deep Compression", ICLR 2016, with rANS in the
place of Huffman's code). A tensor for which that does not pay, and everything between tensors, is deflated. Decoding
gives the same bytes.

Layout, little-endian: magic "LTZ1", segments u32; then each segment: kind u8, bytes of an element u8, values in the
codebook u16, stored bytes u32, and the stored bytes (codebook, then indices; or a deflated stream).
"""

import struct
import zlib
from collections.abc import Iterable

import numpy as np

from edge_runtime.entropy import decode, encode
from edge_runtime.errors import TransferError

SUFFIX = ".coded"
_MAGIC = b"LTZ1"
_HEAD, _SEGMENT = struct.Struct("<4sI"), struct.Struct("<BBHI")
_DEFLATED, _CODED = 0, 1
_MOST_VALUES = 1 << 14


def code(content: bytes, tensors: Iterable[tuple[int, int, int]]) -> bytes:
    """Code a file.

    Args:
        content: the file.
        tensors: offset, length and bytes of an element (1, 2, 4 or 8) of the tensors within it; they do not overlap.

    Returns:
        What `restore` turns back into `content`.
    """
    segments, place = [], 0
    for offset, length, itemsize in sorted(tensors):
        segments.append(_deflated(content[place:offset]))
        segments.append(_smallest(content[offset : offset + length], itemsize))
        place = offset + length
    segments.append(_deflated(content[place:]))
    return _HEAD.pack(_MAGIC, len(segments)) + b"".join(segments)


def restore(stored: bytes) -> bytes:
    """The file that was coded.

    Raises:
        TransferError: the content is cut short or damaged.
    """
    try:
        magic, count = _HEAD.unpack_from(stored)
        if magic != _MAGIC:
            raise ValueError("it does not begin as coded storage does")
        parts, place = [], _HEAD.size
        for _ in range(count):
            kind, itemsize, values, length = _SEGMENT.unpack_from(stored, place)
            place += _SEGMENT.size
            if kind not in (_DEFLATED, _CODED) or (kind == _DEFLATED and (itemsize, values) != (1, 0)):
                raise ValueError(f"a segment begins with {kind}, {itemsize}, {values}")
            if len(body := stored[place : place + length]) != length:
                raise ValueError("a segment ends early")
            parts.append(zlib.decompress(body) if kind == _DEFLATED else _looked_up(body, itemsize, values))
            place += length
        return b"".join(parts)
    except (struct.error, ValueError, IndexError, zlib.error, TypeError) as error:
        raise TransferError(f"coded storage is cut short or damaged: {error}") from error


def _deflated(content: bytes) -> bytes:
    body = zlib.compress(content, 9)
    return _SEGMENT.pack(_DEFLATED, 1, 0, len(body)) + body


def _smallest(content: bytes, itemsize: int) -> bytes:
    plain = _deflated(content)
    values, indices = np.unique(np.frombuffer(content, f"<u{itemsize}"), return_inverse=True)
    if len(values) > _MOST_VALUES:
        return plain
    body = values.tobytes() + encode(indices)
    coded = _SEGMENT.pack(_CODED, itemsize, len(values), len(body)) + body
    return min(plain, coded, key=len)


def _looked_up(body: bytes, itemsize: int, values: int) -> bytes:
    codebook = np.frombuffer(body, f"<u{itemsize}", values)
    return codebook[decode(body[codebook.nbytes :])].tobytes()
