"""What a device believes of its repository: signed metadata of The Update Framework, kept on disk.

The rules are those of the TUF specification's client workflow (section 5), as python-tuf carries them out: signatures
by the keys that the root names, versions that only rise, one snapshot of everything, and an expiry. Beside them a
lower bound of the clock, because an expiry says nothing to a device that believes it is 1970: the latest time that
anybody whom the device trusts has told it. Without a network the metadata on disk answers until it expires.
"""

import http.client
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import FleetError, InputError, TransferError
from edge_runtime.files import write_text

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile
    from tuf.ngclient import FetcherInterface, Updater

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[1-9][0-9]{0,8}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.bundle")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST = 1 << 32  # bytes that any file may have
_SECONDS = 30.0  # without a byte, after which a connection is given up


@dataclass(frozen=True, slots=True)
class Delta:
    """A patch: SHA-256 and bytes of the blob that it is."""

    sha256: str
    length: int


@dataclass(frozen=True, slots=True)
class Signed:
    """What the metadata says of a version.

    Args:
        path: its target path, such as "kws/3/rpi4.bundle".
        sha256: of the bundle.
        length: of the bundle, in bytes.
        deltas: patches by the SHA-256 of the version that they begin with.
        url: the repository's, below which `blobs/` is.
        custom: all that the repository says of it beside: name, version, target, metrics.
    """

    path: str
    sha256: str
    length: int
    deltas: Mapping[str, Delta] = field(default_factory=dict)
    url: str = ""
    custom: Mapping[str, Any] = field(default_factory=dict)


class UnlistedError(FleetError):
    """The metadata is good, and does not list the path: withdrawn, or newer than what a cache on the way has."""


class Trust:
    """The metadata of one repository as one device knows it.

    Args:
        folder: where it is kept.
        url: the repository's URL, http or https.
        root: the root metadata that the device was given when it enrolled; everything is measured by it.
        clock: seconds since 1970.
        context: TLS: whom to trust and as whom to come; None for the system's authorities.

    Raises:
        FleetError: the root is no root, or not signed by itself.
        InputError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        url: str,
        root: bytes,
        clock: Callable[[], float] = time.time,
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.folder, self.url, self.clock, self.context = Path(folder), url.rstrip("/"), clock, context
        self._root = root
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror})") from error
        self._updater: Updater | None = None
        self._open(offline=True)

    def learn_time(self, seconds: float) -> None:
        """Take a time that somebody trusted has told, such as `Desired.time`, as the clock's lower bound."""
        if seconds > self.lower_bound() + 60:  # a file that is written once a minute at most
            write_text(self.folder / "time.json", json.dumps(int(seconds)))

    def lower_bound(self) -> float:
        """The latest time that was learnt, seconds since 1970; it is at least that late now."""
        try:
            return float(json.loads((self.folder / "time.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return 0.0

    def now(self) -> float:
        """The time by which expiry is judged, seconds since 1970."""
        return max(self.clock(), self.lower_bound())

    def refresh(self) -> None:
        """Fetch what is newest.

        Raises:
            TransferError: the repository cannot be reached; what is on disk still counts.
            FleetError: what came is forged, replayed, older, expired or does not belong together; nothing was taken.
        """
        self._updater = self._refreshed(offline=False)
        self.learn_time(self.clock())

    def release(self, path: str, *, fresh: bool = True) -> Signed:
        """What is signed of a version.

        Args:
            path: its target path.
            fresh: ask the repository first; where it cannot be reached, and if False, what is on disk answers.

        Raises:
            UnlistedError: it is not listed (any more).
            FleetError: what came is not to be believed, or what is on disk has expired.
            TransferError: the repository cannot be reached, and the disk does not know it.
        """
        if not _PATH.fullmatch(path):
            raise FleetError(f"{path[:100]!r} is no target path; expected NAME/VERSION/TARGET.bundle")
        away: TransferError | None = None
        if fresh:
            try:
                self.refresh()
            except TransferError as error:
                away = error
                self._updater = None
        try:
            if self._updater is None:
                self._updater = self._refreshed(offline=True)
            with _Said(self):
                found = self._updater.get_targetinfo(path)
        except (TransferError, FleetError) as error:
            raise away or error from error  # what can be reached later may be newer
        if found is None and away is not None:
            raise away  # a release that is newer than what is on disk
        if found is None:
            raise UnlistedError(f"{path} is not listed by {self.url}: it was withdrawn, or never published")
        return self._read(path, found)

    def _read(self, path: str, found: "TargetFile") -> Signed:
        """The fields of a target, each within its bounds: whoever holds a model's key may have signed nonsense."""
        try:
            custom = found.custom or {}
            digest, length = found.hashes["sha256"], found.length
            deltas = {
                old: Delta(entry["sha256"], entry["length"])
                for old, entry in custom.get("deltas", {}).items()
            }
            digests = [digest, *deltas, *(each.sha256 for each in deltas.values())]
            lengths = [length, *(each.length for each in deltas.values())]
            if not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in digests):
                raise ValueError("a SHA-256 is none")
            if not all(type(each) is int and 0 < each <= _MOST for each in lengths):
                raise ValueError("a length is out of bounds")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise FleetError(f"{path}: what is signed of it is not complete: {error}") from error
        return Signed(path, digest, length, deltas, self.url, custom)

    def _refreshed(self, *, offline: bool) -> "Updater":
        with _Said(self):
            updater = self._open(offline=offline)
            updater.refresh()
        return updater

    def _open(self, *, offline: bool) -> "Updater":
        from tuf.ngclient import Updater, UpdaterConfig

        with _Said(self):
            updater = Updater(
                str(self.folder),
                f"{self.url}/metadata/",
                fetcher=self._fetcher(offline=offline),
                config=UpdaterConfig(max_root_rotations=64),
                bootstrap=self._root,
            )
        # The one place where python-tuf takes the time; it asks the system's clock and offers no other way.
        updater._trusted_set.reference_time = datetime.fromtimestamp(self.now(), UTC)
        return updater

    def _fetcher(self, *, offline: bool) -> "FetcherInterface":
        from tuf.api.exceptions import DownloadError, DownloadHTTPError
        from tuf.ngclient import FetcherInterface

        folder, context = self.folder, self.context

        class Disk(FetcherInterface):  # type: ignore[misc]
            """The answers of a repository that has nothing new."""

            def _fetch(self, url: str) -> Iterator[bytes]:
                name = url.rpartition("/")[2]
                if name.endswith(".root.json"):
                    raise DownloadHTTPError("nothing newer is known", 404)
                version, _, rest = name.partition(".")
                name = rest if version.isdigit() else name  # on disk they have no version
                try:
                    return iter([(folder / name).read_bytes()])
                except OSError as error:
                    raise DownloadError(f"{name} is not on disk") from error

        class Network(FetcherInterface):  # type: ignore[misc]
            def _fetch(self, url: str) -> Iterator[bytes]:
                connection = connect(url, context)
                answer = ask(connection, url)
                if answer.status != http.client.OK:
                    connection.close()
                    raise DownloadHTTPError(f"{url}: {answer.status} {answer.reason}", answer.status)
                return _read_all(connection, answer)

        return Disk() if offline else Network()


def connect(
    url: str, context: ssl.SSLContext | None, seconds: float = _SECONDS
) -> http.client.HTTPConnection:
    """A connection to the URL's host, which opens when it is first used.

    Raises:
        TransferError: the URL is none.
    """
    parts = urllib.parse.urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host:
        raise TransferError(f"{url[:200]}: expected a URL that begins with https:// or http://")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    return http.client.HTTPConnection(host, port, timeout=seconds)


def ask(
    connection: http.client.HTTPConnection, url: str, span: tuple[int, int] | None = None
) -> http.client.HTTPResponse:
    """Ask for a file, or for its bytes from the first of `span` to before the second; follows no redirection.

    Raises:
        TransferError: there is no answer in HTTP.
    """
    headers = {"Accept-Encoding": "identity"}
    if span is not None:
        headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
    try:
        connection.request("GET", urllib.parse.urlsplit(url).path or "/", headers=headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise TransferError(f"{url}: cannot be reached: {error or type(error).__name__}") from error


def _read_all(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read1(1 << 16):
            yield block
    finally:
        connection.close()


class _Said:
    """Turns what python-tuf raises into one sentence of ours."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from tuf.api import exceptions
        from tuf.api.serialization import DeserializationError

        url = self._trust.url
        if isinstance(error, exceptions.ExpiredMetadataError):
            clock = datetime.fromtimestamp(self._trust.now(), UTC)
            raise FleetError(
                f"{url}: its metadata has expired ({error}): the repository is not kept fresh, somebody holds newer "
                f"metadata back, or this device's clock is wrong; it says {clock:%Y-%m-%d %H:%M} UTC"
            ) from error
        if isinstance(error, exceptions.BadVersionNumberError):
            raise FleetError(
                f"{url}: an older version than is known here was sent, and refused: {error}"
            ) from error
        if isinstance(error, exceptions.UnsignedMetadataError):
            raise FleetError(f"{url}: not signed by a key that is trusted, and refused: {error}") from error
        if isinstance(error, exceptions.DownloadLengthMismatchError):
            raise FleetError(f"{url}: more was sent than metadata may have, and refused: {error}") from error
        if isinstance(error, exceptions.LengthOrHashMismatchError):
            raise FleetError(f"{url}: what was sent is not what is signed, and refused: {error}") from error
        if isinstance(
            error, exceptions.RepositoryError | DeserializationError | KeyError | ValueError | TypeError
        ):
            raise FleetError(f"{url}: its metadata is damaged or forged, and refused: {error}") from error
        if isinstance(error, exceptions.DownloadError | OSError | http.client.HTTPException):
            raise TransferError(f"{url}: cannot be reached: {error}") from error
