"""A patch from one version of a file to the next, which knows where its tensors are.

Tensors that are the same are copied from the old version, those that changed are coded by their difference, and one
that is a multiple of another (as the scale of a quantised bias is, of its weight's scales) is told by the factor. What
stands between tensors is copied where it is found, and what is new is packed. Whether it fits, and whether the result
is right, SHA-256 says.

Layout, little-endian: magic "LTD2", SHA-256 of the old file and of the new one, bytes of the new one u64, of the table
u32, of the literals u32, of the differences of bytes u32; the table and the literals, each packed; the differences of
all tensors of bytes; then those of the others. The table is a list of whole numbers of seven bits a byte (LEB128): for
each part how, bytes of the result, and, of a copy and a difference, how far its place in the old file is from where the
part before ended (zigzag); of a difference its type, and its stored bytes or, for bytes, the length of its stretches;
of a multiple the place in the new file and the bits of the factor.
"""

import hashlib
import lzma
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.delta import copies, difference, quantized
from edge_runtime.delta.matching import Tensor, apart, between, multiples, paired
from edge_runtime.errors import TransferError

_MAGIC = b"LTD2"
_HEAD = struct.Struct("<4s32s32sQIII")
_COPY, _LITERAL, _DIFFERENCE, _MULTIPLE = range(4)
_KINDS = (*quantized.KINDS, *difference.KINDS)
_BYTES = len(quantized.KINDS)  # of the kinds, how many are coded together
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 4 << 20}]
_WORTH = 0.95  # of its bytes, above which a difference is not worth its trouble
_PIECE = 1 << 20  # bytes of a tensor that are coded at a time, which bounds the memory that decoding takes
_SMALL = 64  # bytes below which a tensor is treated as what stands around it
_MOST_TABLE = 16 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Patch:
    """What a patch says of itself: SHA-256 of both files as hexadecimal digits, and bytes of the new one."""

    old: str
    new: str
    size: int

    @classmethod
    def read(cls, content: bytes) -> "Patch":
        """From the patch's first bytes.

        Raises:
            TransferError: they are not a patch's.
        """
        if len(content) < _HEAD.size or content[:4] != _MAGIC:
            raise TransferError("this is no patch: it does not begin as one does")
        _, old, new, size, *_ = _HEAD.unpack_from(content)
        return cls(old.hex(), new.hex(), size)


@dataclass(frozen=True, slots=True)
class _Part:
    """How `length` bytes of the new file come about; the rest as the layout says."""

    how: int
    length: int
    place: int = 0
    kind: int = 0
    body: bytes = b""
    stretch: int = 0


def make(
    old: bytes, new: bytes, old_tensors: Mapping[str, Tensor], new_tensors: Mapping[str, Tensor]
) -> bytes:
    """The patch from `old` to `new`.

    Args:
        old: the file that a device has.
        new: the file that it shall have.
        old_tensors: where tensors lie in the old file, by name.
        new_tensors: where they lie in the new one; those of one name are compared, and others with what is alike.
    """
    before = {name: each for name, each in old_tensors.items() if each.length >= _SMALL}
    after = apart({name: each for name, each in new_tensors.items() if each.length >= _SMALL})
    pairs, scaled = paired(old, new, before, after), multiples(new, after)
    blocks = copies.index(old, between(len(old), before.values()))
    parts: list[_Part] = []
    done = at = 0
    for name, tensor in after.items():
        parts += _gap(old, blocks, new[done : tensor.offset], at)
        known = pairs.get(name)
        found = _tensor(old, new, known, tensor)
        if name in scaled and found[0].how != _COPY:
            found = [_Part(_MULTIPLE, tensor.length, *scaled[name])]
        parts += found
        done = tensor.offset + tensor.length
        at = known.offset + known.length if known else at
    parts = _joined([*parts, *_gap(old, blocks, new[done:], at)])
    return _written(old, new, parts)


def apply(old: bytes, patch: bytes, *, most: int = 1 << 31) -> bytes:
    """The new file.

    Args:
        old: the file that the device has.
        patch: what `make` gave.
        most: bytes that the new file may have.

    Raises:
        TransferError: the patch is damaged, or is for another file.
    """
    said = Patch.read(patch)
    if said.size > most:
        raise TransferError(f"the patch makes a file of {said.size} bytes; at most {most} are taken")
    if hashlib.sha256(old).hexdigest() != said.old:
        raise TransferError(
            "the patch is for another version than the one that is here; fetch the whole file"
        )
    try:
        new = _applied(old, patch, said.size)
    except (
        struct.error,
        ValueError,
        IndexError,
        TypeError,
        lzma.LZMAError,
        EOFError,
        OverflowError,
    ) as error:
        raise TransferError(f"the patch is cut short or damaged: {error}") from error
    if hashlib.sha256(new).hexdigest() != said.new:
        raise TransferError("the patch is damaged: what it makes has another SHA-256 than it says")
    return new


def _applied(old: bytes, patch: bytes, size: int) -> bytes:
    *_, table, literals, joint = _HEAD.unpack_from(patch)
    parts = list(_rows(_unpacked(patch[_HEAD.size : _HEAD.size + table], _MOST_TABLE)))
    if sum(part.length for part in parts) != size:
        raise ValueError(f"its parts do not make the {size} bytes that it says")
    place = _HEAD.size + table + literals + joint
    fresh, used = _unpacked(patch[place - joint - literals : place - joint], size), 0
    steps = iter(_steps(patch[place - joint : place], parts))
    new, at = bytearray(), 0
    for part in parts:
        source = at + part.place
        known = old[source : source + part.length] if source >= 0 else b""
        if part.how == _LITERAL:
            made, used = fresh[used : used + part.length], used + part.length
        elif part.how == _MULTIPLE:
            made = bytes(part.length)
        else:
            at = source + part.length
            if len(known) != part.length:
                raise ValueError("it needs what the old file does not have")
            made = known
        if part.how == _DIFFERENCE and part.kind < _BYTES:
            made = quantized.undo(known, next(steps))
        elif part.how == _DIFFERENCE:
            made = difference.decode(known, patch[place : place + part.stretch], _KINDS[part.kind])
            place += part.stretch
        if len(made) != part.length:
            raise ValueError("a part is shorter than it should be")
        new += made
    if place != len(patch):
        raise ValueError("it has other bytes than it says")
    _multiply(new, parts)
    return bytes(new)


def _steps(coded: bytes, parts: list[_Part]) -> list[quantized.Bytes]:
    """The differences of the tensors of bytes."""
    wanted = [part for part in parts if part.how == _DIFFERENCE and part.kind < _BYTES]
    return quantized.decode(coded, [(part.length, part.stretch) for part in wanted])


def _multiply(new: bytearray, parts: list[_Part]) -> None:
    """Fill in the tensors that are multiples of others; their places are still empty."""
    start = 0
    for part in parts:
        if part.how == _MULTIPLE:
            other = np.frombuffer(bytes(new[part.place : part.place + part.length]), "<f4")
            factor = np.frombuffer(struct.pack("<I", part.kind), "<f4")[0]
            with np.errstate(all="ignore"):
                made = (other * factor).astype("<f4").tobytes()
            if len(made) != part.length:
                raise ValueError("a multiple of what is not there")
            new[start : start + part.length] = made
        start += part.length


def _rows(table: bytes) -> Iterator[_Part]:
    """The parts that a table lists."""
    numbers = iter(_numbers(table))
    for how in numbers:
        length = next(numbers, -1)
        if how in (_COPY, _DIFFERENCE):
            distance = next(numbers, -1)
            away = (distance >> 1) ^ -(distance & 1)
            kind, stored = (next(numbers, -1), next(numbers, -1)) if how == _DIFFERENCE else (0, 0)
            part = _Part(how, length, away, kind, stretch=stored)
        elif how == _MULTIPLE:
            part = _Part(how, length, next(numbers, -1), next(numbers, -1))
        elif how == _LITERAL:
            part = _Part(how, length)
        else:
            raise ValueError(f"a part of an unknown kind: {how}")
        if min(length, part.kind, part.stretch) < 0 or (how == _MULTIPLE and part.place < 0):
            raise ValueError("a part ends early")
        if how == _DIFFERENCE and (part.kind >= len(_KINDS) or length % _width(_KINDS[part.kind])):
            raise ValueError("a tensor of an unknown kind")
        yield part


def _width(kind: str) -> int:
    return difference.KINDS.get(kind, 1)


def _written(old: bytes, new: bytes, parts: list[_Part]) -> bytes:
    """The patch's bytes."""
    table, at = bytearray(), 0
    for part in parts:
        numbers = [part.how, part.length]
        if part.how in (_COPY, _DIFFERENCE):
            away = part.place - at
            numbers.append((away << 1) ^ (away >> 63))
            at = part.place + part.length
        if part.how == _DIFFERENCE:
            numbers += [part.kind, part.stretch or len(part.body)]
        elif part.how == _MULTIPLE:
            numbers += [part.place, part.kind]
        for number in numbers:
            table += _leb(number)
    changed = [part for part in parts if part.how == _DIFFERENCE]
    joint = quantized.encode(
        [(np.frombuffer(p.body, np.uint8), p.stretch) for p in changed if p.kind < _BYTES]
    )
    literals = b"".join(part.body for part in parts if part.how == _LITERAL)
    rows, fresh = (lzma.compress(each, lzma.FORMAT_RAW, filters=_FILTERS) for each in (table, literals))
    digests = (hashlib.sha256(each).digest() for each in (old, new))
    head = _HEAD.pack(_MAGIC, *digests, len(new), len(rows), len(fresh), len(joint))
    return b"".join([head, rows, fresh, joint, *(part.body for part in changed if part.kind >= _BYTES)])


def _leb(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _numbers(table: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in table:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
        if byte < 0x80:
            yield number
            number = shift = 0


def _unpacked(content: bytes, most: int) -> bytes:
    unpack = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    found = unpack.decompress(content, most + 1)
    if not unpack.eof or len(found) > most:
        raise ValueError("what is packed is cut short, or more than there may be")
    return found


def _gap(old: bytes, blocks: dict[bytes, int], content: bytes, at: int) -> list[_Part]:
    """What stands between tensors."""
    return [
        _Part(_LITERAL, stop - start, body=content[start:stop])
        if place < 0
        else _Part(_COPY, stop - start, place)
        for start, stop, place in copies.split(old, blocks, content, at)
    ]


def _tensor(old: bytes, new: bytes, before: Tensor | None, after: Tensor) -> list[_Part]:
    content = new[after.offset : after.offset + after.length]
    if before is None:
        return [_Part(_LITERAL, after.length, body=content)]
    known = old[before.offset : before.offset + before.length]
    if known == content:
        return [_Part(_COPY, after.length, before.offset)]
    if after.kind not in _KINDS or after.length % _width(after.kind):
        return [_Part(_LITERAL, after.length, body=content)]
    if after.kind not in quantized.KINDS:
        return [
            _changed(known[at : at + _PIECE], content[at : at + _PIECE], after.kind, before.offset + at)
            for at in range(0, after.length, _PIECE)
        ]
    steps = quantized.difference(known, content)
    stretch, size = quantized.stretch(steps, after.rows)
    if size > _WORTH * len(content):
        return [_Part(_LITERAL, after.length, body=content)]
    kind = _KINDS.index(after.kind)
    return [_Part(_DIFFERENCE, after.length, before.offset, kind, steps.tobytes(), stretch)]


def _changed(known: bytes, content: bytes, kind: str, place: int) -> _Part:
    body = difference.encode(known, content, kind)
    if len(body) > _WORTH * len(content):
        return _Part(_LITERAL, len(content), body=content)
    return _Part(_DIFFERENCE, len(content), place, _KINDS.index(kind), body)


def _joined(parts: list[_Part]) -> list[_Part]:
    """Copies of what stood side by side as one, and literals too."""
    found: list[_Part] = []
    for part in parts:
        last = found[-1] if found else None
        if last and part.how == last.how == _COPY and last.place + last.length == part.place:
            found[-1] = _Part(_COPY, last.length + part.length, last.place)
        elif last and part.how == last.how == _LITERAL:
            found[-1] = _Part(_LITERAL, last.length + part.length, body=last.body + part.body)
        else:
            found.append(part)
    return found
