"""A cold start, measured in a fresh process: each part until the first answer, and the memory that it holds."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import BackendError

_CHILD = """
import sys, time
marks = [time.perf_counter_ns()]
def memory():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return 0, 0
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024
held = []
import edge_runtime
from edge_runtime import Session
marks.append(time.perf_counter_ns())
from edge_runtime.bench.start import load_engine
from edge_runtime.tensors import example
began = time.perf_counter_ns()  # what only this measurement needs is left out
load_engine(sys.argv[4])
marks.append(marks[-1] + time.perf_counter_ns() - began)
held.append(memory()[0])
began = time.perf_counter_ns()
session = Session(sys.argv[1], threads=int(sys.argv[2]), engine=sys.argv[5] or None)
marks.append(marks[-1] + time.perf_counter_ns() - began)
held.append(memory()[0])
feed = example(session.inputs, free=int(sys.argv[3]))
began = time.perf_counter_ns()
session.run(feed)
marks.append(marks[-1] + time.perf_counter_ns() - began)
rss, peak = memory()
import json, platform
print(json.dumps([platform.machine(), marks, [*held, rss, peak]]))
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Milliseconds of each part of a start, and bytes of memory after them (0 where the system does not say).

    `interpreter_ms` is Python itself; `import_ms` edge_runtime with NumPy; `engine_ms` the engine's package.
    """

    interpreter_ms: float
    import_ms: float
    engine_ms: float
    load_ms: float
    first_ms: float
    total_ms: float
    engine_bytes: int
    loaded_bytes: int
    first_bytes: int
    peak_bytes: int

    def to_json(self) -> dict[str, float]:
        """As a plain table."""
        return asdict(self)


def cold(
    model: str | os.PathLike[str],
    engine: str,
    *,
    asked: bool = False,
    threads: int = 1,
    free: int = 1,
    starts: int = 3,
) -> Start:
    """The median of several fresh processes that load a model and run it once.

    Args:
        model: a bundle, or the path of an .onnx or .tflite file.
        engine: that a session takes for it.
        asked: whether it has to be asked for that engine.
        threads: within an operator.
        free: what a length that varies is, such as the batch.
        starts: processes, one after the other; files are in the page cache from the second on.

    Raises:
        BackendError: no such process can be started here.
    """
    arguments = [str(Path(model).absolute()), str(threads), str(free), engine, engine if asked else ""]
    found = [_one(arguments) for _ in range(starts)]
    middle = [statistics.median(column) for column in zip(*found, strict=True)]
    return Start(*middle[:6], *map(int, middle[6:]))


def _one(arguments: Sequence[str]) -> list[float]:
    import platform

    began = time.perf_counter_ns()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        machine, marks, memory = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"a fresh process cannot be measured here ({type(error).__name__})") from error
    if done.returncode or machine != platform.machine():  # an emulator hands processes on to the real machine
        raise BackendError("a fresh process cannot be measured here: it does not run on this device")
    parts = [(after - before) / 1e6 for before, after in zip([began, *marks], marks, strict=False)]
    return [*parts, sum(parts), *memory]


def load_engine(name: str) -> Any:
    """Import an engine's package.

    Raises:
        BackendError: it is not installed.
    """
    if name == "litert":
        from edge_runtime.engines import litert

        return litert.load()
    from edge_runtime.engines import onnx

    return onnx.load()
