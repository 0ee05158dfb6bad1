"""The difference of two tensors of one type as few bytes: exact, from bit patterns, coded by how large it is.

Floats are compared as the integers that their bit patterns count (Dawson, "Comparing floating point numbers", 2012),
so that neighbours differ by one, and a small step of training by few bits. Of a difference only its length in bits is
worth coding, together with the exponent of the old value, which says how many bits such a step takes; the bits below
the leading one are noise and are kept as they are. `edge_runtime.delta.quantized` codes bytes.

Layout, little-endian: for each group of exponents, in descending order, the length u32 and content of the coded bit
lengths; then the packed bits, from the highest of all elements to the lowest.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from edge_runtime import entropy

KINDS = {"int16": 2, "uint16": 2, "float16": 2, "int32": 4, "float32": 4}
"""The types whose differences are coded, and the bytes of an element."""

_MANTISSA = {"float16": 10, "float32": 23}
_CONTEXTS = 16  # exponents below the largest that are told apart
_FEWEST = 4096  # elements that are worth a code of their own
_RUN = 512  # symbols a lane: a sixteenth of a bit each, next to the dozen that follow them
_LENGTH = struct.Struct("<I")

Unsigned = NDArray[np.unsignedinteger]


def encode(old: bytes, new: bytes, kind: str) -> bytes:
    """Code what makes `new` of `old`: tensors of the type `kind`, one of `KINDS`, of the same length."""
    before, after = _ordered(old, kind), _ordered(new, kind)
    difference = _zigzag(after - before)
    lengths = np.frexp(difference.astype(np.float64))[1]
    parts = []
    groups, count = _contexts(old, kind)
    for group in range(count):
        coded = entropy.encode(lengths[groups == group], _RUN)
        parts += [_LENGTH.pack(len(coded)), coded]
    bits = [
        (difference >> np.asarray(bit, difference.dtype) & 1)[lengths - 1 > bit].astype(np.uint8)
        for bit in range(int(lengths.max(initial=0)) - 2, -1, -1)
    ]
    packed = np.packbits(np.concatenate(bits)) if bits else np.zeros(0, np.uint8)
    return b"".join([*parts, packed.tobytes()])


def decode(old: bytes, coded: bytes, kind: str) -> bytes:
    """The new tensor.

    Raises:
        TransferError: the code is damaged.
        ValueError: it ends early.
        struct.error: it ends early.
    """
    before = _ordered(old, kind)
    lengths, place = np.zeros(before.size, np.uint8), 0  # a byte each: a tensor may have many
    groups, count = _contexts(old, kind)
    for group in range(count):
        chosen = groups == group
        (length,) = _LENGTH.unpack_from(coded, place)
        place += _LENGTH.size
        found = entropy.decode(coded[place : place + length], int(chosen.sum()))
        if found.max(initial=0) > 8 * KINDS[kind]:
            raise ValueError("a difference is longer than its type")
        lengths[chosen] = found
        place += length
    below = np.maximum(lengths, 1) - np.uint8(1)
    packed = np.unpackbits(np.frombuffer(coded, np.uint8, offset=place))
    if packed.size < below.sum(dtype=np.int64):
        raise ValueError("the bits end early")
    difference = np.where(lengths > 0, np.left_shift(np.asarray(1, before.dtype), below), 0).astype(
        before.dtype
    )
    at = 0
    for bit in range(int(lengths.max(initial=0)) - 2, -1, -1):
        wide = below > bit
        count = int(wide.sum())
        difference[wide] |= packed[at : at + count].astype(before.dtype) << np.asarray(bit, before.dtype)
        at += count
    return _plain(before + _unzigzag(difference), kind)


def _contexts(old: bytes, kind: str) -> tuple[NDArray[np.uint8], int]:
    """The group that each element is in, of those with like exponents of the old values, and the number of groups.

    The largest come first; integers are all in one.
    """
    if kind not in _MANTISSA:
        return np.zeros(len(old) // KINDS[kind], np.uint8), 1
    bits = np.frombuffer(old, f"<u{KINDS[kind]}")
    mask = np.asarray((1 << (8 * KINDS[kind] - 1 - _MANTISSA[kind])) - 1, bits.dtype)
    exponents = (bits >> np.asarray(_MANTISSA[kind], bits.dtype)) & mask
    below = np.minimum(exponents.max(initial=0) - exponents, _CONTEXTS - 1).astype(np.uint8)
    group, count, groups = 0, 0, np.zeros(_CONTEXTS, np.uint8)
    for context, members in enumerate(np.bincount(below, minlength=_CONTEXTS)):
        groups[context] = group
        count += int(members)
        if count >= _FEWEST:
            group, count = group + 1, 0
    return groups[below], max(group + (count > 0), 1)


def _ordered(content: bytes, kind: str) -> Unsigned:
    """Bit patterns as unsigned integers; those of floats in the order of the floats."""
    width = KINDS[kind]
    bits: Unsigned = np.frombuffer(content, f"<u{width}")
    if kind not in _MANTISSA:
        return bits
    sign = np.asarray(1 << (8 * width - 1), bits.dtype)
    return np.where(bits & sign, ~bits, bits | sign)


def _plain(ordered: Unsigned, kind: str) -> bytes:
    if kind not in _MANTISSA:
        return ordered.tobytes()
    sign = np.asarray(1 << (8 * KINDS[kind] - 1), ordered.dtype)
    return np.where(ordered & sign, ordered ^ sign, ~ordered).astype(ordered.dtype).tobytes()


def _zigzag(difference: Unsigned) -> Unsigned:
    """Signed differences, small ones of either sign first: 0, -1, 1, -2 become 0, 1, 2, 3."""
    width = 8 * difference.itemsize
    signed = difference.view(f"<i{difference.itemsize}")
    return ((signed << 1) ^ (signed >> (width - 1))).view(difference.dtype)


def _unzigzag(coded: Unsigned) -> Unsigned:
    one = np.asarray(1, coded.dtype)
    return (coded >> one) ^ (np.zeros_like(coded) - (coded & one))
