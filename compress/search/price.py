"""What a candidate costs: bytes as they are stored, and the time of one inference on the target.

On a target of another architecture the emulator counts instructions, exactly; divided by the instructions that a
core of the target gets through in a second (`Target.mips`) they are a time. Where nothing can be emulated, it is the
time on this machine, and said to be that.
"""

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from compress.storage import stored_size
from converter.model import save, to_bytes
from edge_runtime import emulator, profile
from edge_runtime.console import say
from edge_runtime.session import Session
from edge_runtime.target import Target


@dataclass(frozen=True, slots=True)
class Price:
    """`size_mb` stored; `latency_ms` an inference, one core; `instructions` where counted; `how` the time was found."""

    size_mb: float
    latency_ms: float
    instructions: int | None
    how: str

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return asdict(self)


Pricing = Callable[[Sequence[onnx.ModelProto]], list[Price]]
"""Prices several models at once, which is much cheaper than one by one."""


def pricing(target: Target, *, coded: bool, emulate: bool = True) -> Pricing:
    """How models are priced for a target.

    Args:
        target: the device.
        coded: sizes are those of entropy-coded weights.
        emulate: count instructions, if the target is another kind of machine.
    """

    def price(models: Sequence[onnx.ModelProto]) -> list[Price]:
        if not models:
            return []
        sizes = [stored_size(to_bytes(model), coded=coded) / 1e6 for model in models]
        if target.arch == platform.machine():
            times: list[tuple[float, int | None, str]] = [
                (ms, None, "measured here") for ms in measured(models)
            ]
        elif emulate and target.emulator_cpu and target.mips and emulator.available():
            how = f"instructions on the emulated {target.name} / {target.mips:g} million a second"
            times = [(n / target.mips / 1e3, n, how) for n in counted(target, models)]
        else:
            times = [(ms, None, "measured on this machine, not the target") for ms in measured(models)]
        return [Price(size, *time) for size, time in zip(sizes, times, strict=True)]

    return price


def counted(target: Target, models: Sequence[onnx.ModelProto]) -> list[int]:
    """Instructions of one inference of each model on the emulated target."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [save(model, Path(folder) / f"{k}.onnx") for k, model in enumerate(models)]
        say(f"count the instructions of {len(models)} models on the emulated {target.name}")
        return [count.instructions for count in emulator.count(target, paths)]


def measured(models: Sequence[onnx.ModelProto], rounds: int = 15) -> list[float]:
    """Median time of an inference of each model here, one thread, timed in turn, in milliseconds."""
    sessions = [Session(to_bytes(model), threads=1) for model in models]
    feed = profile.example(sessions[0].inputs)
    found = profile.interleaved([lambda s=s: s.run(feed) for s in sessions], rounds)  # type: ignore[misc]
    return [latency.median_ms for latency in found]
