"""Settings: the ways to run a model that the tuner tries, and how one is opened."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.engines import Engine, installed, memory, open_engine
from edge_runtime.errors import LittoralError
from edge_runtime.tuning.source import Source

CPU = "CPUExecutionProvider"
_PROVIDERS = ("XnnpackExecutionProvider", "ACLExecutionProvider", "DnnlExecutionProvider")
"""Providers of the same processor, which some builds of onnxruntime have."""

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run a model: `arguments` are those of `open_engine`; `change` says in words what they change."""

    engine: str
    threads: int
    change: str = ""
    arguments: Arguments = field(default_factory=dict)

    def __str__(self) -> str:
        count = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return ", ".join(filter(None, (self.engine, count, self.change)))

    def open(self, source: Source, graph: bytes | Path | None = None, exact_int8: bool = True) -> Engine:
        """The model on its engine; `graph` stands in for the source's own file.

        Raises:
            BackendError: the engine or the provider is missing.
            ModelError: the engine refuses the model or the setting.
        """
        arguments = dict(self.arguments)
        if self.engine == "onnxruntime":
            arguments |= {"exact_int8": exact_int8}
        model = source.read(self.engine) if graph is None else graph
        return open_engine(self.engine, model, where=source.name, threads=self.threads, **arguments)

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {name: getattr(self, name) for name in Setting.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Setting":
        """Read what `to_json` gives."""
        return cls(
            str(value["engine"]), int(value["threads"]), str(value["change"]), dict(value["arguments"])
        )


def default(source: Source, threads: int) -> Setting:
    """What a session does untuned, with that many threads."""
    return Setting(source.preferred(), threads)


def starts(source: Source, limit: int) -> list[Setting]:
    """Engines x providers x threads, up to `limit` threads; where some cores are faster, also those alone, pinned."""
    counts = sorted({1, limit, *(1 << k for k in range(limit.bit_length()))} & set(range(1, limit + 1)))
    found = []
    for engine in source.engines():
        if not installed(engine):
            continue
        found += [Setting(engine, count) for count in counts]
        if engine == "litert":
            found.append(Setting(engine, 1, "without XNNPACK", {"xnnpack": False}))
            continue
        for provider in _available():
            found += [Setting(engine, count, provider, {"providers": [provider, CPU]}) for count in counts]
        big = memory.big_cores(cores())
        if 1 < len(big) < len(cores()) and len(big) <= limit:
            pinned = {"session.intra_op_thread_affinities": memory.affinities(big)}
            found.append(Setting(engine, len(big), "on the big cores", {"config": pinned}))
    return found


def variants(base: Setting) -> list[Setting]:
    """A setting with one thing changed at a time: layouts, kernels, the memory plan, how threads wait.

    Arguments are lists and dicts, as they come back from JSON.
    """
    if "xnnpack" in base.arguments or "providers" in base.arguments:
        return []
    if base.engine == "litert":
        flags = {"flags": ["compress_quantization_zero_points"]}
        return [combined(base, Setting(base.engine, base.threads, "zero points compressed", flags))]
    return [combined(base, Setting(base.engine, base.threads, *change)) for change in _changes(base.threads)]


def _changes(threads: int) -> Iterator[tuple[str, Arguments]]:
    wide = "mlas.nchwc_pointwise_conv_max_input_channel_batch"
    for channels in ("512", "2048"):
        yield f"pointwise convolutions {channels} channels at once", {"config": {wide: channels}}
    yield "sliding depthwise convolutions", {"config": {"mlas.nchwc_depthwise_sliding": "1"}}
    yield "channels as in the graph", {"without": ["NchwcTransformer"]}
    yield "basic fusions only", {"options": {"graph_optimization_level": 1}}
    yield "activations in one block", {"options": {"enable_mem_pattern": True}}
    yield "signed int8 as it is", {"config": {"session.qdqisint8allowed": "1"}}
    if threads > 1:
        yield "threads sleep between operators", {"config": {"session.intra_op.allow_spinning": "0"}}
        yield "work in blocks that shrink", {"config": {"session.dynamic_block_base": "4"}}


def combined(base: Setting, *others: Setting) -> Setting:
    """The changes of several settings in one, of those that contradict each other the first; the rest is `base`'s."""
    arguments, changes = dict(base.arguments), [base.change]
    for other in others:
        merged = _merged(arguments, other.arguments)
        if merged is not None:
            arguments = merged
            changes.append(other.change)
    told = "; ".join(dict.fromkeys(filter(None, changes)))
    return Setting(base.engine, base.threads, told, arguments)


def _merged(one: Arguments, other: Arguments) -> dict[str, Any] | None:
    """Both, or None where they give something two values."""
    made = dict(one)
    for name, value in other.items():
        old = made.setdefault(name, value)
        if isinstance(old, Mapping) and all(old.get(key, new) == new for key, new in value.items()):
            made[name] = {**old, **value}
        elif old != value:
            return None
    return made


def cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _available() -> Sequence[str]:
    from edge_runtime.engines.onnx import load

    try:
        there = load().get_available_providers()
    except LittoralError:
        return ()
    return [name for name in _PROVIDERS if name in there]
