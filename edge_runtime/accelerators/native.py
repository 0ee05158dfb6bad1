"""Runs a full-integer TFLite model with channels last, as NPU compilers take it, on real numbers in ONNX's order.

LiteRT's integer kernels compute what an Ethos-U does (its compiler keeps to TFLite's arithmetic), so this is how
near the NPU's answers come to the graph's, on any machine.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_runtime.engines import litert
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


def run(model: bytes, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run the samples one after another.

    Args:
        model: the content of a .tflite file whose batch is 1.
        inputs: [n, channels, ...] by name, in real numbers.

    Returns:
        Outputs by name, [n, channels, ...] in real numbers.

    Raises:
        BackendError: LiteRT is not installed.
        ModelError: it does not accept the model.
    """
    try:
        interpreter = litert.load()(model_content=model, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"LiteRT does not accept this model: {error}") from error
    rows: dict[str, list[Array]] = {}
    for k in range(len(next(iter(inputs.values())))):
        for entry in interpreter.get_input_details():
            sample = inputs[entry["name"]][k : k + 1]
            interpreter.set_tensor(entry["index"], _quantized(_last(sample), entry))
        interpreter.invoke()
        for entry in interpreter.get_output_details():
            found = _real(interpreter.get_tensor(entry["index"]), entry)
            rows.setdefault(entry["name"], []).append(_first(found))
    return {name: np.concatenate(row) for name, row in rows.items()}


def _last(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if x.ndim > 2 else x


def _first(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim > 2 else x


def _quantized(x: Array, entry: Mapping[str, Any]) -> Array:
    scale, zero_point = entry["quantization"]
    dtype = np.dtype(entry["dtype"])
    if not scale:
        return x.astype(dtype)
    limits = np.iinfo(dtype)
    clipped: Array = np.clip(np.round(x / scale) + zero_point, limits.min, limits.max)
    return clipped.astype(dtype)


def _real(x: Array, entry: Mapping[str, Any]) -> Array:
    scale, zero_point = entry["quantization"]
    return np.asarray((x.astype(np.float32) - zero_point) * np.float32(scale)) if scale else x
