"""A round of federated learning over the device link: what it costs beyond the work, and a device's memory.

Three devices, each a process, a model of 1 MB, a broker in a process of its own, everything on this machine. A round is
the whole of it: the model sent to all, one step of training, the updates back, screened and averaged. Flower's own
deployment engine does the same with the same apps. Then ten devices, of which three are killed while a round runs.
"""

import hashlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from benchmarks.peers import federation
from benchmarks.peers.flower import Deployment, DeploymentError
from edge_runtime.bundle import Bundle
from edge_runtime.tensors import Array
from federated import Settings
from federated.flower.client import client_app
from federated.flower.grid import run_in_process
from federated.flower.server import server_app
from federated.history import History
from federated.link import brokers, keys
from federated.link.brokers import Listener
from federated.link.mqtt import Address
from federated.serve import serve

DEVICES, HIDDEN, ROUNDS, SAMPLES = 3, 3333, 30, 32
TEN, DEAD, DEADLINE_S, OVER = 10, 3, 4.0, 1.4
HELD_OUT = federation.samples(SAMPLES, 99)


class Watch(threading.Thread):
    """The largest resident memory of each process while it watches."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self.largest = dict.fromkeys(pids, 0.0)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look, again and again."""
        while not self._stopped.wait(0.003):
            for pid, before in self.largest.items():
                self.largest[pid] = max(before, federation.resident_mb(pid))

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.join()


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = federation.perceptron(folder / "m.bundle", HIDDEN)
        _enrol(folder, DEVICES)
        yield from _link(folder, bundle)
        yield from _supernode(folder, bundle)
    for over in (1.0, OVER):
        with tempfile.TemporaryDirectory() as scratch:
            yield _dead(Path(scratch), over)


def _enrol(folder: Path, count: int) -> None:
    for number in range(count):
        federation.save(federation.samples(SAMPLES, number), folder / f"d{number}.npz")
        keys.enrol(f"d{number}", folder / "keys")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices that run, and how to run a federation over them."""

    folder: Path
    bundle: Bundle
    address: Address
    devices: list["Popen[bytes]"]

    def run(self, settings: Settings, out: str, deadline_s: float = 600) -> History:
        """A federated run into the folder `out`."""
        return serve(
            self.bundle, HELD_OUT, settings, keys=keys.load_all(self.folder / "keys"), address=self.address,
            out=self.folder / out, progress=False, deadline_s=deadline_s,
        )  # fmt: skip


@contextmanager
def _fleet(folder: Path, bundle: Bundle, count: int) -> Iterator[Fleet]:
    ring, own = keys.load_all(folder / "keys"), keys.coordinator(folder / "keys")
    with ExitStack() as stack:
        running = stack.enter_context(brokers.embedded(Listener(), brokers.passwords(ring, own)))
        devices = [_join(folder, bundle, number, running.port) for number in range(count)]
        for process in devices:
            stack.callback(process.wait)
            stack.callback(process.terminate)
        address = Address("127.0.0.1", running.port, user=own.device, password=own.password)
        yield Fleet(folder, bundle, address, devices)


def _link(folder: Path, bundle: Bundle) -> Iterator[Case]:
    settings = Settings(rounds=ROUNDS, clients=DEVICES, batch_size=SAMPLES)
    with _fleet(folder, bundle, DEVICES) as fleet:
        fleet.run(replace(settings, rounds=2), "warm")
        watch = Watch([process.pid for process in fleet.devices])
        watch.start()
        history = fleet.run(settings, "run")
        watch.stop()
        time.sleep(0.2)
        idle = max(federation.resident_mb(process.pid) for process in fleet.devices)
        peak = max(federation.resident_mb(process.pid, "VmHWM") for process in fleet.devices)
    seconds = [entry.seconds for entry in history.rounds]
    size = sum(array.nbytes for array in _weights(bundle)) / 1e6
    note = (
        f"{DEVICES} devices, {size:.2f} MB, whole round with a step of {SAMPLES} samples; slowest {max(seconds):.3f}; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    yield Case("overhead_s", round(median(seconds), 4), "s", 0.20, "lower", len(seconds), note)
    note = f"largest of {DEVICES} while rounds run; {peak:.0f} at most while the graph is loaded"
    yield Case("client_rss_mb", round(max(watch.largest.values()), 1), "MB", 60, "lower", len(seconds), note)
    yield Case("client_rss_mb/idle", round(idle, 1), "MB", None, "lower", DEVICES, "waiting for work")
    differs = _digest(folder / "run") != _in_process(folder, bundle, settings)
    note = "0: the same bit for bit as in one process, by SHA-256 of the bundle"
    yield Case("model differs", float(differs), "", 0, "lower", ROUNDS, note)
    yield from _wire(history)


def _wire(history: History) -> Iterator[Case]:
    """What crosses the coordinator's socket, over what the weights take."""
    for way, wire, payload in (
        ("up", [entry.wire_up for entry in history.rounds], [entry.bytes_up for entry in history.rounds]),
        (
            "down",
            [entry.wire_down for entry in history.rounds],
            [entry.bytes_down for entry in history.rounds],
        ),
    ):
        total, weights = sum(filter(None, wire)), sum(payload)
        each = f"{total / len(wire):,.0f} bytes a round at the coordinator's socket"
        note = f"{each}, {weights / len(wire):,.0f} of weights"
        value = round(total / weights, 4) if total else None
        yield Case(f"wire/{way}", value, "x", 1.01, "lower", len(wire), note)


def _in_process(folder: Path, bundle: Bundle, settings: Settings) -> str:
    """The digest of the model that the same devices in this process come to."""
    server = server_app(bundle, settings, test=HELD_OUT, out=folder / "same", progress=False)
    client = client_app(bundle, lambda k, _: federation.samples(SAMPLES, k))
    run_in_process(server, client, DEVICES)
    return _digest(folder / "same")


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.bundle").read_bytes()).hexdigest()


def _dead(folder: Path, over: float) -> Case:
    """Three of ten devices are killed while a round runs: how long the longest round takes, and how many answered."""
    bundle = federation.perceptron(folder / "m.bundle", HIDDEN)
    _enrol(folder, TEN)
    enough = TEN - DEAD if over > 1 else TEN
    settings = Settings(rounds=8, clients=TEN, sample=enough, over=over, batch_size=SAMPLES)
    with _fleet(folder, bundle, TEN) as fleet:
        fleet.run(replace(settings, rounds=1), "warm")

        def kill() -> None:
            while not (folder / "run" / "checkpoint.npz").exists():
                time.sleep(0.005)
            for process in fleet.devices[:DEAD]:
                process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        history = fleet.run(settings, "run", deadline_s=DEADLINE_S)
        killer.join()
    seconds = [entry.seconds for entry in history.rounds]
    counts = sorted({len(entry.losses) for entry in history.rounds})
    asked = f"{settings.asked} asked, {enough} are enough, {DEAD} killed in round 2"
    note = f"deadline {DEADLINE_S:g} s; {asked}; median {median(seconds):.2f} s; answers {counts}"
    name, goal = "30 % dead, over-selection" if over > 1 else "30 % dead", DEADLINE_S + 1
    return Case(f"{name}: longest round", round(max(seconds), 2), "s", goal, "lower", len(seconds), note)


def _weights(bundle: Bundle) -> Iterator[Array]:
    from edge_runtime.trainer import Trainer

    yield from Trainer(bundle, threads=1).parameters.values()


def _join(folder: Path, bundle: Bundle, number: int, port: int) -> "Popen[bytes]":
    argv = ["federate", "join", "--broker", f"mqtt://127.0.0.1:{port}", "--bundle", str(bundle.path)]
    argv += ["--data", str(folder / f"d{number}.npz"), "--key", str(folder / f"keys/d{number}.key")]
    argv += ["--state", str(folder / f"state{number}"), "--json"]
    return Popen([sys.executable, "-m", "edge_runtime", *argv], stdout=DEVNULL)


def _supernode(folder: Path, bundle: Bundle) -> Iterator[Case]:
    try:
        with Deployment(
            folder / "flower", bundle, [folder / f"d{n}.npz" for n in range(DEVICES)]
        ) as deployment:
            seconds, largest = deployment.run(rounds=3, test=HELD_OUT)
    except DeploymentError as error:
        for name, unit in (("overhead_s", "s"), ("client_rss_mb", "MB")):
            yield Case(f"supernode/{name}", None, unit, None, "lower", 0, str(error))
        return
    note = "the same apps on SuperLink and SuperNodes; the rounds after the first"
    yield Case(
        "supernode/overhead_s", round(median(seconds[1:]), 2), "s", None, "lower", len(seconds) - 1, note
    )
    note = "SuperNode, SuperExec and ClientApp of one device together, largest"
    yield Case("supernode/client_rss_mb", round(largest, 1), "MB", None, "lower", len(seconds), note)


if __name__ == "__main__":
    main(cases)
