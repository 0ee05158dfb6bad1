"""What a process costs from its start to its end: time, processor time and memory; ours and a bare engine's."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).parents[2]
REST_S = 2.0  # without a request, after which a server counts as idle

BARE = """
import sys
import numpy as np
import onnxruntime as ort
sessions = []
for path in sys.argv[3:]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions.append(ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
for session in sessions:
    (source,) = session.get_inputs()
    x = np.zeros([d if isinstance(d, int) else 1 for d in source.shape], np.float32)
    for _ in range(int(sys.argv[2])):
        session.run(None, {source.name: x})
"""
OURS = """
import sys
import numpy as np
from edge_runtime import Session
sessions = [Session(path, threads=1, tune="auto" if sys.argv[1] == "tuned" else False) for path in sys.argv[3:]]
for session in sessions:
    (source,) = session.inputs
    x = np.zeros([d if isinstance(d, int) else 1 for d in source.shape], np.float32)
    for _ in range(int(sys.argv[2])):
        session.run({source.name: x})
"""
IMPORT = """
import time
import numpy, onnxruntime
began = time.process_time()
from edge_runtime import Bundle, Session
print(time.process_time() - began)
"""
_RESIDENT = """
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
"""


@dataclass(frozen=True, slots=True)
class Start:
    """A process that ran a model once: seconds of the clock and of the processor (user and system)."""

    wall_s: float
    cpu_s: float


def start(code: str, kind: str, model: Path) -> Start:
    """Run a process to the end of its first inference."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, kind, "1", str(model)], cwd=_ROOT, env=_alone())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"a process ended with {process.returncode}")
    return Start(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def starts(ways: Mapping[str, tuple[str, str, Path]], rounds: int) -> dict[str, list[Start]]:
    """Starts of several kinds of process in turn; a first round is not counted."""
    found: dict[str, list[Start]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            once = start(*way)
            if turn:
                found[name].append(once)
    return found


def ratio(ours: Sequence[Start], theirs: Sequence[Start], what: str) -> float:
    """Median, over the rounds, of one's `wall_s` or `cpu_s` over the other's."""
    ratios: list[float] = [getattr(a, what) / getattr(b, what) for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios)


def resident(code: str, kind: str, models: Sequence[Path], calls: int = 3) -> float:
    """Resident memory, in megabytes, of a process that loaded all the models and then ran each a few times."""
    command = [sys.executable, "-c", code + _RESIDENT, kind, str(calls), *map(str, models)]
    done = subprocess.run(command, cwd=_ROOT, env=_alone(), capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / 1e6


def import_ms(rounds: int) -> list[float]:
    """Milliseconds of processor time that importing `Bundle` and `Session` adds to numpy and onnxruntime."""
    found = []
    for _ in range(rounds + 1):
        command = [sys.executable, "-c", IMPORT]
        done = subprocess.run(command, cwd=_ROOT, env=_alone(), capture_output=True, text=True, check=True)
        found.append(1e3 * float(done.stdout))
    return found[1:]


def overheads(model: Path, rounds: int, processes: int) -> list[dict[str, float]]:
    """What `benchmarks.peers.overhead` measures in each of some fresh processes, one after the other."""
    found = []
    for seed in range(processes):
        command = [sys.executable, "-m", "benchmarks.peers.overhead", str(model), str(rounds), str(seed)]
        done = subprocess.run(command, cwd=_ROOT, env=_alone(), capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    return found


def served(model: Path, name: str, folder: Path, calls: int = 20) -> tuple[float, float]:
    """Resident memory of `littoral serve`, in megabytes: right after some requests, one picture each, and at rest.

    Raises:
        RuntimeError: the server does not start, or does not answer.
    """
    from benchmarks.serving import Server, answer, post

    x = np.zeros((1, 3, 224, 224), np.float32)
    about = {"binary_data_size": x.nbytes}
    tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32", "parameters": about}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()

    async def ask(path: str) -> int:
        reader, writer = await asyncio.open_unix_connection(path)
        wrong = 0
        for _ in range(calls):
            writer.write(post(head + x.tobytes(), str(len(head))))
            wrong += (await answer(reader))[0] != 200
        writer.close()
        return wrong

    with Server(model, 1, folder / "server") as server:
        if asyncio.run(ask(server.socket)):
            raise RuntimeError("the server refused a request")
        after = _resident(server._process.pid)
        time.sleep(REST_S)
        return after, _resident(server._process.pid)


def _resident(process: int) -> float:
    status = Path("/proc", str(process), "status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6


def _alone() -> dict[str, str]:
    return os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
