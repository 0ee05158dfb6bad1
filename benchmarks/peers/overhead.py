"""What `Session.run` costs over a bare onnxruntime session: the same graph, settings and arrays, in fresh processes.

`python -m benchmarks.peers.overhead MODEL ROUNDS SEED` prints one process's figures as JSON. Two sessions that are
alike differ by a few per cent for as long as a process lives, by where their weights happen to lie. So each process
opens a second bare session as well, whose ratio to the first is the noise, and the median over processes counts.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edge_runtime import Session, tensors
from edge_runtime.tensors import Array

_UNCOUNTED, _LEAST_NS = 3, 2_000_000


def main(path: str, rounds: int, seed: int) -> dict[str, float]:
    """Median ratios to a bare session, of ours and of another bare one; µs of processor time a call of ours and bare.

    Sessions are opened in an order by lot, and take turns in one; before each turn is a call that is not counted.
    """
    lot = random.Random(seed)  # noqa: S311  (an order, not a secret)
    model = Path(path).read_bytes()
    feed: dict[str, Array] = {}  # the same arrays for all
    calls: dict[str, Callable[[], Any]] = {}
    for name in lot.sample(["bare", "other", "ours"], 3):
        calls[name] = _ours(model, feed) if name == "ours" else _bare(model, feed)
    for call in calls.values():
        call()
    began = time.process_time_ns()
    calls["bare"]()
    repeats = max(1, _LEAST_NS // max(1, time.process_time_ns() - began))
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + _UNCOUNTED):
        for name in lot.sample(list(calls), len(calls)):
            spent[name].append(_turn(calls[name], repeats))
    kept = {name: values[_UNCOUNTED:] for name, values in spent.items()}
    ratios = {
        name: statistics.median(a / b for a, b in zip(kept[name], kept["bare"], strict=True))
        for name in ("ours", "other")
    }
    return ratios | {f"{name}_us": statistics.median(kept[name]) for name in ("ours", "bare")}


def _turn(call: Callable[[], Any], repeats: int) -> float:
    """Microseconds of processor time a call; the call before it is not counted."""
    call()
    began = time.process_time_ns()
    for _ in range(repeats):
        call()
    return (time.process_time_ns() - began) / 1e3 / repeats


def _bare(model: bytes, feed: dict[str, Array]) -> Callable[[], Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def _ours(model: bytes, feed: dict[str, Array]) -> Callable[[], Any]:
    session = Session(model, threads=1, tune=False)
    feed |= tensors.example(session.inputs)
    return lambda: session.run(feed)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
