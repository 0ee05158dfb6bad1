"""A peer as the benchmark sees it: a process that loaded a model once, and answers how long a call takes."""

import importlib
import json
import math
import os
import random
import select
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.peers.environment import InstallError, interpreter
from edge_runtime.tensors import Array

PEERS = ("onnxruntime", "litert", "openvino", "ncnn", "mnn")
_ROOT = Path(__file__).parents[2]
_LIMIT_S = 300


class PeerError(Exception):
    """A peer cannot be installed, does not take the model, or gives other outputs; the text says which and why."""


class Peer:
    """One engine with one model, in a process of its own, until the block ends.

    `cpu_ms` holds what `race` measured; `note` is the caller's.
    """

    def __init__(self, engine: str, form: str, model: Path, samples: Array, calibration: Array) -> None:
        """Start the process and wait until the model is loaded.

        Args:
            engine: a module of this package.
            form: one of the module's FORMS.
            model: float32 ONNX with a batch of one; for `littoral`, a bundle.
            samples: float32[n, ...], the first of which is timed.
            calibration: float32[n, ...], for a form that has to be calibrated.

        Raises:
            PeerError: the engine cannot be installed, or does not take the model.
        """
        self.engine, self.form, self.model, self.samples = engine, form, model, samples
        self.module = importlib.import_module(f"benchmarks.peers.{engine}")
        self.cpu_ms: list[float] = []
        self.note = ""
        try:
            python = interpreter(engine, self.module.PACKAGES)
        except InstallError as error:
            raise PeerError(f"cannot be installed: {error}") from error
        self._scratch = tempfile.TemporaryDirectory(prefix=f"littoral-{engine}-")
        folder = Path(self._scratch.name)
        np.save(folder / "samples.npy", samples)
        np.save(folder / "calibration.npy", calibration)
        self._log = folder / "log.txt"
        command = [str(python), "-P", "-m", "benchmarks.peers.serve", engine, form]
        command += [str(model.absolute()), str(folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                cwd=folder,
            )
        try:
            self._read()
        except PeerError:
            self.close()
            raise

    @property
    def version(self) -> str:
        """The package and version that runs."""
        pins = [pin for pin in self.module.PACKAGES if pin.lower().startswith(f"{self.module.PACKAGE}==")]
        if pins:
            return str(pins[0]).replace("==", " ")
        return f"{self.module.PACKAGE} {importlib.import_module('importlib.metadata').version(self.module.PACKAGE)}"

    def outputs(self) -> Array:
        """The first output for every sample: float32[n, values].

        Raises:
            PeerError: the process died.
        """
        path = Path(self._scratch.name, "outputs.npy")
        self._ask({"outputs": str(path)})
        found: Array = np.load(path)
        return found

    def run(self, n: int) -> dict[str, float]:
        """Time `n` calls, as `cpu_ms` and `wall_ms` a call.

        Raises:
            PeerError: the process died.
        """
        return self._ask({"run": n})

    def close(self) -> None:
        """End the process and remove its files."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None or self._process.poll() is not None:
            raise PeerError(f"the process ended: {self._complaint()}")
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise PeerError("the process has no output")
        ready, _, _ = select.select([self._process.stdout], [], [], _LIMIT_S)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            reason = self._complaint() if ready else f"no answer in {_LIMIT_S} s"
            self._process.kill()
            raise PeerError(f"the process ended: {reason}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"does not take the model: {answer['error']}")
        return answer

    def _complaint(self) -> str:
        text = self._log.read_text("utf-8", errors="replace") if self._log.exists() else ""
        return next(reversed(text.strip().splitlines()), f"exit code {self._process.poll()}")


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {"PYTHONPATH": str(_ROOT), "PYTHONNOUSERSITE": "1"}


def check(found: Array, reference: Array, tolerance: float) -> float:
    """Largest difference from onnxruntime's fp32 outputs, relative to their largest value.

    Raises:
        PeerError: it is above `tolerance`, or not finite, or the shapes differ.
    """
    if found.shape != reference.shape:
        raise PeerError(f"wrong outputs: shape {found.shape}, onnxruntime's is {reference.shape}")
    difference = float(np.abs(found - reference).max() / max(1.0, float(np.abs(reference).max())))
    if not difference <= tolerance:
        raise PeerError(f"wrong outputs: {difference:.2g} of the largest value from onnxruntime's fp32")
    return difference


def race(peers: Sequence[Peer], rounds: int = 30, least_ms: float = 5.0) -> list[float]:
    """Median processor time of a call, in milliseconds, of each peer; each has one turn a round, in an order by lot.

    Processor time, because others use the machine meanwhile; every peer has one thread, so that on an idle machine
    the clock shows the same. A turn is as many calls as take the first peer about `least_ms`.
    """
    for peer in peers:
        peer.cpu_ms.clear()
    calls = max(1, math.ceil(least_ms / max(peers[0].run(3)["cpu_ms"], 1e-3)))
    lot = random.Random(0)  # noqa: S311  (an order, not a secret)
    for _ in range(rounds):
        for peer in lot.sample(peers, len(peers)):
            peer.cpu_ms.append(peer.run(calls)["cpu_ms"])
    return [statistics.median(peer.cpu_ms) for peer in peers]
