"""Runs in a peer's process: loads one model once, then answers commands, one JSON object a line each way.

`{"run": n}` is answered with the time of each of n calls, after one that is not counted; `{"outputs": path}` by
writing the outputs for all samples. It imports NumPy and the engine alone.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main(name: str, form: str, model: str, folder: str) -> None:
    """Serve one engine. `folder` holds samples.npy and calibration.npy, and is where it may write."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    try:
        engine = importlib.import_module(f"benchmarks.peers.{name}")
        samples = np.load(Path(folder, "samples.npy"))
        bind = engine.load(Path(model), form, Path(folder))
        call = bind(samples[:1])
        call()
    except Exception as error:  # noqa: BLE001  whatever a peer raises becomes the reason that is printed
        text = str(error).strip().splitlines()
        answers.write(json.dumps({"error": f"{type(error).__name__}: {text[0] if text else ''}"}) + "\n")
        return
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if "run" in command:
            answer = timed(call, command["run"])
        else:
            outputs = [np.array(bind(samples[k : k + 1])(), np.float32) for k in range(len(samples))]
            np.save(command["outputs"], np.concatenate([each.reshape(1, -1) for each in outputs]))
        answers.write(json.dumps(answer) + "\n")


def timed(call: Any, n: int) -> dict[str, float]:
    """Milliseconds a call, of the clock and of the processor (all threads), over `n` calls after one not counted."""
    call()
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    for _ in range(n):
        call()
    spent = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return {"wall_ms": spent[0] / 1e6 / n, "cpu_ms": spent[1] / 1e6 / n}


if __name__ == "__main__":
    main(*sys.argv[1:])
