"""A patch from one version of a file to the next, which knows where its tensors are.

Tensors that are the same are copied from the old version, those that changed are coded by their difference, and what
is new or stands between tensors is packed as it is. Whether it fits, and whether the result is right, SHA-256 says.

Layout, little-endian: magic "LTD1", SHA-256 of the old file and of the new one, bytes of the new one u64, parts u32;
then each part: how u8, type u8, place in the old file u64, bytes of the result u64, stored bytes u64, and these.
"""

import hashlib
import lzma
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.delta import difference
from edge_runtime.errors import TransferError

_MAGIC = b"LTD1"
_HEAD, _PART = struct.Struct("<4s32s32sQI"), struct.Struct("<BBQQQ")
_COPY, _PACKED, _DIFFERENCE = 0, 1, 2
_KINDS = tuple(difference.KINDS)
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9}]
_WORTH = 0.8  # of its bytes, below which a difference is taken without looking further


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies in a file, in bytes, and its type, one of `difference.KINDS`."""

    offset: int
    length: int
    kind: str


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
        _, old, new, size, _ = _HEAD.unpack_from(content)
        return cls(old.hex(), new.hex(), size)


def make(
    old: bytes, new: bytes, old_tensors: Mapping[str, Tensor], new_tensors: Mapping[str, Tensor]
) -> bytes:
    """The patch from `old` to `new`.

    Args:
        old: the file that a device has.
        new: the file that it shall have.
        old_tensors: where tensors lie in the old file, by name.
        new_tensors: where they lie in the new one; those of one name are compared.
    """
    parts: list[bytes] = []
    between = at = 0
    for name, tensor in sorted(new_tensors.items(), key=lambda item: item[1].offset):
        if tensor.offset < between:
            continue  # one tensor within another
        before = old_tensors.get(name)
        parts += [_gap(old, at, new[between : tensor.offset]), _tensor(old, new, before, tensor)]
        between = tensor.offset + tensor.length
        at = before.offset + before.length if before else at
    parts.append(_gap(old, at, new[between:]))
    parts = _joined([part for part in parts if part])
    digests = (hashlib.sha256(each).digest() for each in (old, new))
    return b"".join([_HEAD.pack(_MAGIC, *digests, len(new), len(parts)), *parts])


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
    except (struct.error, ValueError, IndexError, TypeError, lzma.LZMAError, EOFError) as error:
        raise TransferError(f"the patch is cut short or damaged: {error}") from error
    if hashlib.sha256(new).hexdigest() != said.new:
        raise TransferError("the patch is damaged: what it makes has another SHA-256 than it says")
    return new


def _applied(old: bytes, patch: bytes, size: int) -> bytes:
    *_, count = _HEAD.unpack_from(patch)
    place, made, parts = _HEAD.size, 0, []
    for _ in range(count):
        how, kind, offset, length, stored = _PART.unpack_from(patch, place)
        place += _PART.size
        body = patch[place : place + stored]
        place += stored
        made += length
        if len(body) != stored or made > size:
            raise ValueError("a part is longer than it may be")
        before = old[offset : offset + length]
        if how == _PACKED:
            part = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS).decompress(body, length)
        elif how == _COPY:
            part = before
        elif how == _DIFFERENCE and len(before) == length and not length % difference.KINDS[_KINDS[kind]]:
            part = difference.decode(before, body, _KINDS[kind])
        else:
            raise ValueError(f"a part of an unknown kind: {how}, {kind}")
        if len(part) != length:
            raise ValueError("a part is shorter than it should be")
        parts.append(part)
    if made != size:
        raise ValueError(f"its parts make {made} bytes, and it says {size}")
    return b"".join(parts)


def _gap(old: bytes, at: int, content: bytes) -> bytes:
    """What stands between tensors: copied if the old file has it at `at`, or, where it is long, anywhere."""
    if not content:
        return b""
    found = at if old.startswith(content, at) else -1
    if found < 0 and len(content) > _PART.size:
        found = old.find(content)
    return _packed(content) if found < 0 else _PART.pack(_COPY, 0, found, len(content), 0)


def _tensor(old: bytes, new: bytes, before: Tensor | None, after: Tensor) -> bytes:
    content = new[after.offset : after.offset + after.length]
    if before is None or (before.length, before.kind) != (after.length, after.kind):
        return _packed(content)
    known = old[before.offset : before.offset + before.length]
    if known == content:
        return _PART.pack(_COPY, 0, before.offset, after.length, 0)
    if after.kind not in difference.KINDS:
        return _packed(content)
    body = difference.encode(known, content, after.kind)
    found = _PART.pack(_DIFFERENCE, _KINDS.index(after.kind), before.offset, after.length, len(body)) + body
    if len(found) < _WORTH * len(content):
        return found  # packing is slow, and weights hardly shrink by it
    return min(found, _packed(content), key=len)


def _packed(content: bytes) -> bytes:
    body = lzma.compress(content, lzma.FORMAT_RAW, filters=_FILTERS)
    return _PART.pack(_PACKED, 0, 0, len(content), len(body)) + body


def _joined(parts: list[bytes]) -> list[bytes]:
    """Copies of what stood side by side as one."""
    found: list[bytes] = []
    for part in parts:
        if found and part[0] == _COPY and found[-1][0] == _COPY:
            *_, offset, length, _ = _PART.unpack(found[-1])
            *_, begins, more, _ = _PART.unpack(part)
            if offset + length == begins:
                found[-1] = _PART.pack(_COPY, 0, offset, length + more, 0)
                continue
        found.append(part)
    return found
