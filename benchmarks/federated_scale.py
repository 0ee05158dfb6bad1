"""How many clients one machine can hold: virtual ones in a process, and devices over MQTT; time and memory by number.

The model is a perceptron of 2,410 weights and a client takes one step on 8 samples, so what is measured is the
framework. Flower's own simulation engine, on Ray, runs the same apps.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import ROOT, Case, main
from benchmarks.peers import federation
from benchmarks.peers.environment import InstallError, interpreter
from edge_runtime.files import atomic
from federated import Settings
from federated.link import brokers
from federated.link.brokers import Listener
from federated.link.keys import COORDINATOR, Key
from federated.link.mqtt import Address
from federated.serve import serve

SIMULATED, DEVICES, A_HOST = (1_000, 3_000, 10_000), (100, 300, 1_000), 250  # devices of one process
RAY_CLIENTS = 300
RAY = (
    *("ray==2.55.1", "jsonschema==4.25.1", "jsonschema-specifications==2025.9.1", "referencing==0.36.2"),
    *("rpds-py==0.27.1", "attrs==25.3.0", "msgpack==1.1.1", "filelock==3.19.1", "requests==2.32.5"),
    *("urllib3==2.5.0", "idna==3.10", "certifi==2025.8.3", "charset-normalizer==3.4.3", "packaging==25.0"),
)  # and not what Flower needs, which comes from this environment
PICTURE = ROOT / "docs" / "pictures" / "federated_scale.png"
Point = tuple[int, float, float]
"""Clients, seconds a round, megabytes."""


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        federation.perceptron(folder / "m.bundle", 32)
        simulated = []
        for count in SIMULATED:
            found = _run([sys.executable], "in-process", count, folder)
            simulated.append((count, found["round_s"], found["peak_mb"]))
            note = f"in process; {found['round_s']:.2f} s a round, {found['peak_mb']:.0f} MB"
            rate, goal = count / found["round_s"], 1_000
            yield Case(f"simulated/{count}", round(rate), "clients/s", goal, "higher", 2, note)
        yield _linear("simulated", simulated)
        yield _ray(folder)
        connected = []
        for count in DEVICES:
            seconds, memory, failed = _devices(folder, count)
            connected.append((count, seconds, memory))
            note = f"over MQTT, {-(-count // A_HOST)} processes; {failed} failed; {memory:.0f} MB of broker and hosts"
            yield Case(f"devices/{count}", round(seconds, 2), "s/round", None, "lower", 3, note)
        yield _linear("devices", connected)
    _draw(simulated, connected)


def _run(python: list[str], engine: str, clients: int, folder: Path) -> dict[str, Any]:
    command = [*python, "-m", "benchmarks.peers.simulated", engine, str(clients), "3", str(folder)]
    packages = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib"), *filter(None, sys.path)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": packages}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, timeout=200
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise InstallError((done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200])
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _ray(folder: Path) -> Case:
    try:
        found = _run([str(interpreter("flower-ray", RAY))], "ray", RAY_CLIENTS, folder)
    except (InstallError, subprocess.TimeoutExpired) as error:
        return Case(f"ray/{RAY_CLIENTS}", None, "clients/s", None, "higher", 0, str(error)[:200])
    note = f"Flower's simulation engine; {found['round_s']:.1f} s a round, {found['start_s']:.0f} s before the first"
    rate = RAY_CLIENTS / found["round_s"]
    return Case(f"ray/{RAY_CLIENTS}", round(rate, 1), "clients/s", None, "higher", 2, note)


def _devices(folder: Path, count: int) -> tuple[float, float, int]:
    """Seconds a round, megabytes of the broker and the processes that host the devices, and how often one failed."""
    home = folder / f"devices-{count}"
    ring = {f"d{number}": Key(f"d{number}", number, os.urandom(32)) for number in range(count)}
    for device, key in ring.items():
        key.save(home / f"keys/{device}.key")
    (home / "m.bundle").symlink_to(folder / "m.bundle")
    own = Key(COORDINATOR, 0, os.urandom(32))
    with ExitStack() as stack:
        running = stack.enter_context(brokers.embedded(Listener(), brokers.passwords(ring, own)))
        hosts = []
        for first in range(0, count, A_HOST):
            last = min(first + A_HOST, count)
            command = [sys.executable, "-m", "benchmarks.peers.hosted", str(running.port), str(home)]
            process = subprocess.Popen([*command, str(first), str(last)], stdin=subprocess.PIPE, cwd=ROOT)
            stack.callback(process.wait)
            stack.callback(process.kill)
            hosts.append(process)
        address = Address("127.0.0.1", running.port, user=own.device, password=own.password)
        watch = _Watch([running.process.pid, *(process.pid for process in hosts)])
        watch.start()
        history = serve(
            folder / "m.bundle", federation.samples(50, 1), Settings(rounds=4, clients=count, batch_size=8),
            keys=ring, address=address, out=home / "run", progress=False, deadline_s=150,
        )  # fmt: skip
        watch.stop()
    failed = sum(len(entry.failed) for entry in history.rounds)
    return median(entry.seconds for entry in history.rounds[1:]), watch.largest, failed


class _Watch(threading.Thread):
    """The largest sum of the processes' memory."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self._pids, self.largest, self._stopped = pids, 0.0, threading.Event()

    def run(self) -> None:
        """Look, again and again."""
        while not self._stopped.wait(0.2):
            self.largest = max(self.largest, sum(map(federation.resident_mb, self._pids)))

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.join()


def _linear(name: str, points: list[Point]) -> Case:
    """How much more a client costs among the most clients than among the fewest: 1 is linear."""
    first, last = points[0], points[-1]
    ratio = (last[1] / last[0]) / (first[1] / first[0])
    memory = (last[2] - first[2]) / (last[0] - first[0]) * 1000
    note = f"time a client at {last[0]} over that at {first[0]}; memory grows by {memory:.0f} kB a client"
    return Case(f"{name}/linear", round(ratio, 2), "ratio", 1.25, "lower", len(points), note)


def _draw(simulated: list[Point], connected: list[Point]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for place, (points, what) in enumerate(
        ((simulated, "virtual clients"), (connected, "devices over MQTT"))
    ):
        axes = figure.add_subplot(1, 2, place + 1)
        clients = [0, *(point[0] for point in points)]
        axes.plot(clients[1:], [point[1] for point in points], "o-", color="tab:blue", label="time")
        axes.set(xlabel=what, xlim=(0, None), ylim=(0, None))
        axes.set_ylabel("seconds a round", color="tab:blue")
        other = axes.twinx()
        other.plot(clients[1:], [point[2] for point in points], "s--", color="tab:orange", label="memory")
        other.set_ylabel("MB", color="tab:orange")
        other.set_ylim(0, None)
        axes.grid(alpha=0.3)
    with atomic(PICTURE) as partial:
        figure.savefig(partial, format="png", dpi=110)


if __name__ == "__main__":
    main(cases)
