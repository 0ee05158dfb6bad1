"""How long a session takes here, and where an emulator shall count its instructions."""

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_runtime.session import Session
from edge_runtime.tensors import Array, example

MARK = 77
"""The `which` of a getpriority(2) call that means nothing to the kernel and "count from here" to the emulator."""
MARKS_VARIABLE = "LITTORAL_MARKS"
"""Environment variable with which an emulator asks for marks."""
EMULATED_VARIABLE = "LITTORAL_EMULATED"
"""And that with which it says, where it asks for none, that this is an emulated device."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Time a call, in milliseconds, over `n` calls: the median, percentiles above it, and the mean."""

    median_ms: float
    p90_ms: float
    n: int
    p95_ms: float
    p99_ms: float
    mean_ms: float

    @classmethod
    def of(cls, spent_ms: Sequence[float]) -> "Latency":
        """From the times of single calls."""
        p90, p95, p99 = np.quantile(spent_ms, (0.9, 0.95, 0.99)).tolist()
        return cls(statistics.median(spent_ms), p90, len(spent_ms), p95, p99, statistics.fmean(spent_ms))

    def to_json(self) -> dict[str, float]:
        """As a plain table."""
        return asdict(self)


def interleaved(calls: Sequence[Callable[[], Any]], rounds: int, warmup: int = 3) -> list[Latency]:
    """Time several calls in turn, round by round, so that they meet the same weather."""
    for _ in range(warmup):
        for call in calls:
            call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, spent in zip(calls, times, strict=True):
            began = time.perf_counter_ns()
            call()
            spent.append((time.perf_counter_ns() - began) / 1e6)
    return [Latency.of(spent) for spent in times]


def measure(session: Session, inputs: Mapping[str, Array] | None = None, rounds: int = 30) -> Latency:
    """Latency of one session on `inputs`, or on random ones."""
    chosen = example(session.inputs) if inputs is None else inputs
    return interleaved([lambda: session.run(chosen)], rounds)[0]


def mark_inferences(session: Session, inputs: Mapping[str, Array] | None = None, tag: int = 0) -> None:
    """Run 0, 1, 2 and 4 inferences, each group between two marks that an emulator's counter sees.

    The counts differ by whole inferences, so the marks' own cost cancels. `tag` tells several sessions apart.
    Does nothing unless an emulator asked for it.
    """
    if not os.environ.get(MARKS_VARIABLE):
        return
    chosen = example(session.inputs) if inputs is None else inputs
    getpriority = ctypes.CDLL(None).getpriority
    for _ in range(2):
        session.run(chosen)
    gc.collect()
    gc.disable()  # the process is about to end, and a collection between two marks would be counted
    for group in (0, 1, 2, 4):
        getpriority(MARK, 1000 * tag + group)
        for _ in range(group):
            session.run(chosen)
        getpriority(MARK, 1000 * tag + group)
