"""The ONNX Runtime engine: the only place that imports onnxruntime.

On x86 without VNNI, ONNX Runtime's int8 kernels add pairs of products in saturating 16 bits, which cost an
EfficientNet-Lite0 twelve points of agreement. `session.x64quantprecision` makes them exact and slower; it is set
wherever it matters, and has no effect on floating-point graphs, on Arm, or with VNNI. A model whose metadata says
`HEADROOM` was quantised so that no such pair exceeds 16 bits: the fast kernels are exact for it.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from edge_runtime.engines import memory
from edge_runtime.errors import BackendError, ModelError
from edge_runtime.tensors import Array, TensorSpec, check_inputs
from edge_runtime.training.heap import give_back

HEADROOM = "littoral.int8_headroom"
_TAIL = 65_536  # bytes at the end of a model, where its metadata stands
_DTYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "object"}


@cache
def load() -> ModuleType:
    """The onnxruntime module, quiet below errors.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"onnxruntime cannot be imported ({error}): pip install 'littoral[device]'"
        ) from error
    onnxruntime.set_default_logger_severity(4)  # what fails is raised, and said once
    getattr(onnxruntime, "disable_telemetry_events", int)()  # what a device runs is nobody's business
    module: ModuleType = onnxruntime
    return module


def open_session(
    model: bytes | str | os.PathLike[str],
    *,
    where: str,
    providers: Sequence[str] = ("CPUExecutionProvider",),
    threads: int = 0,
    exact_int8: bool = True,
    config: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
    without: Sequence[str] = (),
) -> Any:
    """An `onnxruntime.InferenceSession` for serialised bytes or a file.

    Args:
        model: the graph.
        where: what to call it in an error.
        providers: execution providers, best first; each must be taken up, there is no silent fallback.
        threads: intra-operator threads; 0 lets ONNX Runtime choose.
        exact_int8: never use kernels that saturate.
        config: further session configuration entries.
        options: further attributes of `SessionOptions`.
        without: optimisers of graphs to leave out, by onnxruntime's names.

    Raises:
        BackendError: onnxruntime is missing, or a provider is.
        ModelError: onnxruntime does not accept the graph.
    """
    ort = load()
    for provider in providers:
        if provider not in ort.get_available_providers():
            have = ", ".join(ort.get_available_providers())
            raise BackendError(
                f"execution provider {provider} is not in onnxruntime {ort.__version__} here; it has {have}"
            )
    given = dict(config or {})
    if exact_int8 and saturates() and not _has_headroom(model):
        given = {"session.x64quantprecision": "1", **given}
    chosen = _options(threads, given, options or {})
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else os.fspath(model),
            chosen,
            providers=list(providers),
            disabled_optimizers=list(without),
            enable_fallback=0,  # it would only try the same again, and say so on stdout
        )
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{where}: onnxruntime {ort.__version__} does not accept this model: {first}"
        ) from error


def _options(threads: int, config: Mapping[str, str], attributes: Mapping[str, Any]) -> Any:
    """`SessionOptions` with these configuration entries and attributes."""
    ort = load()
    chosen = ort.SessionOptions()
    chosen.log_severity_level = 4
    if memory.shared_threads():
        chosen.use_per_session_threads = False
    else:
        chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    for name, value in attributes.items():
        kind = ort.GraphOptimizationLevel if name == "graph_optimization_level" else lambda as_it_is: as_it_is
        setattr(chosen, name, kind(value))
    for name, text in config.items():
        chosen.add_session_config_entry(name, text)
    return chosen


class OnnxRuntime:
    """An `edge_runtime.engines.Engine`, whose activations are in the arena that the process's sessions share."""

    def __init__(
        self, model: bytes | str | os.PathLike[str], *, where: str, threads: int = 0, **options: Any
    ) -> None:
        """Load a graph.

        Args:
            model: its bytes, or its path.
            where: what to call it in an error.
            threads: threads within an operator; 0 lets onnxruntime choose.
            options: further arguments of `open_session`.

        Raises:
            BackendError: onnxruntime is missing, or a provider is.
            ModelError: onnxruntime does not accept the graph, or the process's limit of memory is reached.
        """
        config = {"session.use_env_allocators": "1", **(options.pop("config", None) or {})}
        # A pattern is one block for all activations, of another size for each session: it fits into none left before.
        options["options"] = {"enable_mem_pattern": False, **(options.pop("options", None) or {})}
        size = len(model) if isinstance(model, bytes) else os.stat(model).st_size
        ticket = memory.reserve(size, where)
        try:
            session = open_session(model, where=where, threads=threads, config=config, **options)
        except BaseException:
            memory.release(ticket)
            raise
        memory.hold(ticket, self)
        session._model_bytes = None  # kept by the wrapper, to open it again on another provider
        if isinstance(model, bytes) or memory.others(ticket):
            give_back()  # what it was parsed into; not for a first file, whose start that would delay
        self.inputs, self.outputs = specs(session.get_inputs()), specs(session.get_outputs())
        self._names = [spec.name for spec in self.outputs]
        # The wrapper around it checks what `Session` has checked, and takes a microsecond for that.
        self._session, self._run = session, getattr(session, "_sess", session).run
        self._where, self._shrink = where, False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `edge_runtime.engines.Engine`."""
        try:
            if self._shrink:
                self._shrink = False
                found = self._run(self._names, inputs, _shrinking())
                give_back()
                return dict(zip(self._names, found, strict=True))
            return dict(zip(self._names, self._run(self._names, inputs, None), strict=True))
        except Exception as error:
            check_inputs(self.inputs, inputs)
            raise ModelError(f"{self._where}: failed while running: {_line(error)}") from error

    def shrink(self) -> None:
        """After its next run, give back what the shared arena holds and nobody uses."""
        self._shrink = True

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """A call that reads and writes these arrays where they are; see `edge_runtime.engines.Engine`."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ortvalue(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, ortvalue(array))

        def call() -> None:
            try:
                self._session.run_with_iobinding(binding)
            except Exception as error:
                raise ModelError(f"{self._where}: failed while running: {_line(error)}") from error

        return call


@cache
def _shrinking() -> Any:
    """Options of a run after which the arena gives back what is not in use."""
    chosen = load().RunOptions()
    chosen.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return chosen


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def write_optimised(
    model: bytes | str | os.PathLike[str], out: os.PathLike[str], weights: str, *, where: str, **options: Any
) -> None:
    """Write a graph as onnxruntime optimises it for this processor, so that it opens without being optimised again.

    Args:
        model: the graph.
        out: the file to write.
        weights: name of a file beside it for the weights, and for what kernels make of them, laid out to be mapped.
        where: what to call it in an error.
        options: as for `open_session`.

    Raises:
        ModelError: onnxruntime does not accept the graph, or cannot write what it made of it.
    """
    config = {
        **(options.pop("config", None) or {}),
        "session.optimized_model_external_initializers_file_name": weights,
        "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
        "session.save_external_prepacked_constant_initializers": "1",
    }
    given = {**(options.pop("options", None) or {}), "optimized_model_filepath": os.fspath(out)}
    open_session(model, where=where, config=config, options=given, **options)


def specs(nodes: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """The signature that `get_inputs()` or `get_outputs()` of a session describes."""
    found = []
    for node in nodes:
        kind = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(
            dim if isinstance(dim, int | str) else f"d{i}" for i, dim in enumerate(node.shape or [])
        )
        found.append(TensorSpec(node.name, _DTYPES.get(kind, kind), shape))
    return tuple(found)


def _has_headroom(model: bytes | str | os.PathLike[str]) -> bool:
    if isinstance(model, bytes):
        return HEADROOM.encode() in model[-_TAIL:]
    with open(model, "rb") as file:
        file.seek(max(0, os.stat(model).st_size - _TAIL))
        return HEADROOM.encode() in file.read()


@cache
def saturates() -> bool:
    """Whether this machine's int8 kernels may saturate: x86 without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as told:
            return "vnni" not in told.read()
    except OSError:
        return True


def ortvalue(array: Array) -> Any:
    """An `onnxruntime.OrtValue` over the memory of a contiguous `array`: what one writes, the other reads."""
    return load().OrtValue.ortvalue_from_numpy(array)
