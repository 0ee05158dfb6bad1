"""An entropy coder for small integers: interleaved range asymmetric numeral systems (rANS), in numpy.

Symbols are coded with their own frequencies to within a percent of their entropy. Many lanes run side by side, each
with a state of its own, and share one stream of 16-bit words, so that a step over all lanes is a few array operations
(Duda, "Asymmetric numeral systems", 2013; Giesen, "Interleaved entropy coders", 2014).

Layout, little-endian: number of symbols u32, lanes u16, alphabet u16, frequencies u16[alphabet] (they sum to 2**14),
states u32[lanes], words u16[...].
"""

import struct

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import TransferError

_BITS = 14
_TOTAL = 1 << _BITS
_MOST = (
    1 << 28
)  # symbols: more than any tensor that a device holds; a damaged header must not fill its memory
_LOW = np.uint64(1 << 16)  # a state stays between this and 2**32
_HEADER = struct.Struct("<IHH")
_WORD = np.uint64(16)

Symbols = NDArray[np.integer]


def encode(symbols: Symbols, run: int = 2048) -> bytes:
    """Code non-negative integers below 16,384, of any shape; the shape is not kept.

    Args:
        symbols: what is coded.
        run: symbols a lane at least. Each lane costs four bytes, and the fewer there are, the longer it takes.

    Raises:
        ValueError: a symbol is negative or too large.
    """
    flat = np.asarray(symbols).reshape(-1).astype(np.int64)
    if not flat.size:
        return _HEADER.pack(0, 0, 0)
    if flat.min() < 0 or flat.max() >= _TOTAL:
        raise ValueError(f"symbols run from {flat.min()} to {flat.max()}; 0 to {_TOTAL - 1} can be coded")
    lanes = int(np.clip(flat.size // run, 1, 1024))  # a state takes four bytes
    frequencies = _frequencies(np.bincount(flat))
    states, words = _write(flat, lanes, frequencies)
    head = _HEADER.pack(flat.size, lanes, len(frequencies))
    return head + frequencies.astype("<u2").tobytes() + states.astype("<u4").tobytes() + words.tobytes()


def decode(content: bytes, expected: int | None = None) -> NDArray[np.int64]:
    """The symbols that `encode` was given, flat.

    Args:
        content: what `encode` gave.
        expected: how many symbols there have to be; None takes any number.

    Raises:
        TransferError: the content is cut short or damaged, or holds another number of symbols.
    """
    try:
        count, lanes, alphabet = _HEADER.unpack_from(content)
        if expected not in (None, count):
            raise ValueError(f"it holds {count} symbols, expected {expected}")
        if not count:
            return np.zeros(0, np.int64)
        frequencies = np.frombuffer(content, "<u2", alphabet, _HEADER.size).astype(np.uint64)
        place = _HEADER.size + 2 * alphabet
        states = np.frombuffer(content, "<u4", lanes, place).astype(np.uint64)
        words = np.frombuffer(content, "<u2", -1, place + 4 * lanes).astype(np.uint64)
        if frequencies.sum() != _TOTAL or not lanes or count > _MOST:
            raise ValueError("its header makes no sense")
        return _read(count, frequencies, states, words)
    except (struct.error, ValueError, IndexError) as error:
        raise TransferError(f"entropy-coded data is cut short or damaged: {error}") from error


def _frequencies(counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Counts scaled to sum to 2**14; what occurs keeps at least 1."""
    scaled = np.maximum(counts * _TOTAL // counts.sum(), counts > 0)
    while (excess := int(scaled.sum()) - _TOTAL) != 0:
        # Give to or take from the symbols whose cost changes least: the most frequent ones.
        place = int(np.argmax(scaled))
        scaled[place] -= excess if scaled[place] > excess else scaled[place] // 2
    return np.asarray(scaled, np.uint64)


def _write(
    flat: NDArray[np.int64], lanes: int, frequencies: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint16]]:
    starts = np.concatenate([[0], np.cumsum(frequencies)[:-1]]).astype(np.uint64)
    states = np.full(lanes, _LOW, np.uint64)
    written: list[NDArray[np.uint64]] = []
    for begin in range((flat.size - 1) // lanes * lanes, -1, -lanes):  # a stack: the last symbol goes first
        now = flat[begin : begin + lanes]
        frequency, live = frequencies[now], states[: len(now)]
        full = live >= frequency << np.uint64(32 - _BITS)
        written.append((live[full] & (_LOW - np.uint64(1)))[::-1])
        live[full] >>= _WORD
        live[:] = (live // frequency << np.uint64(_BITS)) + live % frequency + starts[now]
    words = np.concatenate(written)[::-1] if written else np.zeros(0, np.uint64)
    return states, words.astype("<u2")


def _read(
    count: int, frequencies: NDArray[np.uint64], states: NDArray[np.uint64], words: NDArray[np.uint64]
) -> NDArray[np.int64]:
    starts = np.concatenate([[0], np.cumsum(frequencies)[:-1]]).astype(np.uint64)
    symbol_at = np.repeat(np.arange(len(frequencies)), frequencies.astype(np.int64))
    lanes, place = len(states), 0
    found = np.empty(count, np.int64)
    for begin in range(0, count, lanes):
        live = states[: min(lanes, count - begin)]
        slot = live & np.uint64(_TOTAL - 1)
        now = symbol_at[slot]
        found[begin : begin + len(live)] = now
        live[:] = frequencies[now] * (live >> np.uint64(_BITS)) + slot - starts[now]
        empty = live < _LOW
        taken = words[place : place + int(empty.sum())]
        live[empty] = live[empty] << _WORD | taken
        place += len(taken)
    if place != len(words) or (states != _LOW).any():
        raise ValueError("the stream does not end where it should")
    return found
