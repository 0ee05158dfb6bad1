"""Where the time of an inference goes: each operator's share, as the engine's own profiler reports it."""

import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.engines import onnx
from edge_runtime.errors import BackendError
from edge_runtime.session import Session, source_of
from edge_runtime.tensors import Array
from edge_runtime.tuning.setting import Setting

_KERNEL = "_kernel_time"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator as the engine runs it, after its fusions: mean microseconds of an inference."""

    name: str
    kind: str
    provider: str
    micros: float
    shape: str
    """Of its first output."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The operators of one model in the order in which they run, and microseconds of a whole inference.

    `engine` is the one that reported them, which may be another than runs the model.
    """

    operators: tuple[Operator, ...]
    total_micros: float
    runs: int
    engine: str = "onnxruntime"

    def kinds(self) -> list[tuple[str, int, float]]:
        """Each type of operator, how many there are, and their microseconds together; the longest first."""
        found: dict[str, list[float]] = defaultdict(list)
        for each in self.operators:
            found[each.kind].append(each.micros)
        rows = [(kind, len(spent), sum(spent)) for kind, spent in found.items()]
        return sorted(rows, key=lambda row: -row[2])

    def between(self) -> float:
        """Microseconds of an inference in no operator: the engine's own work."""
        return max(0.0, self.total_micros - sum(each.micros for each in self.operators))

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        operators = [{name: getattr(each, name) for name in Operator.__slots__} for each in self.operators]
        about = {"engine": self.engine, "total_micros": self.total_micros, "runs": self.runs}
        return about | {"operators": operators}


def profile(session: Session, path: str, feed: Mapping[str, Array], *, threads: int, runs: int) -> Profile:
    """Run a model with the engine's profiler on; that makes it slower, its shares stay what they are.

    LiteRT's Python interface reports no times of operators. A bundle that also carries the ONNX form is profiled on
    onnxruntime then.

    Args:
        session: which model, on which engine.
        path: where it was loaded from.
        feed: its inputs.
        threads: within an operator.
        runs: that are recorded, after three that are not.

    Raises:
        BackendError: the engine has no such profiler.
    """
    if session.choice is not None and session.choice.session is not None:
        raise BackendError("it runs on an accelerator, which reports none")
    source = source_of(path)
    if "onnxruntime" not in source.engines():
        raise BackendError(
            "LiteRT's Python interface reports none; a bundle that carries the ONNX form too is profiled on onnxruntime"
        )
    setting, graph = Setting("onnxruntime", threads), None
    given: dict[str, Any] = {"providers": source.providers()}
    if session.tuned is not None and session.engine == "onnxruntime":
        setting, graph = session.tuned.opened()
        given = {}
    given |= setting.arguments
    with tempfile.TemporaryDirectory(prefix="littoral-") as scratch:
        recorded = {"enable_profiling": True, "profile_file_prefix": str(Path(scratch, "profile"))}
        given["options"] = {**given.get("options", {}), **recorded}
        model = source.read("onnxruntime") if graph is None else graph
        opened = onnx.open_session(model, where=session.name, threads=setting.threads, **given)
        for _ in range(runs + 3):
            opened.run(None, dict(feed))
        events = json.loads(Path(opened.end_profiling()).read_text("utf-8"))
    return read(events, 3)


def read(events: Sequence[Mapping[str, Any]], skip: int = 0) -> Profile:
    """What onnxruntime wrote: events with `cat`, `name`, `ts` and `dur` in microseconds, and `args`.

    Args:
        events: of the profile.
        skip: inferences that are left out at the beginning.
    """
    runs = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["name"] == "model_run")[skip:]
    spent: dict[tuple[int, str], list[float]] = defaultdict(list)
    about: dict[tuple[int, str], Mapping[str, Any]] = {}
    first: dict[tuple[int, str], float] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL):
            continue
        run = next((begin for begin, end in runs if begin <= event["ts"] <= end), None)
        if run is None:
            continue
        key = int(event["args"].get("node_index", 0)), event["name"].removesuffix(_KERNEL)
        spent[key].append(float(event["dur"]))
        about[key] = event["args"]
        first[key] = min(first.get(key, float("inf")), event["ts"] - run)
    operators = [
        _operator(key[1], about[key], sum(spent[key]) / len(runs))
        for key in sorted(first, key=first.__getitem__)
    ]
    total = statistics.fmean(end - begin for begin, end in runs) if runs else 0.0
    return Profile(tuple(operators), total, len(runs))


def _operator(name: str, about: Mapping[str, Any], micros: float) -> Operator:
    shapes = [next(iter(each.items())) for each in about.get("output_type_shape") or [] if each]
    shape = f"{shapes[0][0]}[{', '.join(map(str, shapes[0][1]))}]" if shapes else ""
    return Operator(name, str(about.get("op_name", "?")), str(about.get("provider", "")), micros, shape)
