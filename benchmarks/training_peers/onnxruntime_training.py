"""onnxruntime-training, the last release with training, whose steps alternate with ours over a pipe."""

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import onnx

from benchmarks.peers.environment import InstallError, interpreter
from edge_runtime.tensors import Array

VERSION = "1.19.2"
PACKAGES = (
    f"onnxruntime-training-cpu=={VERSION}",
    "numpy==1.26.4",
    "onnx==1.16.2",
    "protobuf==4.25.8",
    "Cerberus==1.3.8",
    "flatbuffers==25.12.19",
    "h5py==3.16.0",
    "mpmath==1.3.0",
    "packaging==26.3",
    "sympy==1.14.0",
)


class PeerError(Exception):
    """It cannot be installed, or does not build the step; the text is its own."""


class Peer:
    """A step of a model, until the block ends."""

    def __init__(self, model: onnx.ModelProto, x: Array, y: Array) -> None:
        """Start the process and wait until the step is built.

        Raises:
            PeerError: it cannot be installed, or does not build the step.
        """
        try:
            python = interpreter("onnxruntime-training", PACKAGES)
        except InstallError as error:
            raise PeerError(f"cannot be installed: {error}") from error
        self._scratch = tempfile.TemporaryDirectory(prefix="littoral-training-")
        folder = Path(self._scratch.name)
        onnx.save(model, folder / "model.onnx")
        np.savez(folder / "data.npz", x=x, y=y)
        worker = Path(__file__).with_name("onnxruntime_training_worker.py")
        self._log = folder / "log.txt"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-P", worker, folder / "model.onnx", folder / "data.npz", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=kept | {"OMP_NUM_THREADS": "1"},
                text=True,
                bufsize=1,
            )
        try:
            self._read()
        except PeerError:
            self.close()
            raise

    def step(self) -> float:
        """Milliseconds of one more step.

        Raises:
            PeerError: the process ended.
        """
        if self._process.stdin is None:
            raise PeerError("the process has no input")
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """End the process and remove its files."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
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

    def _read(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait(10)
            text = self._log.read_text("utf-8", errors="replace").strip().splitlines()
            raise PeerError(text[-1] if text else f"exit code {self._process.returncode}")
        return line.strip()
