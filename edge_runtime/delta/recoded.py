"""Patches between bundles whose files are entropy-coded (`edge_runtime.storage`): made between what they decode to.

Coding leaves nothing that two versions share. So the device decodes the coded files within the old bundle, applies the
patch, and codes them again as the patch says. Where its zlib deflates otherwise than the one that made the bundle, the
result has another SHA-256 than is signed, and the device fetches the whole.

Layout, little-endian: magic "LTC1", bytes of the table u32, the table (deflated JSON), and the patch between the
decoded forms. The table: ``old``, [start, length] of each coded file within the old bundle, and ``new``, [start,
segments] of each within the decoded form of the new one; a segment is [kind, bytes of an element, bytes that it
decodes to].
"""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_runtime import entropy, storage
from edge_runtime.delta.patch import apply
from edge_runtime.errors import TransferError

MAGIC = b"LTC1"
_HEAD = struct.Struct("<4sI")
_MOST_TABLE = 4 << 20  # bytes
Spans = Sequence[tuple[int, int]]


def decoded(bundle: bytes, spans: Spans) -> bytes:
    """The bundle with what stands at each of the spans (start, length) decoded.

    Raises:
        TransferError: there is no coded file at a span.
    """
    parts, done = [], 0
    for start, length in spans:
        if start < done or length < 0 or start + length > len(bundle):
            raise TransferError("the patch is damaged: it names a file that is not there")
        parts += [bundle[done:start], storage.restore(bundle[start : start + length])]
        done = start + length
    return b"".join([*parts, bundle[done:]])


def cover(patch: bytes, old: Spans, new: bytes, new_spans: Spans) -> bytes:
    """The patch, with what it takes to decode the old bundle and to code the new one."""
    table: dict[str, Any] = {"old": [list(span) for span in old], "new": []}
    grown = 0
    for start, length in new_spans:
        segments = _segments(new[start : start + length])
        table["new"].append([start + grown, segments])
        grown += sum(size for *_, size in segments) - length
    packed = zlib.compress(json.dumps(table, separators=(",", ":")).encode(), 9)
    return _HEAD.pack(MAGIC, len(packed)) + packed + patch


def apply_recoded(old: bytes, patch: bytes, *, most: int = 1 << 31) -> bytes:
    """The new bundle's file, of the old one's and what `cover` gave.

    Raises:
        TransferError: it is damaged, or for another version.
    """
    try:
        _, length = _HEAD.unpack_from(patch)
        text = zlib.decompressobj().decompress(patch[_HEAD.size : _HEAD.size + length], _MOST_TABLE)
        table = json.loads(text)
        before = decoded(old, [(int(start), int(size)) for start, size in table["old"]])
        plain = apply(before, patch[_HEAD.size + length :], most=8 * most)
        parts, done = [], 0
        for start, segments in table["new"]:
            size = sum(int(each) for *_, each in segments)
            if start < done or start + size > len(plain):
                raise ValueError("a file lies outside")
            parts += [plain[done:start], _coded(plain[start : start + size], segments)]
            done = start + size
    except (struct.error, ValueError, KeyError, TypeError, IndexError, zlib.error, RecursionError) as error:
        raise TransferError(f"the patch of a coded bundle is cut short or damaged: {error}") from error
    return b"".join([*parts, plain[done:]])


def _segments(stored: bytes) -> list[tuple[int, int, int]]:
    """How each segment of a coded file is stored: kind, bytes of an element, bytes that it decodes to."""
    _, count = storage._HEAD.unpack_from(stored)
    place, found = storage._HEAD.size, []
    for _ in range(count):
        kind, itemsize, values, length = storage._SEGMENT.unpack_from(stored, place)
        place += storage._SEGMENT.size
        body = stored[place : place + length]
        place += length
        if kind == storage._DEFLATED:
            found.append((kind, itemsize, len(zlib.decompress(body))))
        else:
            found.append((kind, itemsize, itemsize * len(entropy.decode(body[values * itemsize :]))))
    return found


def _coded(content: bytes, segments: Sequence[Sequence[int]]) -> bytes:
    """The coded file, segment by segment as it was coded before; see `storage.code`."""
    parts, done = [storage._HEAD.pack(storage._MAGIC, len(segments))], 0
    for kind, itemsize, size in segments:
        body, done = content[done : done + size], done + size
        if kind == storage._DEFLATED:
            parts.append(storage._deflated(body))
            continue
        values, indices = np.unique(np.frombuffer(body, f"<u{itemsize}"), return_inverse=True)
        coded = values.tobytes() + entropy.encode(indices)
        parts += [storage._SEGMENT.pack(kind, itemsize, len(values), len(coded)), coded]
    return b"".join(parts)
