"""Rockchip's NPUs: rknn-toolkit2 converts a graph and runs it in its simulator, in a Python of its own.

The toolkit pins other versions of numpy, onnx and protobuf than this package takes, so it lives in another environment;
`LITTORAL_RKNN_PYTHON` names the Python of that. It takes a graph in QDQ form as it is: the integers are those that the
bundle was measured with. On the board its runtime, rknn-toolkit-lite2, loads the result.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_runtime.errors import BackendError, ModelError
from edge_runtime.tensors import Array

VARIABLE = "LITTORAL_RKNN_PYTHON"
"""Environment variable that names the Python that has rknn-toolkit2."""
PLATFORMS = ("rk3562", "rk3566", "rk3568", "rk3576", "rk3588", "rv1103", "rv1106")
_WORKER = Path(__file__).with_name("rknn_worker.py")
_LIMIT_S = 900


@dataclass(frozen=True, slots=True)
class Converted:
    """The .rknn file, the version of the toolkit, and what its simulator gave, in the order of the model's outputs."""

    content: bytes
    version: str
    outputs: tuple[Array, ...] = field(default=())


def convert(model: bytes, platform: str, inputs: Mapping[str, Array] | None = None) -> Converted:
    """Convert a graph for a chip, and run it in the simulator if inputs are given.

    Args:
        model: serialised ONNX, in QDQ form or in floats.
        platform: one of `PLATFORMS`.
        inputs: float32[n, ...], by name in the order of the graph's inputs; each sample is run by itself.

    Raises:
        BackendError: the toolkit is not there, or its process died.
        ModelError: the toolkit refuses the graph.
    """
    if platform not in PLATFORMS:
        raise BackendError(f"no Rockchip platform '{platform}'; there are {', '.join(PLATFORMS)}")
    with tempfile.TemporaryDirectory(prefix="littoral-") as folder:
        home = Path(folder)
        (home / "model.onnx").write_bytes(model)
        request = {"model": "model.onnx", "platform": platform, "output": "model.rknn"}
        if inputs is not None:
            np.savez(home / "inputs.npz", *inputs.values())
            request |= {"inputs": "inputs.npz", "outputs": "outputs.npz"}
        # As text: as a file, its folder would stand in front of the toolkit's own modules.
        call = [python(), "-c", _WORKER.read_text("utf-8"), json.dumps(request)]
        answer = _ask(call, home)
        if "error" in answer:
            raise ModelError(f"rknn-toolkit2 does not convert this model: {answer['error']}")
        outputs: tuple[Array, ...] = ()
        if inputs is not None:
            with np.load(home / "outputs.npz") as arrays:
                outputs = tuple(arrays[name] for name in arrays.files)
        return Converted((home / "model.rknn").read_bytes(), answer["version"], outputs)


def _ask(call: list[str], folder: Path) -> dict[str, str]:
    try:
        done = subprocess.run(
            call, cwd=folder, capture_output=True, text=True, check=False, timeout=_LIMIT_S, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"rknn-toolkit2's Python does not run: {error}") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = done.stderr.strip().splitlines()
        raise BackendError(f"rknn-toolkit2's process failed: {said[-1] if said else done.returncode}")
    answer: dict[str, str] = json.loads(lines[-1])
    return answer


def python() -> str:
    """The Python that has the toolkit.

    Raises:
        BackendError: none is known.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return named
    if importlib.util.find_spec("rknn") is None:
        raise BackendError(
            f"rknn-toolkit2, which converts for Rockchip's NPUs, is not here; install it in an environment of its "
            f"own and set {VARIABLE} to the Python of that"
        )
    return sys.executable
