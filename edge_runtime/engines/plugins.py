"""ONNX Runtime's accelerators: plug-in providers and built-in ones, opened without any silent fallback.

A provider that onnxruntime lists may run nothing, and `get_providers()` says only what was asked for. So a session
that is opened here records which node runs where, and `assignment` reads it.
"""

import ctypes
import hashlib
import importlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_runtime.engines.onnx import load, saturates
from edge_runtime.errors import BackendError
from edge_runtime.files import cache_dir, write_text
from edge_runtime.tensors import Array

CPU = "CPUExecutionProvider"
_registered: dict[str, str] = {}
_LOAD = """
import sys, onnxruntime
try:
    onnxruntime.register_execution_provider_library("probe", sys.argv[1])
except Exception:
    pass
"""


def library_of(module: str, function: str) -> str:
    """The path that a Python package gives for its provider library.

    Raises:
        BackendError: the package is not installed, or has no such function.
    """
    return str(_call(module, function))


def _call(module: str, function: str) -> object:
    try:
        package: ModuleType = importlib.import_module(module)
    except Exception as error:
        # A vendor's package may fail on import in any way it likes, such as for want of a driver.
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        why = "is not installed" if missing else f"does not import ({_first(error)})"
        raise BackendError(f"{module.replace('_', '-')} {why}") from error
    found = getattr(package, function, None)
    if found is None:
        raise BackendError(f"{module} has no {function}(); another version is needed")
    return found()


@contextmanager
def _stderr() -> Iterator[None]:
    """What a vendor's library prints goes to stderr: stdout is a result that machines read."""
    try:
        kept = os.dup(1)
    except OSError:  # closed, as a service's may be: there is nothing to keep clean
        yield
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        os.dup2(2, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what lies in C's buffer goes where it was printed to
        os.dup2(kept, 1)
        os.close(kept)


def devices(name: str, library: str) -> list[Any]:
    """The devices that a plug-in library offers on this machine; it is registered once a process.

    Raises:
        BackendError: it cannot be loaded.
    """
    ort = load()
    path = str(Path(library).resolve())
    if _registered.get(name) != path:
        if not Path(path).is_file():
            raise BackendError(f"{library}: no such provider library")
        if name in _registered:
            raise BackendError(f"provider '{name}' is registered already, from {_registered[name]}")
        survive(path)
        try:
            with _stderr():
                ort.register_execution_provider_library(name, path)
        except Exception as error:
            raise BackendError(f"{library}: onnxruntime cannot load it ({_first(error)})") from error
        _registered[name] = path
    return [
        device
        for device in ort.get_ep_devices()
        if str(Path(dict(device.ep_metadata).get("library_path", "/")).resolve()) == path
    ]


def survive(library: str) -> None:
    """Load a library in a process of its own first: one that crashes must not take this one with it.

    What was found is kept in the cache until the file changes.

    Raises:
        BackendError: the process died.
    """
    known = cache_dir() / "accelerators" / identity(library)
    if known.is_file():
        died = known.read_text("utf-8")
    else:
        done = child(["-c", _LOAD, library])
        died = signal.Signals(-done.returncode).name if done.returncode < 0 else ""
        write_text(known, died)
    if died:
        raise BackendError(f"{library}: a process that loads it dies from {died}")


def identity(library: str) -> str:
    """A digest that changes with a library's file, or with onnxruntime's version."""
    stat = Path(library).stat()
    about = f"{library}\0{stat.st_size}\0{stat.st_mtime_ns}\0{load().__version__}"
    return hashlib.sha256(about.encode()).hexdigest()[:24]


def child(
    arguments: Sequence[str], given: bytes = b"", timeout: float = 900
) -> subprocess.CompletedProcess[bytes]:
    """Run this Python in a process of its own, which sees the same packages.

    Raises:
        BackendError: it cannot be started, or takes longer than `timeout` seconds.
    """
    seen = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, check=False, env=seen, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"a process that tries it takes more than {timeout:g} s") from error
    except OSError as error:
        raise BackendError(f"no process can be started to try it in ({error.strerror})") from error


def count_nodes(model: bytes) -> int:
    """How many nodes a graph has, before any are fused.

    Raises:
        BackendError: onnxruntime does not accept it.
    """
    chosen = options({}, 1, {})
    chosen.graph_optimization_level = load().GraphOptimizationLevel.ORT_DISABLE_ALL
    return sum(assignment(open_builtin(model, CPU, {}, chosen)).values())


def options(config: Mapping[str, str], threads: int, fixed: Mapping[str, int]) -> Any:
    """Session options that record the assignment of nodes; `fixed` gives lengths that vary a value (by name)."""
    chosen = load().SessionOptions()
    chosen.log_severity_level = 4  # a rejected candidate is reported by us, in words
    chosen.intra_op_num_threads = threads
    chosen.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if saturates():  # what is left on the CPU shall be exact as well
        chosen.add_session_config_entry("session.x64quantprecision", "1")
    for name, value in config.items():
        chosen.add_session_config_entry(name, value)
    for dimension, length in fixed.items():
        chosen.add_free_dimension_override_by_name(dimension, length)
    return chosen


def open_plugin(model: bytes | str, found: Any, provider: Mapping[str, str], chosen: Any) -> Any:
    """A session on one of a plug-in's devices, with onnxruntime's own CPU kernels for what that refuses.

    Raises:
        BackendError: the provider or onnxruntime refuses.
    """
    try:
        chosen.add_provider_for_devices([found], dict(provider))
        with _stderr():
            session = load().InferenceSession(model, chosen, enable_fallback=0)
    except Exception as error:
        raise BackendError(_first(error)) from error
    session.disable_fallback()
    return session


def open_builtin(model: bytes | str, name: str, provider: Mapping[str, str], chosen: Any) -> Any:
    """A session on a provider that this build of onnxruntime contains.

    Raises:
        BackendError: it does not contain it, or the provider refuses.
    """
    ort = load()
    if name not in ort.get_available_providers():
        raise BackendError(f"{name} is not built into onnxruntime {ort.__version__} here")
    wanted: list[Any] = [CPU] if name == CPU else [(name, dict(provider)), CPU]
    try:
        session = ort.InferenceSession(model, chosen, providers=wanted, enable_fallback=0)
    except Exception as error:
        raise BackendError(_first(error)) from error
    session.disable_fallback()
    return session


def run(session: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name.

    Raises:
        BackendError: the provider fails while running.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, dict(inputs)), strict=True))
    except Exception as error:
        raise BackendError(f"failed while running: {_first(error)}") from error


def assignment(session: Any) -> Counter[str]:
    """How many nodes each provider runs, after onnxruntime's fusions."""
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return counts


def refused(session: Any) -> list[tuple[str, str]]:
    """Operator and name of each node that runs on the CPU."""
    found = []
    for part in session.get_provider_graph_assignment_info():
        if part.ep_name == CPU:
            found += [(node.op_type, node.name) for node in part.get_nodes()]
    return found


def compatibility(session: Any) -> str:
    """What a graph that was compiled ahead was compiled for, as its provider wrote it; empty if it says nothing."""
    entries: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return next((text for name, text in entries.items() if name.startswith("ep_compatibility_info.")), "")


def compile_ahead(model: bytes, chosen: Any, found: Any, provider: Mapping[str, str], out: Path) -> None:
    """Compile a graph for a device: a graph of EPContext nodes with the device's binary inside, written to `out`.

    Raises:
        BackendError: the provider cannot compile it.
    """
    ort = load()
    try:
        chosen.add_provider_for_devices([found], dict(provider))
        compiler = ort.ModelCompiler(chosen, model, embed_compiled_data_into_model=True)
        with _stderr():
            compiler.compile_to_file(str(out))
    except Exception as error:
        raise BackendError(_first(error)) from error
    if not out.is_file():
        raise BackendError("the provider compiled nothing")


def _first(error: BaseException) -> str:
    """The first line of an error, without the place in onnxruntime's source and the signature there."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = re.sub(r"^\S+\.(?:cc|h|cpp):\d+ (?:.*?\) )?", "", lines[0].strip()) if lines else ""
    return text[:200] or type(error).__name__
