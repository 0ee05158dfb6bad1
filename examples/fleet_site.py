"""The processes of the fleet's demonstration, which all end with it: a cloud, a gateway, agents, emulated ones too."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud.database import Database
from cloud.fleet import Fleet
from cloud.home import Home
from cloud.identity import Authority, Enrolments, Reach
from cloud.repository import Repository
from cloud.rollouts import Rollouts
from cloud.settings import Settings
from edge_runtime.agent import credential
from edge_runtime.data import Samples
from edge_runtime.errors import LittoralError

_END_S = 20.0
SITE = "hall"
LABEL = ("reads", "digits")  # of every device, by which rollouts find them
LITTORAL = (sys.executable, "-m", "edge_runtime")


class Processes:
    """What was started; each in a session of its own, so that Ctrl-C is this process's alone to act on."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._all = logs, list[tuple[str, subprocess.Popen[bytes]]]()
        logs.mkdir(parents=True)

    def start(self, name: str, words: Sequence[str], *, told: bool = False) -> dict[str, Any]:
        """Start one; `told`: wait for its first line on stdout, which is a JSON object.

        Raises:
            LittoralError: it ended without that line.
        """
        guard = shutil.which("setpriv")  # it ends with us, should we be killed
        front = [guard, "--pdeathsig", "TERM", "--"] if guard else []
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with (self._logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*front, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if told else log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self._all.append((name, process))
        if not told:
            return {}
        assert process.stdout is not None  # noqa: S101
        with process.stdout:
            line = process.stdout.readline()
        if not line:
            raise LittoralError(f"{name} did not start: {self.last(name)}")
        found: dict[str, Any] = json.loads(line)
        return found

    def last(self, name: str) -> str:
        """The last line of its log."""
        lines = (self._logs / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def state(self, name: str) -> int | None:
        """The status with which it ended; None while it runs."""
        return next(process for each, process in self._all if each == name).poll()

    def end(self, *names: str) -> None:
        """End these, or all: the last started first, with SIGTERM, and by force after a while."""
        chosen = [each for each in reversed(self._all) if not names or each[0] in names]
        for _, process in chosen:
            with suppress(ProcessLookupError):
                process.terminate()
        until = time.monotonic() + _END_S
        for _, process in chosen:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what is left of its session
            process.wait()
        self._all = [each for each in self._all if each not in chosen]


@contextmanager
def processes(logs: Path) -> Iterator[Processes]:
    """Processes that end with the block, also by an error, Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    made = Processes(logs)
    try:
        yield made
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):  # nothing keeps us from ending what we started
            signal.signal(number, signal.SIG_IGN)
        made.end()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True, slots=True)
class Device:
    """One device: its name and folder, what it is, and where it stands."""

    name: str
    store: Path
    target: str = "x86-64"
    site: str = ""
    emulated: bool = False

    @property
    def command(self) -> list[str]:
        """`littoral agent` as this device runs it."""
        return [*LITTORAL, *(("emulate", self.target, "--") if self.emulated else ()), "agent"]


def devices(folder: Path, count: int, arms: int, behind: int, *, emulated: bool) -> list[Device]:
    """So many devices: the first `arms` are Arm boards; `behind` of them, one board too, stand behind the gateway."""
    found, begin = [], max(arms - 1, 0)
    for k in range(count):
        arm, site = k < arms, SITE if begin <= k < begin + behind else ""
        name = f"{'pi' if arm else 'box'}-{k + 1:02}"
        found.append(Device(name, folder / name, "rpi4" if arm else "x86-64", site, emulated and arm))
    return found


@dataclass(slots=True)
class Cloud:
    """The cloud that runs, and what its commands use."""

    home: Home
    settings: Settings
    token: str
    database: Database
    fleet: Fleet
    repository: Repository
    rollouts: Rollouts
    enrolments: Enrolments
    gateway: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def up(cls, folder: Path, run: Processes, beat_s: float = 10) -> "Cloud":
        """`littoral cloud up`, with TLS, and its parts in this process; returns when it answers."""
        words = ("cloud", "up", "--home", str(folder), "--beat", f"{beat_s:g}", "--json")
        ports = ("--port", str(free_port()), "--broker-port", str(free_port()))
        told = run.start("cloud", (*LITTORAL, *words, *ports), told=True)
        home = Home(folder)
        settings = Settings.load(home)
        database = Database(settings.database_url(home))
        fleet, repository = Fleet(database), Repository.open(home.repository, home.keys)
        rollouts = Rollouts(database, fleet, repository)
        enrolments = Enrolments(database, Authority(home.ca), Reach(settings.url))
        made = cls(home, settings, told["token"], database, fleet, repository, rollouts, enrolments)
        wait(made.answers, 120, "the cloud does not answer")
        return made

    def answers(self) -> bool:
        """Whether the API does."""
        context = ssl.create_default_context(cafile=str(self.home.ca / "ca.pem"))
        try:
            url = f"{self.settings.url}/healthz"
            with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310  (our own)
                return bool(answer.status == 200)
        except OSError:
            return False

    def open_gateway(self, folder: Path, run: Processes) -> None:
        """`littoral gateway` for the site."""
        given = self.enrolments.token(SITE, site=SITE, hosts=("127.0.0.1",), actor="demonstration")
        words = ("gateway", "--home", str(folder), "--enrol", given, "--no-agent", "--batch", "1", "--json")
        names = ("--port", "--broker-port", "--federate-port")
        ports = [word for name in names for word in (name, str(free_port()))]
        self.gateway = run.start("gateway", (*LITTORAL, *words, *ports), told=True)

    def enrol(self, device: Device, share: Samples) -> None:
        """Make it a device of the fleet, through its gateway if it has one, and give it its own data."""
        given = self.enrolments.token(
            device.name, site=device.site, labels=dict([LABEL]), actor="demonstration"
        )
        if device.site:
            given = given.replace(self.settings.url, self.gateway["repository"].removesuffix("/repository"))
        device.store.mkdir(parents=True)
        data = device.store / "mine.npz"
        np.savez(data, x=share.x, y=np.asarray(share.y))
        (device.store / "agent.toml").write_text(
            f'target = "{device.target}"\nbeat_s = 5\nstats_s = 5\n[federated]\ndata = "{data}"\n', "utf-8"
        )
        # Devices that stand for many share two cores here; their own measure would say that others need them.
        (device.store / "conditions.json").write_text('{"charging": true, "idle": true, "unmetered": true}')
        if not device.emulated:
            credential.enrol(device.store, given)
            return
        words = [*device.command, "enrol", given, "--store", str(device.store)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LittoralError(f"{device.name}: {done.stderr.strip() or 'it could not enrol'}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(test: Callable[[], bool], seconds: float, why: str) -> None:
    """Until the test holds.

    Raises:
        LittoralError: it does not within so many seconds.
    """
    until = time.monotonic() + seconds
    while not test():
        if time.monotonic() > until:
            raise LittoralError(f"{why} within {seconds:.0f} s")
        time.sleep(0.5)
