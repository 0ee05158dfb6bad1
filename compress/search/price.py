"""What a candidate costs: bytes as they are stored, and the time of one inference on the target.

On a target of another architecture the emulator counts instructions, exactly; divided by the instructions that a
core of the target gets through in a second (`Target.mips`) they are a time. Where nothing can be emulated, it is the
time on this machine, and said to be that.

A candidate is priced on LiteRT as well, where it has a form of it and the comparison means something.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import onnx

from compress import engines
from compress.storage import lowered_size, stored_size
from converter.model import to_bytes
from edge_runtime import profile, tensors
from edge_runtime.console import say
from edge_runtime.errors import EmulatorError
from edge_runtime.session import Session
from edge_runtime.target import Target


@dataclass(frozen=True, slots=True)
class Price:
    """`size_mb` stored; `latency_ms` an inference, one core; `instructions` where counted; `how` the time was found.

    The same of LiteRT's form, which is stored beside it, as `litert`: size, latency, instructions; None without.
    """

    size_mb: float
    latency_ms: float
    instructions: int | None
    how: str
    litert: tuple[float, float, int | None] | None = None

    def on(self, engine: str) -> "Price":
        """What it costs on an engine, which for LiteRT has to be priced: its form is stored as well."""
        if engine != "litert" or self.litert is None:
            return self
        size, latency, instructions = self.litert
        return replace(self, size_mb=self.size_mb + size, latency_ms=latency, instructions=instructions)

    def engine(self, asked: str, max_size_mb: float | None) -> str:
        """The engine that it is to run on: the one asked for, or with "auto" the faster that fits."""
        if self.litert is None or asked == "onnxruntime":
            return "onnxruntime"
        fits = max_size_mb is None or self.on("litert").size_mb <= max_size_mb
        faster = self.litert[1] < engines.WORTH * self.latency_ms
        return "litert" if asked == "litert" or (fits and faster) else "onnxruntime"

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return asdict(self)


Pricing = Callable[[Sequence[onnx.ModelProto]], list[Price]]
"""Prices several models at once, which is much cheaper than one by one."""


def pricing(target: Target, *, coded: bool, emulate: bool = True, engine: str = "auto") -> Pricing:
    """How models are priced for a target.

    Args:
        target: the device.
        coded: sizes are those of entropy-coded weights.
        emulate: count instructions, if the target is another kind of machine.
        engine: "onnxruntime" leaves LiteRT's forms out.
    """
    basis = engines.basis(target, emulate=emulate)
    basis = "order" if basis == "instructions" and not target.mips else basis
    both = engines.wanted(target, engine, emulate=emulate)

    def price(models: Sequence[onnx.ModelProto]) -> list[Price]:
        if not models:
            return []
        sizes = [stored_size(to_bytes(model), coded=coded) / 1e6 for model in models]
        forms = [engines.lowered(model) if both else None for model in models]
        lowered = [form for form in forms if form is not None]
        times, how = _times(target, basis, models, lowered)
        others = iter(times[len(models) :])
        found = []
        for size, form, (ms, instructions) in zip(sizes, forms, times, strict=False):
            other = next(others, None) if form is not None else None
            beside = (lowered_size(form, coded=coded) / 1e6, *other) if form is not None and other else None
            found.append(Price(size, ms, instructions, how, beside))
        return found

    return price


def _times(
    target: Target, basis: str, models: Sequence[onnx.ModelProto], lowered: Sequence[bytes]
) -> tuple[list[tuple[float, int | None]], str]:
    """Milliseconds and instructions of each model and then of each lowered one, unless these fail; and how."""
    if basis != "instructions":
        how = "measured here" if basis == "time" else "measured on this machine, not the target"
        return [(ms, None) for ms in measured([*models, *lowered])], how
    try:
        counts = counted(target, [*models, *lowered])
    except EmulatorError as error:
        if not lowered:
            raise
        say(f"LiteRT's forms are left out: {error}")
        counts = counted(target, models)
    how = f"instructions on the emulated {target.name} / {target.mips:g} million a second"
    return [(count / target.mips / 1e3, count) for count in counts], how


def counted(target: Target, models: Sequence[onnx.ModelProto | bytes]) -> list[int]:
    """Instructions of one inference of each model, in the form of its engine, on the emulated target."""
    say(f"count the instructions of {len(models)} models on the emulated {target.name}")
    return engines.count_forms(target, models)


def measured(models: Sequence[onnx.ModelProto | bytes], rounds: int = 15) -> list[float]:
    """Median time of an inference of each model here, one thread, timed in turn, in milliseconds."""
    sessions = [
        Session(model, threads=1, engine="litert")
        if isinstance(model, bytes)
        else Session(to_bytes(model), threads=1)
        for model in models
    ]
    feed = tensors.example(sessions[0].inputs)
    found = profile.interleaved([lambda s=s: s.run(feed) for s in sessions], rounds)  # type: ignore[misc]
    return [latency.median_ms for latency in found]
