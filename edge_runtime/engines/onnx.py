"""The ONNX Runtime engine: the only place that imports onnxruntime.

On x86 without VNNI, ONNX Runtime's int8 kernels add pairs of products in saturating 16 bits, which cost an
EfficientNet-Lite0 twelve points of agreement. `session.x64quantprecision` makes them exact and slower; it is set
wherever it matters, and has no effect on floating-point graphs, on Arm, or with VNNI. A model whose metadata says
`HEADROOM` was quantised so that no such pair exceeds 16 bits: the fast kernels are exact for it.
"""

import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_runtime.errors import BackendError, ModelError
from edge_runtime.tensors import Array, TensorSpec

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
    module: ModuleType = onnxruntime
    return module


def open_session(
    model: bytes | str | Path,
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
    chosen = ort.SessionOptions()
    chosen.log_severity_level = 4
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    for name, value in (options or {}).items():
        setattr(chosen, name, value)
    if exact_int8 and saturates() and not _has_headroom(model):
        chosen.add_session_config_entry("session.x64quantprecision", "1")
    for name, value in (config or {}).items():
        chosen.add_session_config_entry(name, value)
    try:
        return ort.InferenceSession(
            str(model) if isinstance(model, Path) else model,
            chosen,
            providers=list(providers),
            disabled_optimizers=list(without),
        )
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{where}: onnxruntime {ort.__version__} does not accept this model: {first}"
        ) from error


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


def _has_headroom(model: bytes | str | Path) -> bool:
    if isinstance(model, bytes):
        return HEADROOM.encode() in model[-_TAIL:]
    with Path(model).open("rb") as file:
        file.seek(max(0, Path(model).stat().st_size - _TAIL))
        return HEADROOM.encode() in file.read()


@cache
def saturates() -> bool:
    """Whether this machine's int8 kernels may saturate: x86 without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True


def ortvalue(array: Array) -> Any:
    """An `onnxruntime.OrtValue` over the memory of a contiguous `array`: what one writes, the other reads."""
    return load().OrtValue.ortvalue_from_numpy(array)
