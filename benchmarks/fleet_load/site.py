"""A real cloud, a gateway and agents, with TLS: `littoral cloud up`, `gateway`, `agent`, which may be killed.

A keeper starts again what ends, as a service manager does; what `cloud up` runs, its supervisor starts again.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from benchmarks.fleet_load.postgresql import PostgreSQL
from cloud.database import Database
from cloud.fleet import Fleet
from cloud.home import Home
from cloud.identity import Authority, Enrolments, Reach
from cloud.repository import Repository
from cloud.rollouts import Rollouts
from cloud.settings import Settings
from cloud.up import running
from edge_runtime.agent import credential
from edge_runtime.errors import BackendError

SITE = "hall"
_LITTORAL = (sys.executable, "-m", "edge_runtime")
_ROOT = Path(__file__).parents[2]
_RESTART_S = 0.3  # between an end and the next start
_AWAY_S = 60.0  # how long the database may be away from what the benchmark itself asks
T = TypeVar("T")


@dataclass(slots=True)
class Service:
    """A process that is kept running; `told` is the first line that it said on stdout."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    again: float = 0.0
    starts: int = 0
    kills: int = 0

    def start(self) -> None:
        """Start it; stdout and stderr go to the log."""
        guard = shutil.which("setpriv")  # it ends with us, should we be killed
        front = [guard, "--pdeathsig", "TERM", "--"] if guard else []
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*front, *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self.starts += 1

    def said(self) -> str:
        """What it has said."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""


@dataclass(slots=True)
class Site:
    """A cloud with `flat` devices of its own and `behind` a gateway.

    Args:
        folder: for everything; short, for Unix sockets lie in it.
        flat: devices that reach the cloud by themselves.
        behind: devices behind the gateway.
        server: PostgreSQL's; None for SQLite.
    """

    folder: Path
    flat: int
    behind: int
    server: PostgreSQL | None = None
    services: dict[str, Service] = field(default_factory=dict)
    stores: dict[str, Path] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None
    home: Home = field(init=False)
    settings: Settings = field(init=False)
    database: Database = field(init=False)
    fleet: Fleet = field(init=False)
    repository: Repository = field(init=False)
    rollouts: Rollouts = field(init=False)

    @property
    def names(self) -> list[str]:
        """The devices."""
        return sorted(self.stores)

    def __enter__(self) -> Self:
        """Start the cloud, then the gateway, then the agents, each enrolled as a person would."""
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything, the last started first."""
        self._stop.set()
        if self._keeper is not None:
            self._keeper.join()
        for service in reversed(self.services.values()):
            if service.process is not None and service.process.poll() is None:
                service.process.terminate()
        for service in reversed(self.services.values()):
            if service.process is not None:
                try:
                    service.process.wait(30)
                except subprocess.TimeoutExpired:
                    service.process.kill()
                    service.process.wait()
        if hasattr(self, "home"):
            for number in running(self.home).values():  # left by a supervisor that was killed last
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)

    # ------------------------------------------------------------------ start
    def _start(self) -> None:
        (self.folder / "logs").mkdir(parents=True)
        self.home = Home(self.folder / "cloud")
        cloud, broker, near, near_broker = ports(4)
        words = ["cloud", "up", "--home", str(self.home.root), "--beat", "4", "--port", str(cloud)]
        words += ["--broker-port", str(broker), "--json"]
        words += ["--database", self.server.url] if self.server else []
        self._add("cloud", words)
        wait(lambda: bool(self.services["cloud"].said().strip()), 60, "the cloud says nothing")
        wait(lambda: (self.home.root / "cloud.json").exists(), 30, "the cloud has no folder")
        self.settings = Settings.load(self.home)
        self.database = Database(self.settings.database_url(self.home))
        self.fleet = Fleet(self.database)
        self.repository = Repository.open(self.home.repository, self.home.keys)
        self.rollouts = Rollouts(self.database, self.fleet, self.repository)
        wait(lambda: self.answers(self.settings.url), 90, "the API does not answer")
        enrolments = Enrolments(self.database, Authority(self.home.ca), Reach(self.settings.url))
        here = f"https://127.0.0.1:{near}"
        if self.behind:
            self._open_gateway(enrolments, near, near_broker)
        for k in range(self.flat + self.behind):
            name, site = f"dev-{k:02}", SITE if k >= self.flat else ""
            given = enrolments.token(name, site=site, actor="benchmark")
            store = self.stores[name] = self.folder / name
            store.mkdir()
            (store / "agent.toml").write_text('target = "x86-64"\nbeat_s = 2\nstats_s = 5\nprobe_s = 40\n')
            credential.enrol(store, given.replace(self.settings.url, here) if site else given)
            self._add(name, ["agent", "--store", str(store)])
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _open_gateway(self, enrolments: Enrolments, port: int, broker: int) -> None:
        given = enrolments.token(SITE, site=SITE, hosts=("127.0.0.1",), actor="benchmark")
        words = ["gateway", "--home", str(self.folder / SITE), "--no-agent", "--batch", "0.5"]
        enrol = [*_LITTORAL, *words, "--enrol", given, "--enrol-only"]
        subprocess.run(enrol, check=True, capture_output=True, cwd=_ROOT)
        self._add("gateway", [*words, "--port", str(port), "--broker-port", str(broker), "--json"])
        wait(lambda: '"site"' in self.services["gateway"].said(), 60, "the gateway does not start")

    def _add(self, name: str, words: Sequence[str]) -> None:
        service = self.services[name] = Service(name, [*_LITTORAL, *words], self.folder / "logs" / name)
        service.start()

    def _keep(self) -> None:
        while not self._stop.wait(0.05):
            now = time.monotonic()
            for service in self.services.values():
                if service.process is not None and service.process.poll() is not None:
                    service.process, service.again = None, now + _RESTART_S
                elif service.process is None and now >= service.again:
                    service.start()
            if self.server:
                self.server.tend()

    def answers(self, url: str) -> bool:
        """Whether the API does."""
        context = ssl.create_default_context(cafile=str(self.home.ca / "ca.pem"))
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5, context=context) as answer:  # noqa: S310  (ours)
                return bool(answer.status == 200)
        except OSError:
            return False

    # ------------------------------------------------------------------ kills
    def kill(self, kind: str, rng: random.Random, spared: Sequence[str] = ()) -> bool:
        """kill -9 of one process: "broker", "controller", "api", "supervisor", "database", "gateway" or "agent".

        Returns:
            Whether there was one; it may be dead from before, and not yet started again.
        """
        if kind == "database":
            done = self.server is not None and self.server.kill(one=rng.random() < 0.5)
        elif kind in ("broker", "controller", "api"):
            done = _kill(running(self.home).get("broker-0" if kind == "broker" else kind, 0))
        else:
            names = {"supervisor": ["cloud"], "gateway": ["gateway"]}.get(kind)
            chosen = rng.choice(names or [each for each in self.names if each not in spared])
            done = self._kill_service(chosen)
        self.killed[kind] += done
        return done

    def _kill_service(self, name: str) -> bool:
        service = self.services.get(name)
        process = service.process if service else None
        if process is None or process.poll() is not None:
            return False
        process.kill()
        self.services[name].kills += 1
        return True

    def ended(self) -> list[str]:
        """Processes that ended though nobody killed them; where the database is away at their start, some may."""
        found = [
            f"{each.name} ended by itself: {last_words(each)}"
            for each in self.services.values()
            if each.name != "cloud" and each.starts - 1 > each.kills
        ]
        well = ("status -9;", f"status {os.EX_TEMPFAIL};")
        lines = [line for line in self.services["cloud"].said().splitlines() if "ended with status" in line]
        return found + [line[:300] for line in lines if not any(said in line for said in well)]

    def limit(self, name: str, largest: int) -> None:
        """Let a device's processes write no file longer than this: a disk that is full. -1 takes the limit away."""
        process = self.services[name].process
        if process is None:
            raise RuntimeError(f"{name} does not run")
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest, hard))

    # ------------------------------------------------------------------ what else is asked
    def patiently(self, ask: Callable[[], T]) -> T:
        """What the database says, asked again while it is away."""
        end = time.monotonic() + _AWAY_S
        while True:
            try:
                return ask()
            except BackendError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)


def _kill(number: int) -> bool:
    """Kill a process, unless it is dead already."""
    with contextlib.suppress(OSError):
        if number and Path(f"/proc/{number}/stat").read_text("ascii").rpartition(") ")[2][0] != "Z":
            os.kill(number, signal.SIGKILL)
            return True
    return False


def ports(count: int) -> list[int]:
    """So many ports of the loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(socket.socket()) for _ in range(count)]
        for link in links:
            link.bind(("127.0.0.1", 0))
        return [int(link.getsockname()[1]) for link in links]


def wait(test: Callable[[], bool], seconds: float, why: str) -> None:
    """Until the test holds; RuntimeError where it does not within so many seconds."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise RuntimeError(f"{why} within {seconds:.0f} s")
        time.sleep(0.1)


def removed(folder: Path) -> None:
    """Remove what a site left."""
    shutil.rmtree(folder, ignore_errors=True)


def last_words(service: Service, lines: int = 3) -> str:
    """The end of a service's log, on one line."""
    return " | ".join(service.said().strip().splitlines()[-lines:])


def shown(value: object) -> str:
    """A value as short JSON."""
    return json.dumps(value, default=str)[:400]
