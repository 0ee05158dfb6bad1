"""A federated run whose coordinator, broker and devices are killed at random 100 times: is the model the same?"""

import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from typing import Self

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Samples
from edge_runtime.console import progress
from examples import digits
from federated import Settings, federate
from federated.history import History
from federated.link import brokers, keys
from federated.link.brokers import Listener
from federated.outputs import read_history
from federated.run import split, take

KILLS, ROUNDS, DEVICES, SEED = 100, 400, 3, 0
LIFE_S = (0.3, 3.0)  # between one kill and the next
PORT = 18997


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as scratch:
        desk = Path(scratch)
        train, test = digits.load()
        settings = Settings(rounds=ROUNDS, clients=DEVICES)
        bundle = _bundle(desk)
        some = Samples(train.x[:300], np.asarray(train.y)[:300])
        np.savez(desk / "test.npz", x=test.x[:100], y=np.asarray(test.y)[:100])
        for number, part in enumerate(split(some, settings)):
            share = take(some, part)
            keys.enrol(f"d{number}", desk / "keys")
            np.savez(desk / f"d{number}.npz", x=share.x, y=np.asarray(share.y))
        held_out = Samples(test.x[:100], np.asarray(test.y)[:100])
        federate(bundle, some, settings, out=desk / "undisturbed", test=held_out, progress=False)
        began = time.monotonic()
        killed, done = _disturbed(desk, bundle)
        seconds = time.monotonic() - began
        history = read_history(desk / "run")
        same = _digest(desk / "run") == _digest(desk / "undisturbed")
    note = ", ".join(f"{name} {count}" for name, count in sorted(killed.items()))
    during = f"{done} of them before the last round; {seconds:.0f} s"
    yield Case("kills", sum(killed.values()), "kills", KILLS, "higher", 1, f"{note}; {during}")
    yield Case(
        "model differs from the undisturbed run's",
        float(not same),
        "",
        0,
        "lower",
        1,
        "SHA-256 of the bundle",
    )
    yield Case(
        "rounds lost or counted twice", _wrong(history), "rounds", 0, "lower", ROUNDS, "by the history"
    )


def _bundle(desk: Path) -> Path:
    network, example = digits.model()
    model = convert(network, example=example, trainable=True)
    return pack_trainable(model, desk / "d.bundle", name="d", target="x86-64").path


def _disturbed(desk: Path, bundle: Path) -> tuple[Counter[str], int]:
    """The run, its processes killed and started again; how often each, and how many kills came while it ran."""
    rng = random.Random(SEED)  # noqa: S311  (when, not what)
    with _Broker(desk) as broker:
        made = {"coordinator": lambda: _serve(desk, bundle)} | {
            f"device {k}": lambda k=k: _join(desk, bundle, k) for k in range(DEVICES)
        }
        running = {name: make() for name, make in made.items()}
        killed: Counter[str] = Counter()
        done = 0
        try:
            for _ in progress(range(KILLS), "kill"):
                time.sleep(rng.uniform(*LIFE_S))
                done += running["coordinator"].poll() is None
                name = rng.choice([*made, "broker"])
                killed[name.partition(" ")[0]] += 1
                if name == "broker":
                    broker.again()
                    continue
                running[name].kill()
                running[name].wait()
                running[name] = made[name]()
            running["coordinator"].wait(600)
        finally:
            for process in running.values():
                process.kill()
                process.wait()
    return killed, done


class _Broker:
    """The embedded broker on one port, which can be killed and started again."""

    def __init__(self, desk: Path) -> None:
        folder = desk / "keys"
        self._known = brokers.passwords(keys.load_all(folder), keys.coordinator(folder))

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__(None, None, None)

    def _start(self) -> None:
        self._running = brokers.embedded(Listener(port=PORT), self._known)
        self._process = self._running.__enter__().process

    def again(self) -> None:
        """Kill it, and start another."""
        self._process.kill()
        self._process.wait()
        self._running.__exit__(None, None, None)
        self._start()


def _serve(desk: Path, bundle: Path) -> "subprocess.Popen[bytes]":
    arguments = [
        "--test",
        desk / "test.npz",
        "--keys",
        desk / "keys",
        "--out",
        desk / "run",
        "--rounds",
        ROUNDS,
    ]
    return _littoral("federate", "serve", bundle, *arguments, "--broker", f"mqtt://127.0.0.1:{PORT}")


def _join(desk: Path, bundle: Path, k: int) -> "subprocess.Popen[bytes]":
    mine = ["--data", desk / f"d{k}.npz", "--key", desk / f"keys/d{k}.key", "--state", desk / f"state{k}"]
    return _littoral("federate", "join", "--bundle", bundle, *mine, "--broker", f"mqtt://127.0.0.1:{PORT}")


def _littoral(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "edge_runtime", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.bundle").read_bytes()).hexdigest()


def _wrong(history: History) -> int:
    """Rounds that are missing, came twice, or left a device out."""
    numbers = [entry.number for entry in history.rounds]
    return len(set(range(1, ROUNDS + 1)) ^ set(numbers)) + sum(bool(entry.failed) for entry in history.rounds)


if __name__ == "__main__":
    main(cases)
