"""Real `littoral agent` processes on this machine: enrolled by tokens, with certificates, told what to run."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
from sqlalchemy import select

from benchmarks.fleet_load.cloud import Cloud
from cloud.database.tables import twins
from cloud.identity import Authority, Enrolments, Reach
from cloud.rollouts.spec import Spec
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Bundle, Manifest, Samples, Session, Trainer
from edge_runtime.agent import vectors
from edge_runtime.bundle import pack
from examples import digits

MODEL, TARGET = "digits", "x86-64"
_AT_ONCE = 4  # enrolments under way
_LOOK_S, _END_S = 0.5, 30.0


def releases(folder: Path) -> list[Path]:
    """Two bundles: a network trained on half of the digits, and the same after an epoch with the other half."""
    train, _ = digits.load()
    half, y = len(train) // 2, np.asarray(train.y)
    first, then = (Samples(train.x[part], y[part]) for part in (slice(0, half), slice(half, None)))
    network, example = digits.model()
    pack_trainable(
        convert(network, example=example, trainable=True), folder / "begin.bundle", name=MODEL, target=TARGET
    )
    trainer = Trainer(folder / "begin.bundle", threads=1)
    trainer.fit(first, epochs=3, lr=0.05)
    before = trainer.export(folder / "before.bundle")
    later = Trainer(before, threads=1)
    later.fit(then, epochs=1, lr=1e-3)
    made = (before, later.export(folder / "after.bundle"))
    return [_packed(each, folder / f"{MODEL}-{v}.bundle", first.x) for v, each in enumerate(made, 1)]


def _packed(trained: Bundle, path: Path, x: Any) -> Path:
    """Only what answers, with its self-test and what drift is measured by."""
    graph = trained.read("infer.onnx")
    session = Session(graph, threads=1)
    manifest = Manifest(MODEL, TARGET, session.inputs, session.outputs)
    pack(path, manifest, {"infer.onnx": graph, **vectors.files(session, x[:128])})
    return path


class Agents:
    """`count` devices, each an agent process with a store of its own below `folder`."""

    def __init__(self, cloud: Cloud, folder: Path, count: int) -> None:
        self.cloud, self.folder = cloud, folder
        self.names = [f"agent-{i:03d}" for i in range(count)]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.watch = Watch(self.processes)

    def enrol(self) -> float:
        """First contact of all, each by a token of its own; seconds."""
        enrolments = Enrolments(
            self.cloud.database, Authority(self.cloud.home.ca), Reach(self.cloud.settings.url)
        )
        strings = [enrolments.token(name) for name in self.names]
        began = time.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._enrol, self.names, strings))
        return time.monotonic() - began

    def _enrol(self, name: str, string: str) -> None:
        command = [sys.executable, "-m", "edge_runtime", "agent", "enrol", string]
        subprocess.run(
            [*command, "--store", str(self.folder / name)], check=True, capture_output=True, timeout=120
        )

    def __enter__(self) -> Self:
        """Start them all."""
        one = {**os.environ, "OMP_NUM_THREADS": "1"}
        for name in self.names:
            command = [sys.executable, "-m", "edge_runtime", "agent", "--store", str(self.folder / name)]
            with (self.folder / f"{name}.log").open("wb") as log:
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=one))
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self.watch.stop()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def roll(self, version: int, sha256: str, longest_s: float) -> float:
        """Roll a version out to all at once; seconds until the last of them has it behind its probation."""
        began = time.monotonic()
        spec: dict[str, Any] = {
            "name": f"{MODEL}-{version}", "release": MODEL, "version": version, "phases": ["100 %"], "jitter_s": 0,
"soak_s": 0, "probation_s": 5, "patience_s": int(longest_s),
            "shadow": {"samples": 0, "max_slower_ppm": 1_000_000_000},  # they share two processors: no clock is just
        }  # fmt: skip
        self.cloud.rollouts.create(Spec.read(spec), "benchmark")
        self.cloud.rollouts.start(f"{MODEL}-{version}", "benchmark")
        until(lambda: self.running(sha256) == len(self.names), longest_s)
        seconds = time.monotonic() - began
        until(lambda: self.cloud.rollouts.get(f"{MODEL}-{version}").state == "finished", _END_S)
        return seconds

    def running(self, sha256: str) -> int:
        """How many run it, by the database."""
        return sum(each.get("state") == "running" and each.get("model") == sha256 for each in self.reports())

    def moved(self) -> int:
        """Bytes of bundles and patches that the last update of each moved, by their own reports."""
        return sum(int(each.get("fetched_bytes", 0)) for each in self.reports())

    def reports(self) -> list[dict[str, Any]]:
        """What each reported last."""
        query = select(twins.c.reported).where(twins.c.device.in_(self.names), twins.c.reported.is_not(None))
        with self.cloud.database.read() as connection:
            return list(connection.execute(query).scalars())

    def alive(self) -> int:
        """How many of the processes run."""
        return sum(process.poll() is None for process in self.processes)


class Watch(threading.Thread):
    """Looks at the memory of processes and of their children, again and again; megabytes resident."""

    def __init__(self, processes: "list[subprocess.Popen[bytes]]") -> None:
        super().__init__(daemon=True)
        self._processes, self._stopped = processes, threading.Event()
        self.most: dict[int, float] = {}  # of each process
        self.child = 0.0  # the largest child
        self.together = 0.0  # all that ran at one time

    def run(self) -> None:
        """Look."""
        while not self._stopped.wait(_LOOK_S):
            own = {process.pid: resident(process.pid) for process in list(self._processes)}
            for pid, mb in own.items():
                self.most[pid] = max(self.most.get(pid, 0.0), mb)
            children = [resident(child) for pid in own for child in _children(pid)]
            self.child = max([self.child, *children])
            self.together = max(self.together, sum(own.values()) + sum(children))

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self.is_alive():
            self.join()


def resident(pid: int) -> float:
    """Megabytes; 0 of a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text("ascii").split()
    except OSError:
        return 0.0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(each) for each in path.read_text("ascii").split()]
        except OSError:
            continue
    return found


def until(true: Callable[[], bool], longest_s: float) -> bool:
    """Wait until it is true, or the time is over; whether it is."""
    end = time.monotonic() + longest_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return True
