"""A round of federated learning over the device link: what it costs beyond the work, and a device's memory.

Three devices, each a process, a model of 1 MB, a broker in a process of its own, everything on this machine. A round is
the whole of it: the model sent to all, one step of training, the updates back, screened and averaged. Flower's own
deployment engine does the same with the same apps.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
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
from federated.link import brokers, keys
from federated.link.brokers import Listener
from federated.link.mqtt import Address
from federated.serve import serve

DEVICES, HIDDEN, ROUNDS, SAMPLES = 3, 3333, 30, 32


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
        for number in range(DEVICES):
            federation.save(federation.samples(SAMPLES, number), folder / f"d{number}.npz")
            keys.enrol(f"d{number}", folder / "keys")
        yield from _link(folder, bundle)
        yield from _supernode(folder, bundle)


def _link(folder: Path, bundle: Bundle) -> Iterator[Case]:
    ring, own = keys.load_all(folder / "keys"), keys.coordinator(folder / "keys")
    with ExitStack() as stack:
        running = stack.enter_context(brokers.embedded(Listener(), brokers.passwords(ring, own)))
        devices = [_join(folder, bundle, number, running.port) for number in range(DEVICES)]
        for process in devices:
            stack.callback(process.wait)
            stack.callback(process.terminate)
        address = Address("127.0.0.1", running.port, user=own.device, password=own.password)

        def run(rounds: int, out: str) -> list[float]:
            settings = Settings(rounds=rounds, clients=DEVICES, batch_size=SAMPLES)
            held_out = federation.samples(SAMPLES, 99)
            history = serve(
                bundle, held_out, settings, keys=ring, address=address, out=folder / out, progress=False
            )
            return [entry.seconds for entry in history.rounds]

        run(2, "warm")
        watch = Watch([process.pid for process in devices])
        watch.start()
        seconds = run(ROUNDS, "run")
        watch.stop()
        time.sleep(0.2)
        idle = max(federation.resident_mb(process.pid) for process in devices)
        peak = max(federation.resident_mb(process.pid, "VmHWM") for process in devices)
    size = sum(array.nbytes for array in _weights(bundle)) / 1e6
    note = f"{DEVICES} devices, {size:.2f} MB, whole round with a step of {SAMPLES} samples; slowest {max(seconds):.3f}"
    yield Case("overhead_s", round(median(seconds), 4), "s", 0.20, "lower", len(seconds), note)
    note = f"largest of {DEVICES} while rounds run; {peak:.0f} at most while the graph is loaded"
    yield Case("client_rss_mb", round(max(watch.largest.values()), 1), "MB", 60, "lower", len(seconds), note)
    yield Case("client_rss_mb/idle", round(idle, 1), "MB", None, "lower", DEVICES, "waiting for work")


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
            seconds, largest = deployment.run(rounds=3, test=federation.samples(SAMPLES, 99))
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
