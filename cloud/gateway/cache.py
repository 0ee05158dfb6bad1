"""Bundles and metadata read through: what one device of the site asks for is there for all others.

A blob is named by its SHA-256, so nobody need be asked whether it is still the newest. It crosses the uplink once:
whoever asks while it is on its way waits for the same bytes, and reads them as they come. What broke off is resumed. A
blob gets its name in the cache only when its digest is right; devices check it themselves in any case, so a gateway
has nothing to be trusted with. Metadata is never judged here: each file but the timestamp has its version in its name,
and the timestamp is asked for anew, the last one standing in while the cloud is away (until it expires, as signed).
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from edge_runtime.agent.trust import ask, connect
from edge_runtime.errors import TransferError
from edge_runtime.files import sha256

DIGEST = re.compile(r"[0-9a-f]{64}")
METADATA = re.compile(r"(?:[0-9]{1,9}\.)?[A-Za-z0-9._-]{1,128}\.json")
_READ = 64 << 10
_CHUNK = 256 << 10
_TRIES = 5
_METADATA_BYTES = 16 << 20
_FRESH_S = 2.0  # how long a timestamp answers for others
_TIMEOUT_S = 30.0
_LOG = logging.getLogger("cloud.gateway")


class MissingError(TransferError):
    """The cloud has no such file."""


class _RangeError(TransferError):
    """What is here already is not the beginning of the file."""


class Upstream:
    """The cloud's repository.

    Args:
        url: where it is.
        context: gives TLS, anew for each connection; None within for plain HTTP.
    """

    def __init__(self, url: str, context: Callable[[], ssl.SSLContext | None]) -> None:
        self.url, self._context = url.rstrip("/"), context
        self.asked: Counter[str] = Counter()  # requests, by path
        self.bytes = 0  # of bodies that crossed the uplink
        self._lock = threading.Lock()

    def read(self, path: str, begin: int, take: Callable[[int, int, bytes], None]) -> None:
        """Read a file from the byte `begin` on; `take` is told (offset, length of the whole, bytes).

        Raises:
            MissingError: there is none.
            TransferError: the cloud cannot be reached, or the connection broke.
        """
        url = f"{self.url}/{path}"
        connection = connect(url, self._context(), _TIMEOUT_S)
        with self._lock:
            self.asked[path] += 1
        try:
            answer = ask(connection, url, (begin, 1 << 53) if begin else None)
            if answer.status == 404:
                raise MissingError(f"{url}: there is no such file")
            if answer.status == 416:
                raise _RangeError(f"{url}: has fewer than {begin} bytes")
            if answer.status not in (200, 206):
                raise TransferError(f"{url}: {answer.status} {answer.reason}")
            at = begin if answer.status == 206 else 0
            length = at + int(answer.getheader("Content-Length") or 0)
            take(at, length, b"")
            while block := answer.read1(_READ):
                with self._lock:
                    self.bytes += len(block)
                take(at, length, block)
                at += len(block)
            if at != length:
                raise TransferError(f"{url}: the connection broke after {at} of {length} bytes")
        except (OSError, ValueError) as error:
            raise TransferError(f"{url}: {error}") from error
        finally:
            connection.close()


class Download:
    """One blob on its way; readers wait for the bytes they want. `size` is -1 until it is known."""

    def __init__(self, part: Path, final: Path, digest: str) -> None:
        self.part, self.final, self.digest = part, final, digest
        part.touch()
        self._file = part.open("rb")  # the same file under whatever name, for as long as somebody reads
        self.size, self.have, self.done = -1, 0, False
        self.error: TransferError | None = None
        self.task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def until(self, count: int) -> None:
        """Return when so many bytes are there, or it is known that there are fewer.

        Raises:
            TransferError: it failed.
        """
        while not self.done and (self.size < 0 or self.have < min(count, self.size)):
            if self.error:
                raise self.error
            changed = self._changed
            await changed.wait()
        if self.error and self.have < count:
            raise self.error

    def read(self, start: int, count: int) -> bytes:
        """Bytes that are there."""
        return os.pread(self._file.fileno(), count, start)

    def run(self, upstream: Upstream) -> None:
        """Bring it here; in a thread."""
        path = f"blobs/sha256/{self.digest[:2]}/{self.digest}"
        try:
            if sha256(self.part) != self.digest:  # whole, but for its name
                self._fetch(upstream, path)
            self._keep(path, upstream)
        except TransferError as error:
            self._tell(error=error)
        except OSError as error:
            self._tell(error=TransferError(f"{self.part}: cannot be written: {error.strerror}"))

    def _fetch(self, upstream: Upstream, path: str) -> None:
        for number in range(_TRIES):
            try:
                self._once(upstream, path)
            except MissingError:
                raise
            except _RangeError:
                os.truncate(self.part, 0)
            except TransferError:
                if number + 1 == _TRIES:
                    raise
                time.sleep(0.2 * 2**number)
            else:
                return

    def _once(self, upstream: Upstream, path: str) -> None:
        begin = self.part.stat().st_size
        with self.part.open("r+b") as stream:

            def take(at: int, length: int, block: bytes) -> None:
                if not block:  # the beginning: from where the cloud sends, which may be the first byte again
                    stream.seek(at)  # over what is there: readers may have it open, and it is the same
                    stream.truncate(max(at, min(begin, length)))
                    self._tell(size=length, have=at)
                    return
                stream.write(block)
                stream.flush()
                self._tell(size=length, have=at + len(block))

            upstream.read(path, begin, take)

    def _keep(self, path: str, upstream: Upstream) -> None:
        if sha256(self.part) != self.digest:
            self.part.unlink()
            raise TransferError(
                f"{upstream.url}/{path}: what came is not what its name says, and was thrown away"
            )
        with self.part.open("rb") as stream:
            os.fsync(stream.fileno())
            size = os.fstat(stream.fileno()).st_size
        self.part.replace(self.final)
        self._tell(size=size, have=size, done=True)

    def _tell(
        self,
        *,
        size: int | None = None,
        have: int | None = None,
        done: bool = False,
        error: TransferError | None = None,
    ) -> None:
        def change() -> None:
            self.size = self.size if size is None else size
            # bytes that were read out already are the same when they come again
            self.have = self.have if have is None else max(self.have, have)
            self.done, self.error = self.done or done, error or self.error
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(change)


class Cache:
    """The cache in a folder; used on one event loop.

    Args:
        folder: blobs/ and metadata/ lie in it.
        upstream: the cloud's repository.
        max_bytes: of blobs; the least recently asked for go first.
    """

    def __init__(self, folder: Path, upstream: Upstream, max_bytes: int = 4 << 30) -> None:
        self._blobs, self._metadata, self.upstream = folder / "blobs", folder / "metadata", upstream
        self.max_bytes = max_bytes
        self._open: dict[str, Download] = {}
        self._asking: dict[str, asyncio.Task[bytes]] = {}
        self._fresh: dict[str, float] = {}
        for each in (self._blobs, self._metadata):
            each.mkdir(parents=True, exist_ok=True)

    async def blob(self, digest: str) -> tuple[int, Callable[[int, int], AsyncIterator[bytes]]]:
        """Length of a blob, and what reads it from one byte to before another.

        Raises:
            MissingError: the cloud has none of that name.
            TransferError: it is not here, and the cloud cannot be reached.
        """
        final = self._blobs / digest
        if digest not in self._open and final.is_file():
            with suppress(OSError):
                os.utime(final)
            file = final.open("rb")  # stays readable, whatever is thrown out meanwhile
            size = os.fstat(file.fileno()).st_size

            async def kept(start: int, stop: int) -> AsyncIterator[bytes]:
                with file:
                    file.seek(start)
                    while start < stop:
                        block = file.read(min(_CHUNK, stop - start))
                        start += len(block)
                        yield block
                        await asyncio.sleep(0)

            return size, kept
        download = self._open.get(digest) or self._begin(digest)
        while download.size < 0:
            await download.until(1)

        async def coming(start: int, stop: int) -> AsyncIterator[bytes]:
            while start < stop:
                await download.until(min(start + _READ, stop))
                block = download.read(start, min(stop, download.have, start + _CHUNK) - start)
                start += len(block)
                yield block

        return download.size, coming

    def _begin(self, digest: str) -> Download:
        download = Download(self._blobs / f"{digest}.part", self._blobs / digest, digest)
        self._open[digest] = download

        async def run() -> None:
            try:
                await asyncio.to_thread(download.run, self.upstream)
                if download.error:
                    _LOG.warning("%s", download.error)
                await asyncio.sleep(0)  # what the thread told last
            finally:
                self._open.pop(digest, None)
                await asyncio.to_thread(self._evict)

        download.task = asyncio.create_task(run())
        return download

    def _evict(self) -> None:
        files = []
        for path in self._blobs.iterdir():
            with suppress(OSError):
                found = path.stat()
                files.append((found.st_mtime_ns, found.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files, key=lambda each: each[0]):
            if total <= self.max_bytes:
                return
            if path.name.removesuffix(".part") not in self._open:
                path.unlink(missing_ok=True)
                total -= size

    def held(self) -> tuple[int, int]:
        """Number and bytes of the blobs that are here."""
        sizes = [path.stat().st_size for path in self._blobs.iterdir() if DIGEST.fullmatch(path.name)]
        return len(sizes), sum(sizes)

    async def metadata(self, name: str) -> bytes:
        """A metadata file.

        Raises:
            MissingError: there is none.
            TransferError: it is not here, and the cloud cannot be reached.
        """
        path, changes = self._metadata / name, not name[:1].isdigit()
        if path.is_file() and (not changes or time.monotonic() - self._fresh.get(name, -1e9) < _FRESH_S):
            return path.read_bytes()
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(asyncio.to_thread(self._ask, name))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        try:
            content = await asyncio.shield(task)
        except MissingError:
            raise
        except TransferError:
            if path.is_file():
                return path.read_bytes()
            if name.endswith(".root.json") and (self._metadata / "timestamp.json").is_file():
                # a device asks for the next root until there is none; while the cloud is away, the last one is here
                raise MissingError(f"{name}: no newer root is known here") from None
            raise
        if changes:
            self._fresh[name] = time.monotonic()
        return content

    def _ask(self, name: str) -> bytes:
        parts: list[bytes] = []

        def take(_at: int, length: int, block: bytes) -> None:
            if length > _METADATA_BYTES:
                raise TransferError(f"{name} has {length} bytes; at most {_METADATA_BYTES} are taken")
            parts.append(block)

        self.upstream.read(f"metadata/{name}", 0, take)
        content = b"".join(parts)
        try:
            json.loads(content)
        except ValueError as error:
            raise TransferError(f"{name}: what came is no JSON, and was thrown away") from error
        beside = self._metadata / f".{hashlib.sha256(name.encode()).hexdigest()[:16]}.{threading.get_ident()}"
        beside.write_bytes(content)
        beside.replace(self._metadata / name)
        return content
