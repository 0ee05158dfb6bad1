"""OpenVINO on its CPU plug-in: fp32, and int8 by NNCF with its defaults."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_runtime.tensors import Array

PACKAGES = (
    "openvino==2026.4.1",
    "openvino-telemetry==2025.2.0",
    "numpy==2.4.6",
    "nncf==3.4.0",
    "joblib==1.6.0",
    "markdown-it-py==4.3.0",
    "mdurl==0.1.2",
    "narwhals==2.29.0",
    "networkx==3.6.1",
    "ninja==1.13.2",
    "packaging==26.3",
    "psutil==7.2.2",
    "pydot==4.0.1",
    "pygments==2.21.0",
    "pyparsing==3.3.3",
    "rich==15.0.0",
    "safetensors==0.8.0",
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "tabulate==0.10.0",
    "threadpoolctl==3.8.0",
)
PACKAGE = "openvino"
FORMS = ("fp32", "int8")


def load(model: Path, form: str, folder: Path) -> Callable[[Array], Callable[[], Array]]:
    """Compile the model for one thread, in float32 where the processor would offer bfloat16."""
    ov = importlib.import_module("openvino")
    core = ov.Core()
    network = core.read_model(str(model))
    if form == "int8":
        nncf = importlib.import_module("nncf")
        rows = np.load(folder / "calibration.npy")
        network = nncf.quantize(network, nncf.Dataset([row[None] for row in rows]), subset_size=len(rows))
    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(network, "CPU", options)

    def bind(x: Array) -> Callable[[], Array]:
        request = compiled.create_infer_request()
        request.set_input_tensor(ov.Tensor(np.ascontiguousarray(x)))

        def call() -> Array:
            request.infer()
            return np.array(request.get_output_tensor().data)

        return call

    return bind
