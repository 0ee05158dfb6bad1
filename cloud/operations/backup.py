"""Backup and restore of a cloud: one tar file with the database, the repository, the keys and the authority.

It may be taken while the cloud runs. The order makes it consistent: the database first, as one snapshot of its own;
then the repository's timestamp, then everything that the timestamp leads to - files of a repository are added and
never changed, so whatever the database or the timestamp names is there. `backup.json` stands first, `digests.json`,
the SHA-256 of each file, last; a restore checks every one before anything appears.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from sqlalchemy import make_url

from cloud.database import Database
from cloud.home import Home
from edge_runtime.console import progress
from edge_runtime.errors import BackendError, InputError
from edge_runtime.files import atomic, existing, sha256

_SCHEMA = 1
_ABOUT, _DIGESTS = "backup.json", "digests.json"
_SECRET = ("keys", "ca")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself; `database` is "sqlite" or "postgresql", `repository` whether it holds one."""

    schema: int
    version: str
    taken: float
    database: str
    repository: bool
    secrets: bool
    files: int = 0
    bytes: int = 0


def backup(home: Home, out: str | os.PathLike[str], *, database: str = "", secrets: bool = True) -> Backup:
    """Write the backup, readable by its owner alone.

    Args:
        home: the cloud's folder.
        out: the tar file; it must not exist yet.
        database: URL of the database; "" for the one in the folder.
        secrets: also the signing keys and the authority's; without them devices must be enrolled anew.

    Raises:
        InputError: there is no cloud in the folder, or `out` exists.
        BackendError: the database is away, or `pg_dump` is missing or failed.
    """
    existing(home.root, "the folder of a cloud")
    if Path(out).exists():
        raise InputError(f"{out}: exists already; a backup replaces nothing")
    url = database or home.database_url
    kind = make_url(url).get_backend_name()
    if not database:
        existing(home.root / "fleet.sqlite", "the database of a cloud; name another with --database")
    digests: dict[str, str] = {}
    size = 0
    with atomic(out) as partial, tempfile.TemporaryDirectory(dir=partial.parent) as scratch:
        partial.touch(mode=0o600)
        dump = _dump(url, kind, Path(scratch))
        files = [(dump, dump.name), *_files(home, secrets)]
        about = Backup(
            _SCHEMA,
            metadata.version("littoral"),
            time.time(),
            kind,
            home.repository.exists(),
            secrets,
            len(files),
        )
        with tarfile.open(partial, "w") as archive:
            _add(archive, _ABOUT, json.dumps(asdict(about)).encode())
            for path, name in progress(files, "backup"):
                digests[name] = _copy(archive, path, name)
                size += path.stat().st_size
            _add(archive, _DIGESTS, json.dumps(digests).encode())
        _flush(partial)
    return Backup(**{**asdict(about), "bytes": size})


def restore(archive: str | os.PathLike[str], home: Home, *, database: str = "") -> Backup:
    """Make a cloud's folder of a backup: whole and checked, or not at all.

    Args:
        archive: what `backup` wrote.
        home: the folder, which must be empty or missing.
        database: URL of an empty database, for a backup of PostgreSQL.

    Raises:
        InputError: it is no backup, is damaged, or the folder is not empty.
        BackendError: `pg_restore` is missing or failed.
    """
    existing(archive, "a backup")
    if home.root.exists() and any(home.root.iterdir()):
        raise InputError(f"{home.root}: is not empty; a restore replaces nothing, name another folder")
    with atomic(home.root) as partial:
        partial.mkdir(parents=True, mode=0o700)
        try:
            about = _extract(Path(archive), partial)
        except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
            raise InputError(f"{archive}: is no backup, or is damaged: {error}") from error
        if about.database != "sqlite":
            _load(partial / "fleet.dump", database)
    if about.database == "sqlite":
        checked = Database(home.database_url)
        checked.migrate()
        checked.close()
    return about


def _files(home: Home, secrets: bool) -> Iterator[tuple[Path, str]]:
    """Every file but the database, the repository's timestamp first."""
    stamp = home.repository / "metadata/timestamp.json"
    if stamp.exists():
        yield stamp, stamp.relative_to(home.root).as_posix()
    for path in (home.root / "cloud.json", home.anchor):
        if path.exists():
            yield path, path.name
    for folder in (home.repository, *((home.root / name for name in _SECRET) if secrets else ())):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path != stamp and not path.name.startswith("."):
                yield path, path.relative_to(home.root).as_posix()


def _dump(url: str, kind: str, scratch: Path) -> Path:
    """A snapshot of the database as a file."""
    if kind == "sqlite":
        found = scratch / "fleet.sqlite"
        with (
            closing(sqlite3.connect(str(make_url(url).database))) as source,
            closing(sqlite3.connect(found)) as to,
        ):
            source.backup(to)
        return found
    found = scratch / "fleet.dump"
    _call("pg_dump", [*_server(url), "--format=custom", f"--file={found}"], url)
    return found


def _load(dump: Path, url: str) -> None:
    if not url:
        raise InputError("this backup holds a PostgreSQL database: name an empty one with --database URL")
    _call("pg_restore", [*_server(url), "--exit-on-error", "--no-owner", str(dump)], url)
    dump.unlink()


def _server(url: str) -> list[str]:
    parts = make_url(url)
    said = {
        "--host": parts.host or parts.query.get("host"),
        "--port": parts.port,
        "--username": parts.username,
    }
    return [*(f"{name}={value}" for name, value in said.items() if value), f"--dbname={parts.database}"]


def _call(tool: str, arguments: list[str], url: str) -> None:
    """Run PostgreSQL's own tool; the password goes by its environment, which no list of processes shows."""
    if shutil.which(tool) is None:
        raise BackendError(f"{tool} is missing: apt-get install postgresql-client")
    secret = make_url(url).password
    environment = {**os.environ, **({"PGPASSWORD": str(secret)} if secret else {})}
    done = subprocess.run([tool, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"{tool}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(content))


def _copy(archive: tarfile.TarFile, path: Path, name: str) -> str:
    """Add the file; its SHA-256, of what went in."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = (
            os.fstat(stream.fileno()).st_size,
            0o600,
            int(path.stat().st_mtime),
        )
        archive.addfile(entry, stream)
    return digest


def _extract(source: Path, folder: Path) -> Backup:
    """Unpack under `folder`, and check each file against the digests at the end."""
    found: dict[str, str] = {}
    with tarfile.open(source) as archive:
        first = archive.next()
        if first is None or first.name != _ABOUT:
            raise InputError(f"{source}: is no backup: it does not begin with {_ABOUT}")
        about = Backup(**json.loads(_content(archive, first)))
        if about.schema != _SCHEMA:
            raise InputError(f"{source}: is of schema {about.schema}; this version reads schema {_SCHEMA}")
        digests: dict[str, str] | None = None
        for entry in archive:
            if entry.name == _ABOUT:
                continue
            if entry.name == _DIGESTS:
                digests = dict(json.loads(_content(archive, entry)))
            elif entry.isreg():
                archive.extract(entry, folder, filter="data")
                found[entry.name] = sha256(folder / entry.name)
    if digests is None:
        raise InputError(f"{source}: is cut short: {_DIGESTS} is missing")
    wrong = sorted(name for name in {*digests, *found} if digests.get(name) != found.get(name))
    if wrong:
        raise InputError(f"{source}: {wrong[0]} is damaged, missing or does not belong there")
    for name in _SECRET:
        if (folder / name).exists():
            (folder / name).chmod(0o700)
    return about


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(entry)
    if stream is None or entry.size > 64 * _CHUNK:
        raise ValueError(f"{entry.name} is no file, or is too long")
    return stream.read()


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
