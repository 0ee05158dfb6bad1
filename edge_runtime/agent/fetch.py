"""Fetching a bundle: a patch where there is one, else the whole; what breaks is resumed, and only what is signed stays.

Blobs are named by their SHA-256 below ``blobs/sha256/``, and asked for block by block (Range, RFC 9110 section 14) over
one connection. A block is on disk before the next is asked for, so that an interruption, whatever it is, costs a block
at most. Nobody on the way is trusted: no more is written than is signed, and what is whole is checked before it gets
its name. A patch is applied by a process of its own, which takes the memory that it needs with it when it ends.
"""

import http.client
import os
import random
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.agent.trust import Delta, Signed, ask, connect
from edge_runtime.child import python
from edge_runtime.errors import TransferError
from edge_runtime.files import sha256

if TYPE_CHECKING:
    from io import FileIO as _Raw

BLOCK = 512 << 10
"""Bytes that are asked for at a time."""
_READ = 64 << 10
_TRIES = 6  # in a row that bring nothing
_SPARE = 8 << 20  # bytes of disk that stay free
_SLOWEST = 256.0  # bytes a second, over a minute: who sends slower is taken for a broken line
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LATER = (408, 429, 500, 502, 503, 504)  # answers that another try may better

Progress = Callable[[int, int, int], None]
"""Told after each block: bytes that are here, bytes that there will be, bytes moved over the network so far."""


def fetch(
    signed: Signed,
    have: Mapping[str, Path],
    into: Path,
    *,
    max_kbps: float = 0,
    progress: Progress | None = None,
    context: ssl.SSLContext | None = None,
    key: bytes | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Bring a bundle here.

    Args:
        signed: what the metadata says of it.
        have: the bundles that are here, by their SHA-256; a patch may begin with one of them.
        into: the folder that it is put in, as SHA256.bundle; what is not whole yet lies beside it, and is resumed.
        max_kbps: kilobits a second that may be taken; 0 for no limit.
        progress: told how far it is.
        context: TLS, as of `Trust`.
        key: a sealed bundle's content key, so that patches can be used for it too.
        sleep: waits.

    Returns:
        The bundle's file, whose SHA-256 is the one that is signed.

    Raises:
        TransferError: the repository is out of reach, sends something else, or the disk is full. What came is kept.
    """
    final = into / f"{signed.sha256}.bundle"
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TransferError(f"{into}: cannot be written: {error.strerror}") from error
    if final.is_file() and sha256(final) == signed.sha256:
        return final
    line = _Line(
        signed, into, _Pace(max_kbps, sleep), progress or (lambda _done, _total, _moved: None), context
    )
    try:
        for old, delta in sorted(signed.deltas.items(), key=lambda item: item[1].length):
            if old in have and have[old].is_file() and delta.length < signed.length:
                try:
                    _patched(line, delta, have[old], final, key)
                except _PatchError:
                    break  # the whole is always there
                return final
        line.whole(signed.sha256, signed.length, final)
    finally:
        line.close()
    return final


def _wanted(signed: Signed) -> list[str]:
    return [signed.sha256, *(delta.sha256 for delta in signed.deltas.values())]


class _PatchError(TransferError):
    """The patch will not do."""


def _patched(line: "_Line", delta: Delta, old: Path, final: Path, key: bytes | None) -> None:
    """Fetch a patch, and make the bundle of it and of the old one."""
    patch, made = line.into / f"{delta.sha256}.patch", line.into / f"{final.stem}.made"
    try:
        line.whole(delta.sha256, delta.length, patch)
    except _MissingError as error:
        raise _PatchError(str(error)) from error
    try:
        line.check_disk(line.signed.length)
        command = [*python(), "-m", "edge_runtime.delta", str(old), str(patch), str(made)]
        done = subprocess.run(
            [*command, str(line.signed.length)],
            input=(key or b"").hex(),
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        if done.returncode or not made.is_file() or sha256(made) != line.signed.sha256:
            raise _PatchError((done.stderr.strip().splitlines() or ["the patch makes another file"])[-1])
        _keep(made, final)
    except subprocess.TimeoutExpired as error:
        raise _PatchError("the patch takes longer than half an hour") from error
    finally:
        made.unlink(missing_ok=True)
        patch.unlink(missing_ok=True)


def _keep(part: Path, final: Path) -> None:
    """Give a file that is whole its name, so that it has it after a power cut too."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _MissingError(TransferError):
    """The repository has no such blob, or refuses it."""


class _DiskError(TransferError):
    """What has come cannot be written, so that asking again would not help."""


def _put(file: "_Raw", content: bytes) -> None:
    """Write all of it; a disk that is almost full takes a part, and says so only the next time."""
    try:
        while content:
            content = content[file.write(content) :]
    except OSError as error:
        raise _DiskError(f"{file.name!s}: cannot be written: {error.strerror or error}") from error


class _Pace:
    """Waits so that no more than `kbps` kilobits a second are taken; 0 for no limit."""

    def __init__(self, kbps: float, sleep: Callable[[float], None]) -> None:
        self._kbps, self.sleep, self._free = kbps, sleep, 0.0

    def now(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def took(self, count: int) -> None:
        """Wait as long as these bytes were allowed to take."""
        if self._kbps > 0:
            now = self.now()
            self._free = max(self._free, now) + count * 8 / (1000 * self._kbps)
            if self._free > now:
                self.sleep(self._free - now)


class _Line:
    """The connection to a repository for one bundle."""

    def __init__(
        self, signed: Signed, into: Path, pace: _Pace, progress: Progress, context: ssl.SSLContext | None
    ) -> None:
        self.signed, self.into = signed, into
        self._pace, self._progress, self._context = pace, progress, context
        self._connection: http.client.HTTPConnection | None = None
        self._moved = 0

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def whole(self, digest: str, length: int, final: Path) -> None:
        """Bring a blob here, and check it.

        Raises:
            TransferError: it cannot be reached, is another one, or the disk is full.
        """
        part = self.into / f"{digest}.part"
        resumed = part.is_file() and part.stat().st_size > 0
        self._all(digest, length, part)
        if sha256(part) != digest:
            part.unlink()
            if not resumed:
                raise TransferError(
                    f"{self._url(digest)}: what was sent is not what is signed (another SHA-256), and was thrown away"
                )
            self.whole(
                digest, length, final
            )  # an earlier power cut may have left damage: once more from the start
            return
        _keep(part, final)

    def check_disk(self, count: int) -> None:
        """Refuse what does not fit.

        Raises:
            TransferError: there is less free disk than that.
        """
        free = shutil.disk_usage(self.into).free
        if free < count + _SPARE:
            raise TransferError(
                f"{self.into}: {free / 1e6:.1f} MB of disk are free, and {(count + _SPARE) / 1e6:.1f} MB are needed; "
                "make room, and it goes on from where it is"
            )

    def _all(self, digest: str, length: int, part: Path) -> None:
        """Add to the part that is here until it is as long as it should be."""
        failed = 0
        if part.is_file() and part.stat().st_size > length:
            part.unlink()
        self.check_disk(length - (part.stat().st_size if part.is_file() else 0))
        try:
            with part.open("ab", buffering=0) as file:
                while (here := file.tell()) < length:
                    try:
                        self._block(digest, here, length, file)
                        os.fsync(file.fileno())
                    except (_MissingError, _DiskError):
                        if not file.tell():
                            part.unlink()
                        raise
                    except TransferError as error:
                        self.close()
                        failed = 1 if file.tell() > here else failed + 1
                        if failed >= _TRIES:
                            raise TransferError(
                                f"{error}; {file.tell()} of {length} bytes are here, and the rest is fetched later"
                            ) from error
                        self._pace.sleep(min(2.0**failed, 60.0) * random.uniform(0.5, 1.0))  # noqa: S311 - a pause
                    self._progress(file.tell(), length, self._moved)
        except OSError as error:
            raise TransferError(f"{part}: cannot be written: {error.strerror or error}") from error

    def _block(self, digest: str, start: int, length: int, file: "_Raw") -> None:
        """Ask for one block from `start` on, and write what comes of it."""
        url, stop = self._url(digest), min(start + BLOCK, length)
        if self._connection is None:
            self._connection = connect(url, self._context)
        answer = ask(self._connection, url, (start, stop))
        skip, stop = self._skip(answer, url, start, stop, length)
        at, began, last = start - skip, self._pace.now(), 0.0
        try:
            while at < stop:
                content = answer.read1(min(_READ, stop - at))
                if not content:
                    raise TransferError(f"{url}: the line broke")
                self._moved += len(content)
                if at + len(content) > start:
                    _put(file, content[max(0, start - at) :])
                at += len(content)
                self._pace.took(len(content))
                last = self._pace.now() - began
                if last > 60 and at - start + skip < _SLOWEST * last:
                    raise TransferError(f"{url}: sends less than {_SLOWEST:.0f} bytes a second")
            if answer.read1(1):
                raise TransferError(f"{url}: sends more than it was asked for")
            answer.close()  # the connection stays, for the next block
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransferError(f"{url}: the line broke: {error or type(error).__name__}") from error

    def _skip(
        self, answer: http.client.HTTPResponse, url: str, start: int, stop: int, length: int
    ) -> tuple[int, int]:
        """How many bytes the answer sends before `start`, and where it ends; refuses what does not fit.

        A server that knows no ranges sends the whole: of that all is taken, so that it is sent but once.
        """
        if answer.status == http.client.PARTIAL_CONTENT:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            fits = found and int(found[1]) == start and found[2] in (str(length), "*")
            if fits and answer.length in (None, stop - start):
                return 0, stop
            said = answer.headers.get("Content-Range", "nothing")
            raise _MissingError(
                f"{url}: sends {said[:80]!r}; bytes {start} to {stop - 1} of {length} were asked for"
            )
        if answer.status == http.client.OK:
            if answer.length not in (None, length):
                raise _MissingError(f"{url}: has {answer.length} bytes, and {length} are signed")
            return start, length
        text = f"{url}: answers {answer.status} {answer.reason}"
        raise (TransferError if answer.status in _LATER else _MissingError)(text)

    def _url(self, digest: str) -> str:
        return f"{self.signed.url}/blobs/sha256/{digest[:2]}/{digest}"
