"""Everything that a cloud runs, in processes of their own: the broker's shards, the controller, the API.

What dies is started again, at once the first time and then after 1 s, 2 s and so on to 30 s; a minute of life forgets
that. Certificates that run out are made anew, and the revocation list follows the database.
"""

import contextlib
import fcntl
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloud.audit import Audit
from cloud.broker.shards import Files, Shard, program
from cloud.broker.watch import Watch
from cloud.database import Database
from cloud.home import Home
from cloud.identity import Authority, Enrolments
from cloud.settings import Settings
from edge_runtime.errors import InputError, LittoralError
from edge_runtime.files import write_text

_log = logging.getLogger("cloud.up")
_LOOK_S, _REVOKED_S, _DAY_S = 0.2, 2.0, 86_400.0
_MOST_PAUSE_S, _WELL_S, _END_S = 30.0, 60.0, 10.0


def initialise(home: Home, settings: Settings) -> str | None:
    """Make a cloud's folder, or bring it up to date: settings, authority, tables, repository.

    Returns:
        The token of the first administrator where there was none; it is seen this once.

    Raises:
        LittoralError: a part cannot be made.
    """
    from cloud.api.access import Tokens
    from cloud.repository import Repository

    home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (home.ca / "ca.key").exists():
        Authority.create(home.ca)
    database = Database(settings.database_url(home))
    try:
        database.migrate()
        tokens = Tokens(database)
        with database.begin() as connection:
            known = any(each["role"] == "admin" for each in tokens.all())
            token = None if known else tokens.create(connection, "admin", "admin")
    finally:
        database.close()
    if not home.repository.exists():
        Repository.create(home.repository, home.keys)
    settings.save(home)
    return token


@dataclass(slots=True)
class Part:
    """One process that shall run."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    again: float = 0.0
    deaths: int = 0


@dataclass(slots=True)
class Supervisor:
    """Runs the parts of the cloud in a folder until `stop` is set.

    Args:
        home: the folder, made by `initialise`.
        settings: how it runs.
        serving: whether the API runs too.
        parts: what runs; filled when it begins.
    """

    home: Home
    settings: Settings
    serving: bool = True
    parts: list[Part] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _refusals: Watch = field(default_factory=Watch)
    _revoked: object = None
    _looked: float = 0.0
    _renewed: float = 0.0

    def run(self) -> None:
        """Start everything, keep it running, and end it in the opposite order."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # inherited; a connection is an open file
        self.home.run.mkdir(exist_ok=True, mode=0o700)
        end_orphans(self.home)
        database = Database(self.settings.database_url(self.home))
        authority = Authority(self.home.ca)
        enrolments = Enrolments(database, authority)
        self._certify(authority, enrolments)
        self.parts = self._parts(authority)
        try:
            while not self.stop.is_set():
                for part in self.parts:
                    self._watch(part)
                self._follow(authority, enrolments)
                self._enter(database)
                self.stop.wait(_LOOK_S)
        finally:
            for part in reversed(self.parts):
                self._end(part)
            database.close()

    def _parts(self, authority: Authority) -> list[Part]:
        settings, found = self.settings, list[Part]()
        files = None
        if settings.tls:
            certificate, key = authority.server(self.home.ca / "server", "server", settings.hosts)
            files = Files(certificate, key, authority.certificate, authority.crl)
        for i in range(0 if settings.brokers else settings.shards):
            shard = Shard(i, settings.listen, settings.broker_port + i, files)
            command = program(shard, self.home.brokers / shard.name, embedded=settings.embedded)
            found.append(Part(shard.name, command))
        where = ("--home", str(self.home.root))
        found.append(Part("controller", [sys.executable, "-m", "cloud.control", *where]))
        if self.serving:
            found.append(Part("api", [sys.executable, "-m", "cloud.serving", *where]))
        return found

    def _watch(self, part: Part) -> None:
        now = time.monotonic()
        if part.process is not None:
            status = part.process.poll()
            if status is None:
                return
            part.process = None
            part.deaths = 1 if now - part.began > _WELL_S else part.deaths + 1
            pause = 0.0 if part.deaths == 1 else min(2.0 ** (part.deaths - 2), _MOST_PAUSE_S)
            part.again = now + pause
            _log.error("%s ended with status %d; again in %.0f s", part.name, status, pause)
        if now >= part.again:
            told = self._refusals.pipe(part.name) if part.name.startswith("broker") else None
            part.process = subprocess.Popen(part.command, stdin=subprocess.DEVNULL, stderr=told)
            if told is not None:
                os.close(told)
            part.began = now
            write_text(_pid(self.home, part.name), f"{part.process.pid}\n")
            _log.info("%s runs as process %d", part.name, part.process.pid)

    def _follow(self, authority: Authority, enrolments: Enrolments) -> None:
        """Keep certificates and the revocation list as they should be."""
        now = time.monotonic()
        if now - self._looked < _REVOKED_S:
            return
        self._looked = now
        try:
            if now - self._renewed > _DAY_S or enrolments.revoked() != self._revoked:
                self._certify(authority, enrolments)
                self._signal(signal.SIGHUP)
        except (LittoralError, OSError) as error:
            _log.error("the revocation list is not written: %s", error)

    def _enter(self, database: Database) -> None:
        """Enter in the audit log whom the shards refused."""
        refused = self._refusals.taken()
        try:
            if refused:
                with database.begin() as connection:
                    for each in refused:
                        detail = {"kind": each.kind, "reason": each.reason, "not_written_before": each.missed}
                        subject = each.client or "unknown"
                        Audit(database).add(connection, each.shard, "connection-refused", subject, detail)
        except LittoralError as error:
            _log.error("refusals of the brokers wait: %s", error)
            self._refusals.back(refused)

    def _certify(self, authority: Authority, enrolments: Enrolments) -> None:
        revoked = enrolments.revoked()
        if self.settings.tls:
            authority.server(self.home.ca / "server", "server", self.settings.hosts)
        authority.write_crl(revoked)
        self._revoked, self._renewed = revoked, time.monotonic()

    def _signal(self, number: signal.Signals) -> None:
        for part in self.parts:
            if part.name.startswith("broker") and part.process is not None:
                part.process.send_signal(number)

    def _end(self, part: Part) -> None:
        process, part.process = part.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pid(self.home, part.name).unlink(missing_ok=True)


@contextlib.contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold the folder: nobody else runs it while the block does, and the system lets go when the process dies.

    Raises:
        InputError: somebody does already.
    """
    home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.run.mkdir(exist_ok=True, mode=0o700)
    with (home.run / "lock").open("wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{home.root}: it runs already; littoral cloud status shows it") from error
        yield


def end_orphans(home: Home) -> None:
    """End what still runs of a cloud whose supervisor was killed; only what was started for this very folder."""
    for name, number in running(home).items():
        command = Path(f"/proc/{number}/cmdline")
        if not command.exists() or os.fsencode(home.root) not in command.read_bytes():
            continue  # another process has the number by now
        _log.warning("%s, process %d, is left from before; it is ended", name, number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)
            ends = time.monotonic() + _END_S
            while command.exists() and time.monotonic() < ends:
                time.sleep(_LOOK_S)


def running(home: Home) -> dict[str, int]:
    """The processes of a cloud that run on this machine: name and number."""
    found: dict[str, int] = {}
    for path in sorted(home.run.glob("*.pid")):
        with contextlib.suppress(OSError, ValueError):
            number = int(path.read_text("ascii"))
            os.kill(number, 0)
            found[path.stem] = number
    return found


def _pid(home: Home, name: str) -> Path:
    return home.run / f"{name}.pid"
