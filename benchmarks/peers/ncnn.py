"""ncnn, from ONNX by pnnx: fp32, with the options that would make it 16-bit switched off."""

import importlib
import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_runtime.tensors import Array

# pnnx's Python part needs PyTorch; the program that it wraps does not.
PACKAGES = ("ncnn==1.0.20261020", "pnnx==20261020", "numpy==2.4.6")
PACKAGE = "ncnn"
FORMS = ("fp32",)


def load(model: Path, _form: str, folder: Path) -> Callable[[Array], Callable[[], Array]]:
    """Convert the model for the shape of one sample, and open it on one thread."""
    shape = [1, *np.load(folder / "samples.npy", mmap_mode="r").shape[1:]]
    copy = folder / "network.onnx"  # pnnx writes beside its input
    shutil.copyfile(model, copy)
    found = importlib.util.find_spec("pnnx")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("pnnx is not installed")
    command = [str(Path(found.origin).with_name("pnnx")), copy.name, f"inputshape={shape}".replace(" ", "")]
    done = subprocess.run(
        [*command, "fp16=0"], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    parameters = folder / "network.ncnn.param"
    if done.returncode or not parameters.exists():
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError(f"pnnx does not convert it: {lines[-1] if lines else done.returncode}")
    ncnn = importlib.import_module("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    for name in ("use_vulkan_compute", "use_bf16_storage", "use_fp16_packed", "use_fp16_storage"):
        setattr(net.opt, name, False)
    net.opt.use_fp16_arithmetic = False
    if net.load_param(str(parameters)) or net.load_model(str(parameters.with_suffix(".bin"))):
        raise RuntimeError("ncnn does not read what pnnx made")
    source, target = net.input_names()[0], net.output_names()[0]

    def bind(x: Array) -> Callable[[], Array]:
        held = np.ascontiguousarray(x[0])

        def call() -> Array:
            extractor = net.create_extractor()
            extractor.input(source, ncnn.Mat(held))
            return np.array(extractor.extract(target)[1])

        return call

    return bind
