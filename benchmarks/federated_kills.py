"""A federated run whose coordinator, gateways, brokers and devices are killed at random moments: is the model the same?

Two gateways of two devices each, all processes of this machine, with `kill -9`; in turn with the brokers of the package
and with mosquitto. A run goes on until its last round is done, and all that is killed is started again at once. The
model is compared with that of the same tree in one process without kills. Each run is kept under what it follows from,
so an interrupted benchmark goes on where it stopped.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import ROOT, Case, main
from benchmarks.peers import federation
from edge_runtime import Samples
from edge_runtime.bundle import Bundle
from edge_runtime.console import say
from edge_runtime.files import cache_dir, write_text
from edge_runtime.trainer import Trainer
from federated import Settings
from federated.flower.client import client_app
from federated.flower.gateway import gateway_app
from federated.flower.grid import InProcessGrid, run_in_process
from federated.flower.server import server_app
from federated.link import brokers, keys
from federated.link.brokers import Listener
from federated.outputs import read_history

VERSION = 2  # of the runs: what was kept of another one is not used
KILLS, SEEDS, ROUNDS = 100, 20, 60
SITES, DEVICES = 2, 2  # gateways, and devices of each
LIFE_S = (0.5, 4.0)  # between one kill and the next
LIMIT_S = 600  # for a run, or it counts as one that did not end
PORT = 18990  # the coordinator's broker; those of the sites follow
HIDDEN, SAMPLES = 64, 24
KINDS = ("embedded", "mosquitto")


def cases() -> Iterator[Case]:
    runs: list[dict[str, Any]] = []
    while len(runs) < SEEDS and sum(sum(run["killed"].values()) for run in runs) < KILLS:
        runs.append(_result(len(runs)))
    killed = Counter[str]()
    for seed, run in enumerate(runs):
        for name, count in run["killed"].items():
            killed[f"{KINDS[seed % len(KINDS)]} {name}" if name == "broker" else name] += count
    each = ", ".join(f"{name} {count}" for name, count in sorted(killed.items()))
    note = f"{each}; all before the last of {ROUNDS} rounds; {sum(run['seconds'] for run in runs):.0f} s"
    yield Case("kills", killed.total(), "kills", KILLS, "higher", len(runs), note)
    wrong, note = sum(not run["same"] for run in runs), "of runs; SHA-256 of the bundle"
    yield Case("model differs from the undisturbed run's", wrong, "runs", 0, "lower", len(runs), note)
    lost, counted = sum(run["wrong"] for run in runs), ROUNDS * len(runs)
    yield Case("rounds lost or counted twice", lost, "rounds", 0, "lower", counted, "by the history")
    ended, note = sum(run["ended"] for run in runs), "and was started again, as a service manager does"
    yield Case("a process ended by itself", ended, "times", 0, "lower", len(runs), note)


def _result(seed: int) -> dict[str, Any]:
    """What came of one run, from the cache if it is there."""
    about = [VERSION, seed, ROUNDS, SITES, DEVICES, LIFE_S, HIDDEN, SAMPLES]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
    path = cache_dir() / "benchmarks" / "federated_kills" / f"{name}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as scratch:
            found = _tree(Path(scratch), seed)
        say(f"{KINDS[seed % len(KINDS)]}: {found}")
        write_text(path, json.dumps(found))
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def _tree(desk: Path, seed: int) -> dict[str, Any]:
    """A run with kills: how often what was killed, and whether it came to the same."""
    bundle, wanted = _prepare(desk)
    began = time.monotonic()
    with ExitStack() as stack:
        fleet = _start(stack, desk, bundle, KINDS[seed % len(KINDS)])
        killed, ended = _disturb(fleet, random.Random(seed))  # noqa: S311  (when, not what)
    done = (desk / "run" / "model.bundle").exists()
    rounds = read_history(desk / "run").rounds if done else ()
    wrong = set(range(1, ROUNDS + 1)) ^ {entry.number for entry in rounds}
    return {
        "killed": killed,
        "ended": ended,
        "same": done and _digest(desk / "run") == wanted,
        "wrong": len(wrong) + abs(len(rounds) - ROUNDS) + sum(bool(entry.failed) for entry in rounds),
        "seconds": time.monotonic() - began,
    }


def _prepare(desk: Path) -> tuple[Bundle, str]:
    """Write what the processes need; the bundle, and the digest of the model that a run without kills gives."""
    bundle = federation.perceptron(desk / "m.bundle", HIDDEN)
    federation.save(federation.samples(SAMPLES, 99), desk / "test.npz")
    shares: list[list[Samples]] = []
    for site in range(SITES):
        keys.enrol(f"g{site}", desk / "keys")
        shares.append([federation.samples(SAMPLES + 8 * k, 10 * site + k) for k in range(DEVICES)])
        for k, share in enumerate(shares[site]):
            keys.enrol(f"d{k}", desk / f"keys{site}")
            federation.save(share, desk / f"d{site}{k}.npz")
    trainer = Trainer(bundle, threads=1)

    def inside(site: int) -> InProcessGrid:
        return InProcessGrid(client_app(trainer, lambda k, _: shares[site][k]), DEVICES)

    sites = [inside(site) for site in range(SITES)]
    server = server_app(
        bundle, Settings(rounds=ROUNDS, clients=SITES), test=federation.samples(SAMPLES, 99),
        out=desk / "undisturbed", progress=False,
    )  # fmt: skip
    run_in_process(server, gateway_app(lambda context: sites[context.node_id]), SITES)
    return bundle, _digest(desk / "undisturbed")


class _Fleet:
    """Processes by name, each of which can be killed and started again."""

    def __init__(self) -> None:
        self.make: dict[str, Callable[[], subprocess.Popen[Any]]] = {}
        self.running: dict[str, subprocess.Popen[Any]] = {}

    def add(self, name: str, make: Callable[[], "subprocess.Popen[Any]"]) -> None:
        """Start it."""
        self.make[name], self.running[name] = make, make()

    def again(self, name: str) -> None:
        """Kill it, and start another."""
        self.running[name].kill()
        self.running[name].wait()
        self.running[name] = self.make[name]()

    def end(self) -> None:
        """Kill all."""
        for process in self.running.values():
            process.kill()
            process.wait()


def _start(stack: ExitStack, desk: Path, bundle: Bundle, kind: str) -> _Fleet:
    fleet = _Fleet()
    stack.callback(fleet.end)
    for number, folder in enumerate(["keys", *(f"keys{site}" for site in range(SITES))]):
        fleet.add(f"broker {number}", _Broker(stack, kind, PORT + number, desk / folder))
    serve = ["federate", "serve", bundle.path, "--test", desk / "test.npz", "--keys", desk / "keys"]
    serve += ["--out", desk / "run", "--rounds", ROUNDS, "--broker", f"mqtt://127.0.0.1:{PORT}"]
    fleet.add("coordinator", lambda: _python("edge_runtime", *serve))
    for site in range(SITES):
        port = PORT + 1 + site
        upward = [desk / f"keys/g{site}.key", desk / f"gateway{site}", PORT, desk / f"keys{site}", port]
        fleet.add(f"gateway {site}", lambda upward=upward: _python("benchmarks.peers.gateway", *upward))  # type: ignore[misc]
        for k in range(DEVICES):
            join = ["federate", "join", "--bundle", bundle.path, "--data", desk / f"d{site}{k}.npz"]
            join += ["--key", desk / f"keys{site}/d{k}.key", "--state", desk / f"state{site}{k}"]
            join += ["--broker", f"mqtt://127.0.0.1:{port}"]
            fleet.add(f"device {site}{k}", lambda join=join: _python("edge_runtime", *join))  # type: ignore[misc]
    return fleet


class _Broker:
    """Starts a broker on one port: the package's, or mosquitto."""

    def __init__(self, stack: ExitStack, kind: str, port: int, folder: Path) -> None:
        self._stack, self._listener, self._mosquitto = stack, Listener(port=port), kind == "mosquitto"
        self._known = brokers.passwords(keys.load_all(folder), keys.coordinator(folder))

    def __call__(self) -> "subprocess.Popen[str]":
        run = brokers.mosquitto if self._mosquitto else brokers.embedded
        return self._stack.enter_context(run(self._listener, self._known)).process


def _disturb(fleet: _Fleet, rng: random.Random) -> tuple[Counter[str], int]:
    """Kill until the coordinator is done: how often each kind, and how often one ended by itself."""
    killed, ended = Counter[str](), 0
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        ends = time.monotonic() + rng.uniform(*LIFE_S)
        while time.monotonic() < ends:
            time.sleep(0.02)
            if fleet.running["coordinator"].poll() == 0:
                return killed, ended
        for name in [each for each, process in fleet.running.items() if process.poll() is not None]:
            ended += 1
            fleet.again(name)
        name = rng.choice([*fleet.make])
        killed[name.partition(" ")[0]] += 1
        fleet.again(name)
    return killed, ended


def _python(module: str, *arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment
    )


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.bundle").read_bytes()).hexdigest()


if __name__ == "__main__":
    main(cases)
