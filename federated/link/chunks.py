"""Transfers in chunks that go on where they stopped.

A transfer is known by the SHA-256 of what it carries, of which 128 bits are kept: frames are sealed, so only who holds
the key could look for two payloads with one digest, and would find that 2^64 attempts are needed (NIST SP 800-107
Rev. 1, section 5.1). Every frame says of which transfer it is, so none depends on one before it. The first byte is the
link's version in four bits, then the kind in four::

    0  all of a transfer that fits into one chunk: payload; its digest is the receiver's to compute
    5  the answer "I have it all, and its digest is right": digest (16)
    others:  digest (16)  uint64 size  uint32 chunk_bytes  uint32 index  payload        (little-endian)
    1  chunk `index` of several
    2  the answer "chunk `index` is here"; only then the next one is sent
    3  an offer, the `index`-th: "I am sending this; what of it do you lack?"   asked after every break
    4  the answer to offer `index`, "I lack these": pairs of uint32, first and last + 1

Frames keep their order and one chunk of a transfer is on its way at a time. So an answer to an offer lacks only what is
lost, and whatever breaks, and whatever a broker sends once more by itself: at most one chunk travels again.
"""

import base64
import hashlib
import os
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from edge_runtime.errors import TransferError

VERSION = 2
WHOLE, CHUNK, ACK, OFFER, WANT, DONE = (bytes((VERSION << 4 | number,)) for number in range(6))
DIGEST_BYTES = 16
_TICKET_BYTES = 8
_FRONT = struct.Struct(f"<c{DIGEST_BYTES}sQII")
_PAIR = struct.Struct("<II")
DEFAULT_CHUNK_BYTES = 256 << 10
CHUNK_BYTES = (1 << 10, 4 << 20)
MAX_BYTES = 1 << 30
_OPEN = 4  # unfinished transfers of one sender; the oldest gives way
_REMEMBERED = 256
_MAX_CHUNKS = 1 << 16
Ranges = Sequence[tuple[int, int]]


def digest_of(payload: bytes | bytearray | memoryview) -> bytes:
    """The digest by which a transfer of this payload is known: 16 bytes."""
    return hashlib.sha256(payload).digest()[:DIGEST_BYTES]


def ticket(digest: bytes) -> str:
    """A short name of a transfer, by which an answer says what it answers: 11 letters."""
    return base64.urlsafe_b64encode(digest[:_TICKET_BYTES]).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class About:
    """What frames say of their transfer."""

    digest: bytes
    size: int
    chunk_bytes: int

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.size // self.chunk_bytes)

    def length(self, index: int) -> int:
        """The bytes of chunk `index`."""
        return min(self.chunk_bytes, self.size - index * self.chunk_bytes)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, read and found to be possible."""

    kind: bytes
    about: About
    index: int
    payload: bytes


def pack(kind: bytes, about: About, index: int = 0, payload: bytes | memoryview = b"") -> bytes:
    """A frame as bytes."""
    if kind in (WHOLE, DONE):
        return b"".join([kind, payload if kind == WHOLE else about.digest])
    return b"".join([_FRONT.pack(kind, about.digest, about.size, about.chunk_bytes, index), payload])


def unpack(data: bytes, max_bytes: int = MAX_BYTES) -> Frame:
    """Read a frame.

    Raises:
        TransferError: it is not one, or of a transfer beyond `max_bytes`.
    """
    if data and data[0] >> 4 != VERSION:
        raise TransferError(
            f"a frame of version {data[0] >> 4} of the link; this end speaks version {VERSION}"
        )
    if data[:1] == DONE and len(data) == 1 + DIGEST_BYTES:
        return Frame(DONE, About(data[1:], 0, 0), 0, b"")
    if data[:1] == WHOLE:
        payload = data[1:]
        if not 0 < len(payload) <= min(max_bytes, CHUNK_BYTES[1]):
            raise TransferError(f"a transfer of {len(payload)} bytes; {max_bytes} bytes are accepted")
        return Frame(WHOLE, About(digest_of(payload), len(payload), CHUNK_BYTES[1]), 0, payload)
    if len(data) < _FRONT.size:
        raise TransferError(f"{len(data)} bytes are not a frame")
    kind, digest, size, chunk_bytes, index = _FRONT.unpack_from(data)
    about, payload = About(digest, size, chunk_bytes), data[_FRONT.size :]
    small, large = CHUNK_BYTES
    if not (0 < size <= max_bytes and small <= chunk_bytes <= large and about.chunks <= _MAX_CHUNKS):
        raise TransferError(
            f"a transfer of {size} bytes in chunks of {chunk_bytes}; {max_bytes} bytes are accepted"
        )
    if kind == CHUNK:
        fits = index < about.chunks and len(payload) == about.length(index)
    elif kind == WANT:
        fits = len(payload) % _PAIR.size == 0
    else:
        fits = kind in (ACK, OFFER) and not payload
    if not fits:
        raise TransferError(
            f"a frame {kind!r} with {len(payload)} bytes, chunk {index} of {about.chunks}, is none"
        )
    return Frame(kind, about, index, payload)


class Sending:
    """One transfer on its way out."""

    def __init__(self, payload: bytes, chunk_bytes: int = DEFAULT_CHUNK_BYTES) -> None:
        self.payload = payload
        self.about = About(digest_of(payload), len(payload), chunk_bytes)
        self.delivered = False
        self._left: Iterator[int] = iter(())
        self._waited_for: int | None = None
        self._offers = 0

    def start(self) -> Iterator[bytes]:
        """The first chunk, for `next` to follow."""
        return self._send([(0, self.about.chunks)])

    def missing(self, ranges: Ranges, offer: int) -> Iterator[bytes]:
        """The first chunk of these ranges, which alone are lacking, if this answers the last offer."""
        if offer == self._offers and self._waited_for is None:
            yield from self._send(ranges)

    def next(self, index: int) -> Iterator[bytes]:
        """The chunk after `index`, if it was `index` that was waited for."""
        if self._waited_for is not None and index == self._waited_for:
            yield from self._chunk()

    def _send(self, ranges: Ranges) -> Iterator[bytes]:
        self._left = chain.from_iterable(range(first, end) for first, end in ranges)
        yield from self._chunk()

    def _chunk(self) -> Iterator[bytes]:
        index = next(self._left, None)
        self._waited_for = index
        if index is not None:
            start = index * self.about.chunk_bytes
            part = memoryview(self.payload)[start : start + self.about.chunk_bytes]
            yield pack(CHUNK if self.about.chunks > 1 else WHOLE, self.about, index, part)

    def offer(self) -> bytes:
        """The question what of it is lacking; nothing more is sent until it is answered."""
        self._offers, self._waited_for = self._offers + 1, None
        return pack(OFFER, self.about, self._offers)


def wanted(frame: Frame) -> Ranges:
    """The ranges of a "W" frame.

    Raises:
        TransferError: they are not in order, or beyond the transfer.
    """
    ranges = list(_PAIR.iter_unpack(frame.payload))
    last = 0
    for first, end in ranges:
        if not last <= first < end <= frame.about.chunks:
            raise TransferError(f"chunks {first} to {end} of {frame.about.chunks} cannot be asked for")
        last = end
    return ranges


class Incoming:
    """One transfer on its way in, in memory, or in a file that outlives the process."""

    def __init__(self, about: About, folder: Path | None = None) -> None:
        self.about = about
        self._path = folder / f"{about.digest.hex()}.part" if folder and about.chunks > 1 else None
        self._have = bytearray(about.chunks)
        self._data = bytearray(about.size)
        self.again = 0  # chunks that came although they were there
        if self._path is not None:
            self._recall(self._path)

    def _recall(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size == self.about.size + self.about.chunks:
            content = path.read_bytes()
            self._data[:], self._have[:] = content[: self.about.size], content[self.about.size :]
        else:
            with path.open(
                "wb"
            ) as stream:  # the flags behind the data: a chunk counts when its flag is there
                stream.truncate(self.about.size + self.about.chunks)

    def add(self, index: int, payload: bytes) -> None:
        """Take chunk `index`."""
        if self._have[index]:
            self.again += 1
            return
        start = index * self.about.chunk_bytes
        self._data[start : start + len(payload)] = payload
        self._have[index] = 1
        if self._path is not None:
            descriptor = os.open(self._path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, payload, start)
                os.pwrite(descriptor, b"\1", self.about.size + index)
            finally:
                os.close(descriptor)

    def missing(self) -> Ranges:
        """What has not come yet."""
        edges = [i for i in range(len(self._have) + 1) if self._at(i - 1) != self._at(i)]
        return list(zip(edges[::2], edges[1::2], strict=True))

    def _at(self, index: int) -> bool:
        return 0 <= index < len(self._have) and not self._have[index]

    def finish(self) -> bytearray | None:
        """All of it, once it is complete; None before. What has another digest than announced is dropped.

        Raises:
            TransferError: it has; every chunk is missing again.
        """
        if 0 in self._have:
            return None
        self.forget()
        if digest_of(self._data) != self.about.digest:
            self._have = bytearray(self.about.chunks)
            raise TransferError("a transfer has another SHA-256 than was announced; it is asked for again")
        return self._data

    def forget(self) -> None:
        """Remove the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a frame led to: a whole payload, or the digest of one that was complete before, and what to answer."""

    payload: bytes | bytearray | None = None
    again: bytes | None = None
    answers: tuple[bytes, ...] = ()


class Receiver:
    """All transfers from one sender; what a hostile one can fill is bounded."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._open: OrderedDict[bytes, Incoming] = OrderedDict()
        self._done: OrderedDict[bytes, None] = OrderedDict()
        self.again = 0  # chunks that came twice

    def remember(self, digest: bytes) -> None:
        """Count this transfer as received."""
        self._done[digest] = None
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        """Let this transfer be received anew."""
        self._done.pop(digest, None)

    def take(self, frame: Frame) -> Taken:
        """Take a chunk, or all of a short transfer, or an offer.

        Raises:
            TransferError: what came is damaged; it will be asked for again.
        """
        about = frame.about
        if about.digest in self._done:
            self.again += frame.kind != OFFER
            if frame.kind == CHUNK and frame.index != about.chunks - 1:
                return Taken()
            return Taken(again=about.digest, answers=(pack(DONE, about),))
        if frame.kind == WHOLE:
            if (opened := self._open.pop(about.digest, None)) is not None:
                opened.forget()
            self.remember(about.digest)
            return Taken(frame.payload, None, (pack(DONE, about),))
        incoming = self._incoming(about)
        if frame.kind == OFFER:
            return Taken(answers=(_want(incoming, frame.index),))
        before = incoming.again
        incoming.add(frame.index, frame.payload)
        self.again += incoming.again - before
        payload = incoming.finish()
        if payload is None:
            return Taken(answers=(pack(ACK, about, frame.index),))
        del self._open[about.digest]
        self.remember(about.digest)
        return Taken(payload, None, (pack(DONE, about),))

    def _incoming(self, about: About) -> Incoming:
        incoming = self._open.get(about.digest)
        if incoming is None or incoming.about != about:
            while len(self._open) >= _OPEN:
                self._open.popitem(last=False)[1].forget()
            incoming = self._open[about.digest] = Incoming(about, self._folder)
        return incoming


def _want(incoming: Incoming, offer: int) -> bytes:
    ranges = b"".join(_PAIR.pack(*each) for each in incoming.missing())
    return pack(WANT, incoming.about, offer, ranges)
