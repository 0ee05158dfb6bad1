"""The LiteRT engine: the only place that imports ai_edge_litert, or tflite_runtime where only that is installed.

Float and integer operators run in XNNPACK, which LiteRT applies by itself; what XNNPACK does not know runs in LiteRT's
own kernels. Tensors are allocated once and kept from call to call: an input is copied into its tensor and an output out
of it, each once, by memcpy.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from edge_runtime.errors import BackendError, ModelError
from edge_runtime.tensors import Array, TensorSpec, check_inputs

_heard = False


@cache
def load() -> Any:
    """The class `Interpreter`, of ai_edge_litert or of tflite_runtime.

    Raises:
        BackendError: neither is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise BackendError(
                f"LiteRT cannot be imported ({error}): pip install 'littoral[litert]'"
            ) from error
    return Interpreter


class LiteRT:
    """An `edge_runtime.engines.Engine`. Calls from several threads wait for each other: there is one set of tensors."""

    def __init__(
        self,
        model: bytes | str | os.PathLike[str],
        *,
        where: str,
        threads: int = 0,
        xnnpack: bool = True,
        flags: Sequence[str] = (),
    ) -> None:
        """Load a .tflite model and allocate its tensors.

        Args:
            model: the content of a .tflite file, or its path, which is then mapped into memory.
            where: what to call it in an error.
            threads: threads within an operator; 0 takes one for each core that the process may use.
            xnnpack: False runs every operator in LiteRT's own kernels.
            flags: of the interpreter's experimental switches, those to set, without "experimental_".

        Raises:
            BackendError: LiteRT is not installed.
            ModelError: LiteRT does not accept the model.
        """
        interpreter = load()
        given: dict[str, Any] = (
            {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        )
        given |= {f"experimental_{flag}": True for flag in flags}
        if not xnnpack:
            resolvers = sys.modules[interpreter.__module__].OpResolverType
            given["experimental_op_resolver_type"] = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._where = where
        self._lock = threading.Lock()
        try:
            with _quiet():
                self._interpreter = interpreter(**given, num_threads=threads or _cores())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelError(f"{where}: LiteRT does not accept this model: {_first(error)}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs = tuple(map(_spec, inputs))
        self.outputs = tuple(map(_spec, outputs))
        self._in = {str(entry["name"]): int(entry["index"]) for entry in inputs}
        self._out = [(str(entry["name"]), int(entry["index"])) for entry in outputs]
        self._shapes = {str(entry["name"]): tuple(map(int, entry["shape"])) for entry in inputs}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once.

        Args:
            inputs: an array for each of `inputs`, as declared there.

        Returns:
            An array for each of `outputs`; it is the caller's own.

        Raises:
            InputError: the arrays do not fit.
            ModelError: LiteRT failed while running.
        """
        interpreter = self._interpreter
        with self._lock:
            try:
                if {name: array.shape for name, array in inputs.items()} != self._shapes:
                    self._resize(inputs)
                for name, array in inputs.items():
                    interpreter.set_tensor(self._in[name], array)
                interpreter.invoke()
                return {name: interpreter.get_tensor(index) for name, index in self._out}
            except (ValueError, RuntimeError) as error:
                check_inputs(self.inputs, inputs)
                raise ModelError(f"{self._where}: failed while running: {_first(error)}") from error

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """A call that copies these arrays in and out; LiteRT has its own memory. See `edge_runtime.engines.Engine`."""

        def call() -> None:
            for name, array in self.run(inputs).items():
                if name in outputs:
                    np.copyto(outputs[name], array)

        return call

    def _resize(self, inputs: Mapping[str, Array]) -> None:
        """Allocate for inputs of other lengths; LiteRT itself would accept any and fail in some operator."""
        check_inputs(self.inputs, inputs)
        self._shapes = {}  # until it has worked, the next call comes here again
        for name, array in inputs.items():
            self._interpreter.resize_tensor_input(self._in[name], array.shape)
        self._interpreter.allocate_tensors()
        self._shapes = {name: array.shape for name, array in inputs.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT writes to stderr that it has XNNPACK, once in a process, and has no switch for it."""
    global _heard
    if _heard:
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        _heard = True


def _spec(entry: Mapping[str, Any]) -> TensorSpec:
    """The signature of one tensor; a length that varies is named after its axis, as an unnamed one of ONNX is."""
    lengths = entry["shape_signature"]
    shape = tuple(f"d{k}" if length < 0 else int(length) for k, length in enumerate(lengths))
    return TensorSpec(str(entry["name"]), np.dtype(entry["dtype"]).name, shape)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
