"""MNN: fp32, from ONNX by its own converter."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_runtime.tensors import Array

PACKAGES = ("MNN==3.6.1", "numpy==2.4.6")
PACKAGE = "mnn"
FORMS = ("fp32",)


def load(model: Path, _form: str, folder: Path) -> Callable[[Array], Callable[[], Array]]:
    """Convert the model, and open it on one thread at high precision, which is float32."""
    made = folder / "network.mnn"
    tool = [sys.executable, "-m", "MNN.tools.mnnconvert", "-f", "ONNX", "--bizCode", "littoral"]
    done = subprocess.run(
        [*tool, "--modelFile", str(model), "--MNNModel", str(made)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if not made.exists():
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError(f"mnnconvert does not convert it: {lines[-1] if lines else done.returncode}")
    nn, expr = (importlib.import_module(f"MNN.{name}") for name in ("nn", "expr"))
    manager = nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
    net = nn.load_module_from_file(str(made), [], [], runtime_manager=manager)

    def bind(x: Array) -> Callable[[], Array]:
        held = expr.const(np.ascontiguousarray(x), list(x.shape), expr.NCHW)

        def call() -> Array:
            return np.array(net.forward([held])[0].read())

        return call

    return bind
