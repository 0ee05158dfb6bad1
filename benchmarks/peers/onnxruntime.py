"""onnxruntime itself: fp32, and int8 by its own `quantize_static`, each with its defaults."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edge_runtime.tensors import Array

PACKAGES: tuple[str, ...] = ()
PACKAGE = "onnxruntime"
FORMS = ("fp32", "int8")


def load(model: Path, form: str, folder: Path) -> Callable[[Array], Callable[[], Array]]:
    """Open the model on one thread."""
    ort = importlib.import_module("onnxruntime")
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = _quantized(model, folder) if form == "int8" else model
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: lambda: session.run(None, {name: x})[0]


def _quantized(model: Path, folder: Path) -> Path:
    ort = importlib.import_module("onnxruntime")
    tools = importlib.import_module("onnxruntime.quantization")
    preparation = importlib.import_module("onnxruntime.quantization.shape_inference")
    name = ort.InferenceSession(str(model)).get_inputs()[0].name
    rows: Iterator[Array] = iter(np.load(folder / "calibration.npy"))

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, Array] | None:
            row = next(rows, None)
            return None if row is None else {name: row[None]}

    prepared, made = folder / "prepared.onnx", folder / "quantized.onnx"
    preparation.quant_pre_process(str(model), str(prepared))
    tools.quantize_static(str(prepared), str(made), Reader(), per_channel=True)
    return made
