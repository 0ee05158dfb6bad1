"""What stands between tensors, as copies of the old file and literal bytes: found by blocks, as rsync and xdelta do.

The old file is indexed at every sixteenth byte; wherever sixteen bytes of the new one are in the index, the match is
made as long as it goes in both directions (MacDonald, "File System Support for Delta Compression", 2000).
"""

from collections.abc import Iterable, Iterator

_BLOCK = 16
_FEWEST = 24  # bytes that are worth a copy


def index(old: bytes, spans: Iterable[tuple[int, int]]) -> dict[bytes, int]:
    """Where each block of the old file is, within these spans of it; of equal blocks the first."""
    found: dict[bytes, int] = {}
    for start, stop in spans:
        for place in range(start, stop - _BLOCK + 1, _BLOCK):
            found.setdefault(old[place : place + _BLOCK], place)
    return found


def split(old: bytes, blocks: dict[bytes, int], new: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """The new bytes in order, as (start, stop, place in the old file), with -1 for the place of what is not there.

    Args:
        old: the old file.
        blocks: its `index`.
        new: what is looked for.
        at: where in the old file its beginning probably is.
    """
    place = begun = 0  # what is before `begun` has been told
    while place < len(new):
        found = at if _is_there(old, at, new, place) else blocks.get(new[place : place + _BLOCK], -1)
        if found < 0:
            place, at = place + 1, -1
            continue
        start, source = place, found
        while start > begun and source > 0 and new[start - 1] == old[source - 1]:
            start, source = start - 1, source - 1
        stop = place + _alike(old, found, new, place)
        if stop - start < _FEWEST and stop < len(new):
            place, at = place + 1, -1
            continue
        if start > begun:
            yield begun, start, -1
        yield start, stop, source
        place = begun = stop
        at = source + stop - start
    if begun < len(new):
        yield begun, len(new), -1


def _is_there(old: bytes, at: int, new: bytes, place: int) -> bool:
    return 0 <= at < len(old) and old[at : at + _BLOCK] == new[place : place + _BLOCK]


def _alike(old: bytes, at: int, new: bytes, place: int) -> int:
    """How many bytes are the same from there on."""
    most, count, step = min(len(old) - at, len(new) - place), 0, 64
    while count < most:
        size = min(step, most - count)
        if old[at + count : at + count + size] == new[place + count : place + count + size]:
            count, step = count + size, step * 2
        elif size == 1:
            break
        else:
            step = max(1, size // 2)
    return count
