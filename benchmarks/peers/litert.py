"""LiteRT with its XNNPACK delegate: fp32 by onnx2tf, without TensorFlow; int8 by LiteRT's own quantiser."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_runtime.tensors import Array

PACKAGES = (
    "ai-edge-litert==2.3.0",
    "litert-quantizer==0.11.0",
    "onnx2tf==2.6.9",
    "absl-py==2.5.1",
    "backports.strenum==1.2.8",
    "flatbuffers==25.12.19",
    "immutabledict==4.3.1",
    "litert-lm-builder==0.18.1",
    "ml-dtypes==0.5.4",
    "numpy==2.4.6",
    "onnx==1.20.1",
    "onnxruntime==1.26.0",
    "protobuf==7.36.2",
    "psutil==5.9.5",
    "scipy==1.17.1",
    "sne4onnx==2.0.1",
    "sng4onnx==2.0.1",
    "tomli==2.5.0",
    "tqdm==4.70.1",
    "typing-extensions==4.16.0",
)
PACKAGE = "ai-edge-litert"
FORMS = ("fp32", "int8")


def load(model: Path, form: str, folder: Path) -> Callable[[Array], Callable[[], Array]]:
    """Convert the model unless it is a .tflite, and open it on one thread; inputs have the axes that it wants."""
    runtime = importlib.import_module("ai_edge_litert.interpreter")
    path = model if model.suffix == ".tflite" else _converted(model, folder)
    if form == "int8":
        path = _quantized(path, folder)
    interpreter = runtime.Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def bind(x: Array) -> Callable[[], Array]:
        held = _quantize(_channels_last(x, source["shape"]), source)

        def call() -> Array:
            interpreter.set_tensor(source["index"], held)
            interpreter.invoke()
            return _dequantize(interpreter.get_tensor(target["index"]), target)

        return call

    return bind


def _converted(model: Path, folder: Path) -> Path:
    importlib.import_module("onnx2tf").convert(
        input_onnx_file_path=str(model), output_folder_path=str(folder / "tflite"), non_verbose=True
    )
    (path,) = folder.glob("tflite/*_float32.tflite")
    return path


def _channels_last(x: Array, shape: Array) -> Array:
    if x.ndim == 4 and tuple(shape) != x.shape:
        x = x.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x)


def _quantize(x: Array, detail: dict[str, Array]) -> Array:
    kind = np.dtype(detail["dtype"])
    if kind.kind == "f":
        return x
    scale, zero = detail["quantization"]
    limits = np.iinfo(kind)
    integers: Array = np.clip(np.rint(x / scale) + zero, limits.min, limits.max).astype(kind)
    return integers


def _dequantize(x: Array, detail: dict[str, Array]) -> Array:
    if x.dtype.kind == "f":
        return x
    scale, zero = detail["quantization"]
    real: Array = (x.astype(np.float32) - zero) * np.float32(scale)
    return real


def _quantized(path: Path, folder: Path) -> Path:
    quantizer = importlib.import_module("litert_quantizer.quantizer")
    recipe = importlib.import_module("litert_quantizer.recipe")
    runtime = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(model_path=str(path))
    ((key, signature),) = interpreter.get_signature_list().items()
    shape = interpreter.get_input_details()[0]["shape"]
    rows = np.load(folder / "calibration.npy")
    feeds = [{signature["inputs"][0]: _channels_last(row[None], shape)} for row in rows]
    tool = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
    made = folder / "quantized.tflite"
    tool.quantize(tool.calibrate({key: feeds})).export_model(str(made), overwrite=True)
    return made
