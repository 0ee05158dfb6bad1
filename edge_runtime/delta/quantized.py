"""The differences of all tensors of bytes of a file, which are quantised weights as a rule, coded together.

After a fine-tune most quantised weights are what they were, in some channels more than in others. So the tensors are
cut into stretches, each stretch has a class by how much changes in it, and the differences of a class, whatever tensor
they come from, are coded by one table of frequencies and side by side, which makes decoding fast.

Layout, little-endian: the coded classes of all stretches; for each class, in ascending order, the coded differences up
to 14, with 15 for a larger one; the larger ones as they are. What is coded has its length u32 before it.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime import entropy

KINDS = ("int8", "uint8")
"""The types that are coded so."""

_LENGTH = struct.Struct("<I")
_LARGE = 15  # the symbol of a difference that is kept as it is
_CLASSES = 16
_STRETCH = 64  # elements that are told apart where rows are of no help
_RUN = 2048  # symbols a lane, see `entropy.encode`

Bytes = NDArray[np.uint8]


def difference(old: bytes, new: bytes) -> Bytes:
    """What is added to each byte, small steps of either sign first: 0, -1, 1, -2 become 0, 1, 2, 3."""
    step = (np.frombuffer(new, np.uint8) - np.frombuffer(old, np.uint8)).view(np.int8)
    return ((step << 1) ^ (step >> 7)).view(np.uint8)


def undo(old: bytes, steps: Bytes) -> bytes:
    """The new tensor, of the old one and what `difference` gave."""
    back = (steps >> np.uint8(1)) ^ (np.uint8(0) - (steps & np.uint8(1)))
    return (np.frombuffer(old, np.uint8) + back).tobytes()


def stretch(steps: Bytes, rows: int) -> tuple[int, float]:
    """How long the stretches of a tensor should be, and how many bytes its differences then take, about.

    Args:
        steps: what `difference` gave.
        rows: how many rows the tensor has.
    """
    row = max(1, steps.size // max(rows, 1))
    choices = {steps.size, min(_STRETCH, steps.size), row if row >= 16 else row * (-(-_STRETCH // row))}
    return min(((size, _cost(steps, size)) for size in sorted(choices)), key=lambda each: each[1])


def encode(tensors: Sequence[tuple[Bytes, int]]) -> bytes:
    """Code the differences of several tensors, each with the length of its stretches."""
    if not tensors:
        return b""
    of = [_classes(steps, size) for steps, size in tensors]
    classes = np.concatenate([_spread(each, *about) for each, about in zip(of, tensors, strict=True)])
    steps = np.concatenate([each for each, _ in tensors])
    symbols = np.minimum(steps, _LARGE)
    parts = [_coded(np.concatenate(of))]
    parts += [_coded(symbols[classes == each]) for each in range(_CLASSES)]
    return b"".join([*parts, steps[steps >= _LARGE].tobytes()])


def decode(coded: bytes, sizes: Sequence[tuple[int, int]]) -> list[Bytes]:
    """What `encode` was given, for tensors of so many elements, with stretches of such a length.

    Raises:
        TransferError: the code is damaged.
        ValueError: it is damaged, or for other tensors.
        struct.error: it ends early.
    """
    if not sizes:
        return []
    if any(size < 1 or length < 1 for length, size in sizes):
        raise ValueError("a tensor has no stretches")
    counts = [-(-length // size) for length, size in sizes]
    of, place = _decoded(coded, 0, sum(counts))
    if of.max(initial=0) >= _CLASSES:
        raise ValueError("a stretch is of an unknown class")
    of, cuts = of.astype(np.uint8), np.cumsum(counts)[:-1]  # a byte each: a model may have many
    classes = np.concatenate(
        [
            np.repeat(each, min(size, length))[:length]
            for each, (length, size) in zip(np.split(of, cuts), sizes, strict=True)
        ]
    )
    found = np.zeros(classes.size, np.uint8)
    for each in range(_CLASSES):
        chosen = classes == each
        symbols, place = _decoded(coded, place, int(chosen.sum()))
        if symbols.max(initial=0) > _LARGE:
            raise ValueError("a difference is none")
        found[chosen] = symbols
    large = found == _LARGE
    if len(coded) - place != int(large.sum()):
        raise ValueError("the larger differences are too few or too many")
    found[large] = np.frombuffer(coded, np.uint8, offset=place)
    return np.split(found, np.cumsum([length for length, _ in sizes])[:-1])


def _classes(steps: Bytes, size: int) -> Bytes:
    """The class of each stretch: twice the logarithm of how much changes in it on average."""
    starts = np.arange(0, steps.size, size)
    change = np.add.reduceat(np.minimum(steps, _LARGE).astype(np.float64), starts)
    mean = change / np.minimum(size, steps.size - starts)
    rank = np.round(2 * np.log2(np.maximum(mean, 2.0**-6))) + 11
    return np.clip(np.where(change > 0, rank, 0), 0, _CLASSES - 1).astype(np.uint8)


def _spread(classes: Bytes, steps: Bytes, size: int) -> Bytes:
    return np.repeat(classes, min(size, steps.size))[: steps.size]


def _cost(steps: Bytes, size: int) -> float:
    of = _classes(steps, size)
    counts = np.bincount(
        _spread(of, steps, size).astype(np.int64) * 256 + steps, minlength=_CLASSES * 256
    ).reshape(_CLASSES, 256)
    return (_bits(counts) + _bits(np.bincount(of, minlength=_CLASSES)[None])) / 8


def _bits(counts: NDArray[np.int64]) -> float:
    """Bits that symbols take which occur so often, by rows."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return float(-(counts * np.log2(np.where(counts > 0, share, 1))).sum())


def _coded(symbols: NDArray[np.integer]) -> bytes:
    content = entropy.encode(symbols, _RUN)
    return _LENGTH.pack(len(content)) + content


def _decoded(coded: bytes, place: int, count: int) -> tuple[NDArray[np.int64], int]:
    """The symbols that are coded from there on, and where they end."""
    (length,) = _LENGTH.unpack_from(coded, place)
    stop = place + _LENGTH.size + length
    return entropy.decode(coded[place + _LENGTH.size : stop], count), stop
