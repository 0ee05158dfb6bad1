"""What the engine's memory pool takes from the system: more than lives in it, for free room is cut into pieces.

It follows onnxruntime's BFCArena (after TensorFlow's "best fit with coalescing"): regions that double in size,
the smallest free chunk that is large enough, split where the rest is as large again, and joined to its free
neighbours when it is given back. Only memory that was once written counts for a process, so what is reported
is the part of each region that was ever handed out.
"""

from bisect import insort
from dataclasses import dataclass

_SMALLEST = 256
_FIRST_REGION = 1 << 20
_REST = 128 << 20  # a rest that large is split off whatever the size


@dataclass(slots=True)
class _Chunk:
    """A piece of a region, between its neighbours."""

    region: int
    start: int
    size: int
    before: "_Chunk | None" = None
    after: "_Chunk | None" = None
    free: bool = False

    def key(self) -> tuple[int, int, int]:
        """Free chunks are tried in this order."""
        return self.size, self.region, self.start


class Arena:
    """Allocates and frees by name, and knows how much was `touched`."""

    def __init__(self) -> None:
        self._next = _FIRST_REGION
        self._free: list[tuple[int, int, int]] = []
        self._chunks: dict[tuple[int, int], _Chunk] = {}
        self._held: dict[str, _Chunk] = {}
        self._regions = 0
        self._reached: dict[int, list[tuple[int, int]]] = {}

    @property
    def touched(self) -> int:
        """Bytes that were handed out at least once."""
        return sum(stop - start for spans in self._reached.values() for start, stop in _union(spans))

    def allocate(self, name: str, size: int) -> None:
        """Find room for `size` bytes."""
        wanted = max(_SMALLEST, -(-size // _SMALLEST) * _SMALLEST)
        chunk = self._fitting(wanted) or self._extended(wanted)
        chunk.free = False
        if chunk.size >= 2 * wanted or chunk.size - wanted >= _REST:
            self._split(chunk, wanted)
        self._held[name] = chunk
        spans = self._reached.setdefault(chunk.region, [])
        spans.append((chunk.start, chunk.start + wanted))
        if len(spans) > 64:
            self._reached[chunk.region] = _union(spans)

    def release(self, name: str) -> None:
        """Give back what `allocate` found."""
        chunk = self._held.pop(name)
        for neighbour in (chunk.after, chunk.before):
            if neighbour is not None and neighbour.free:
                self._take(neighbour)
                chunk = self._joined(*sorted((chunk, neighbour), key=lambda c: c.start))
        self._put(chunk)

    def _fitting(self, wanted: int) -> _Chunk | None:
        for size, region, start in self._free:
            if size >= wanted:
                chunk = self._chunks[region, start]
                self._take(chunk)
                return chunk
        return None

    def _extended(self, wanted: int) -> _Chunk:
        grown = False
        while wanted > self._next:
            self._next *= 2
            grown = True
        chunk = _Chunk(self._regions, 0, self._next)
        self._chunks[chunk.region, 0] = chunk
        self._regions += 1
        if not grown:
            self._next *= 2
        return chunk

    def _split(self, chunk: _Chunk, wanted: int) -> None:
        rest = _Chunk(chunk.region, chunk.start + wanted, chunk.size - wanted, chunk, chunk.after)
        if chunk.after is not None:
            chunk.after.before = rest
        chunk.after, chunk.size = rest, wanted
        self._chunks[rest.region, rest.start] = rest
        self._put(rest)

    def _joined(self, left: _Chunk, right: _Chunk) -> _Chunk:
        left.size += right.size
        left.after = right.after
        if right.after is not None:
            right.after.before = left
        del self._chunks[right.region, right.start]
        return left

    def _put(self, chunk: _Chunk) -> None:
        chunk.free = True
        insort(self._free, chunk.key())

    def _take(self, chunk: _Chunk) -> None:
        chunk.free = False
        self._free.remove(chunk.key())


def _union(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes in spans that do not overlap."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
