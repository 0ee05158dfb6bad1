"""Choices that were made, in the cache: by the model's digest, the hardware and the engines' versions.

A choice is a folder: ``choice.json``, and for onnxruntime the graph as it was optimised for this processor with its
weights beside it (``graph.onnx``, ``weights.bin``), which are mapped into memory instead of being read and parsed.
It appears whole or not at all. What is damaged, or was made elsewhere, is said and left unused.
"""

import importlib.util
import json
import platform
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime.errors import LittoralError
from edge_runtime.files import atomic, cache_dir, sha256
from edge_runtime.tuning.setting import Setting, combined, cores
from edge_runtime.tuning.source import Source

_FORMAT = 1
_RECORD, _GRAPH = "choice.json", "graph.onnx"
_PACKAGES = {"onnxruntime": "onnxruntime", "ai_edge_litert": "litert", "tflite_runtime": "litert"}
_TOLD = ("model name", "Features", "flags", "CPU implementer", "CPU variant", "CPU part", "CPU revision")


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one setting: time a call over that of the reference; `why` it was not taken, if it was not."""

    setting: str
    ratio: float | None
    ms: float | None
    difference: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The setting that a model runs with, how long it takes beside an untuned session, and all that was measured.

    `graph` is the optimised one, where there is one.
    """

    setting: Setting
    ratio: float
    rows: tuple[Row, ...] = ()
    graph: Path | None = None

    def opened(self) -> tuple[Setting, Path | None]:
        """The setting and the file to open: an optimised graph is not optimised again."""
        if self.graph is None:
            return self.setting, None
        as_it_is = Setting("", 0, "", {"options": {"graph_optimization_level": 0}})
        return replace(combined(self.setting, as_it_is), change=self.setting.change), self.graph

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        rows = [{name: getattr(row, name) for name in Row.__slots__} for row in self.rows]
        return {"setting": self.setting.to_json(), "ratio": self.ratio, "rows": rows}


def hardware() -> dict[str, Any]:
    """What the processor says of itself: a choice holds for one like it."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        text = platform.processor()
    told = sorted({line for line in text.splitlines() if line.startswith(_TOLD)})
    return {"machine": platform.machine(), "processor": _sum("\n".join(told)), "cores": len(cores())}


def versions() -> dict[str, str]:
    """The version of each engine that is installed, from the names of the packages' folders: nothing is imported."""
    found = {}
    for package, engine in _PACKAGES.items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.origin or engine in found:
            continue
        named = sorted(path.name for path in Path(spec.origin).parents[1].glob(f"{package}-*.dist-info"))
        found[engine] = named[-1].removesuffix(".dist-info") if named else package
    return found


def place(source: Source, threads: int) -> Path:
    """Where the choice for a model with that many threads is kept on hardware like this."""
    told = json.dumps(hardware(), sort_keys=True)
    return _home() / _sum(f"{source.identity()}\0{threads}\0{told}")


def load(source: Source, threads: int) -> Choice | None:
    """The choice that was made here for this model; None where there is none, or none that holds (then it is said)."""
    if not _home().is_dir():
        return None
    folder = place(source, threads)
    if not folder.is_dir():
        return None
    try:
        return _read(folder, source)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        from edge_runtime.console import say

        say(f"{source.name}: the tuned setting in {folder} is not used: {error}; tune again")
        return None


def _read(folder: Path, source: Source) -> Choice:
    entry = json.loads((folder / _RECORD).read_text("utf-8"))
    told = {"format": _FORMAT, "model": source.identity(), "hardware": hardware(), "engines": versions()}
    for name, mine in told.items():
        if entry[name] != mine:
            raise ValueError(f"it is for another {name}")
    if entry["sum"] != _sum_of(entry):
        raise ValueError("it is damaged")
    for name, (digest, *stamp) in entry["files"].items():
        if _stamp(folder / name) != stamp and sha256(folder / name) != digest:
            raise ValueError(f"{name} is damaged")
    rows = tuple(Row(**row) for row in entry["rows"])
    graph = folder / _GRAPH if _GRAPH in entry["files"] else None
    return Choice(Setting.from_json(entry["setting"]), float(entry["ratio"]), rows, graph)


def save(source: Source, threads: int, choice: Choice, exact_int8: bool = True) -> Choice:
    """Keep a choice, and give it with the optimised graph; that of an encrypted bundle is not written.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = place(source, threads)
    with atomic(folder) as partial:
        partial.mkdir()
        if choice.setting.engine == "onnxruntime" and not source.secret():
            _optimised(source, choice.setting, partial, exact_int8)
        files = {path.name: [sha256(path), *_stamp(path)] for path in sorted(partial.iterdir())}
        entry = choice.to_json() | {"format": _FORMAT, "model": source.identity(), "files": files}
        entry |= {"hardware": hardware(), "engines": versions(), "threads": threads}
        text = json.dumps(entry | {"sum": _sum_of(entry)}, indent=1) + "\n"
        (partial / _RECORD).write_text(text, "utf-8")
    return replace(choice, graph=folder / _GRAPH if _GRAPH in files else None)


def forget(source: Source, threads: int) -> None:
    """Remove the choice that is kept, if there is one."""
    import shutil

    shutil.rmtree(place(source, threads), ignore_errors=True)


def _optimised(source: Source, setting: Setting, folder: Path, exact_int8: bool) -> None:
    """Write the graph as onnxruntime has optimised it; nothing, if it cannot be written so."""
    from edge_runtime.engines import onnx

    try:
        onnx.write_optimised(
            source.read(setting.engine),
            folder / _GRAPH,
            "weights.bin",
            where=source.name,
            threads=setting.threads,
            exact_int8=exact_int8,
            **setting.arguments,
        )
    except LittoralError as error:
        from edge_runtime.console import say

        say(f"{source.name}: its optimised graph is not kept: {error}")
        for path in folder.iterdir():
            path.unlink()


def rows_of(told: Sequence[Row]) -> list[tuple[str, str, str, str, str]]:
    """Rows for `console.table`: setting, time against the reference, milliseconds, difference of outputs, why not."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else f"{value:{form}}"

    return [
        (row.setting, number(row.ratio, ".3f"), number(row.ms, ".3f"), number(row.difference, ".1e"), row.why)
        for row in told
    ]


def _stamp(path: Path) -> list[int]:
    """Length and time of change: a file that still has both is not read only to be checked."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _sum_of(entry: Mapping[str, Any]) -> str:
    return _sum(json.dumps({name: value for name, value in entry.items() if name != "sum"}, sort_keys=True))


def _sum(text: str) -> str:
    """Against accidents; what a record is for is compared in full. Importing `hashlib` takes a twentieth of a start."""
    return f"{zlib.crc32(text.encode()):08x}{zlib.adler32(text.encode()):08x}"


def _home() -> Path:
    return cache_dir() / "tuned"
