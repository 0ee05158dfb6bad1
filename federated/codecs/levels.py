"""Quantisation levels as bytes: whole numbers from -most to most, of which most are often 0.

Three forms, of which the shortest is taken: fixed width; by their frequencies (range coder); or the positions of
what is not 0, its signs, and the magnitudes of what is beyond 1. The range coder's frequencies have 14 bits, so a
symbol costs it 1/11,000 bit at least, and its lanes four bytes for 2,048 symbols: of updates with 99.5 % zeros it makes
24 % more than the entropy of their symbols, the positions 1 % less than that, for they see the clumps.
"""

import numpy as np
from numpy.typing import NDArray

from edge_runtime import entropy
from edge_runtime.errors import TransferError
from federated.codecs import positions
from federated.codecs.reader import Reader
from federated.codecs.symbols import pack_bits, read_coded, unpack_bits, write_coded

Levels = NDArray[np.integer]
_FIXED, _RANGE, _SPARSE = range(3)
_MOSTLY_ZERO = 0.5  # filled to less than this, positions may be shorter
_CROWDED = 0.25  # filled to more than this, the others may be
_WORTH = 256  # symbols below which a table of frequencies costs more than it gains


def encode(levels: Levels, most: int) -> bytes:
    """Write levels, flat, of which none is beyond `most` (1 to 127) on either side."""
    filled = np.count_nonzero(levels) / max(levels.size, 1)
    forms = []
    if filled < _MOSTLY_ZERO:
        forms.append(bytes([_SPARSE]) + _sparse(levels, most))
    if filled > _CROWDED:
        forms.append(_dense(levels + most, 2 * most))
    return min(forms, key=len)


def decode(content: Reader, count: int, most: int) -> NDArray[np.int64]:
    """Read the `count` levels of `encode`.

    Raises:
        TransferError: a level is beyond `most`, or the content is damaged.
    """
    kind = content.byte()
    if kind == _SPARSE:
        return _read_sparse(content, count, most)
    return _read_dense(content, count, 2 * most, kind) - most


def _sparse(levels: Levels, most: int) -> bytes:
    places = np.flatnonzero(levels)
    values = levels[places]
    parts = [positions.encode(places, levels.size), np.packbits(values < 0).tobytes()]
    if most > 1:
        parts.append(_magnitudes(np.abs(values).astype(np.int64) - 1, most - 1))
    return b"".join(parts)


def _magnitudes(above: Levels, most: int) -> bytes:
    """What magnitudes have above 1: where any have it, if few do."""
    places = np.flatnonzero(above)
    if len(places) > _CROWDED * len(above):
        return _dense(above, most)
    rest = _dense(above[places] - 1, most - 1) if most > 1 else b""
    return bytes([_SPARSE]) + positions.encode(places, len(above)) + rest


def _read_sparse(content: Reader, count: int, most: int) -> NDArray[np.int64]:
    places = positions.decode(content, count)
    negative = unpack_bits(content, len(places), 1)
    values = np.ones(len(places), np.int64)
    if most > 1:
        values += _read_magnitudes(content, len(places), most - 1)
    found = np.zeros(count, np.int64)
    found[places] = np.where(negative == 1, -values, values)
    return found


def _read_magnitudes(content: Reader, count: int, most: int) -> NDArray[np.int64]:
    kind = content.byte()
    if kind != _SPARSE:
        return _read_dense(content, count, most, kind)
    places = positions.decode(content, count)
    found = np.zeros(count, np.int64)
    found[places] = 1
    if most > 1:
        found[places] += _read_dense(content, len(places), most - 1, content.byte())
    return found


def _dense(symbols: Levels, most: int) -> bytes:
    fixed = bytes([_FIXED]) + pack_bits(symbols, most.bit_length())
    if symbols.size < _WORTH:
        return fixed
    return min(fixed, bytes([_RANGE]) + write_coded(entropy.encode(symbols)), key=len)


def _read_dense(content: Reader, count: int, most: int, kind: int) -> NDArray[np.int64]:
    if kind not in (_FIXED, _RANGE):
        raise TransferError("update is damaged: no such code of levels")
    found = unpack_bits(content, count, most.bit_length()) if kind == _FIXED else read_coded(content, count)
    if count and found.max() > most:
        raise TransferError("update is damaged: a level is beyond what its codec has")
    return found
