"""Engines: what runs a graph. One module for each, the only one that imports it; what they give is an `Engine`.

An engine reads one form of a model: onnxruntime `infer.onnx`, LiteRT `infer.tflite`. A bundle may carry both.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edge_runtime.errors import BackendError
from edge_runtime.tensors import Array, TensorSpec

FILES = {"onnxruntime": "infer.onnx", "litert": "infer.tflite"}
"""The engines, and the file of a bundle that each reads."""


class Engine(Protocol):
    """A loaded model. `inputs` and `outputs` are its signature; a length that varies has a name."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once, with an array for each of `inputs`; may be called from several threads.

        Raises:
            InputError: the arrays do not fit.
            ModelError: the engine failed while running.
        """
        ...

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """A call that runs the model from arrays into arrays that are there already, contiguous and of its types.

        The call raises `ModelError` when the engine fails.
        """
        ...


def engine_for(path: str | os.PathLike[str]) -> str:
    """The engine that reads a file: LiteRT for .tflite, else onnxruntime."""
    return "litert" if os.fspath(path).endswith(".tflite") else "onnxruntime"


def installed(name: str) -> bool:
    """Whether the engine's package is there; it is not imported."""
    import importlib.util

    packages = {"onnxruntime": ("onnxruntime",), "litert": ("ai_edge_litert", "tflite_runtime")}[name]
    return any(importlib.util.find_spec(package) is not None for package in packages)


def open_engine(
    name: str, model: bytes | str | os.PathLike[str], *, where: str, threads: int = 0, **options: Any
) -> Engine:
    """Load a model on the engine of that name; what the engine needs is imported here and not before.

    Args:
        name: one of `FILES`.
        model: the content of the file that the engine reads, or its path.
        where: what to call it in an error.
        threads: threads within an operator; 0 lets the engine choose.
        options: further arguments of `edge_runtime.engines.onnx.open_session`, or of `LiteRT`.

    Raises:
        BackendError: there is no such engine, or it is not installed.
        ModelError: the engine does not accept the model.
    """
    if name == "litert":
        from edge_runtime.engines.litert import LiteRT

        return LiteRT(model, where=where, threads=threads, **options)
    if name != "onnxruntime":
        raise BackendError(f"no engine '{name}'; there are {', '.join(FILES)}")
    from edge_runtime.engines.onnx import OnnxRuntime

    return OnnxRuntime(model, where=where, threads=threads, **options)
