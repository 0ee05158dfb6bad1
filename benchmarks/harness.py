"""What every benchmark shares: cases as JSON lines or a table, the machine, and docs/benchmarks.md.

A benchmark is a file `NAME.py` whose `cases()` yields `Case`s and whose last line is `main(cases)`. Peers run
interleaved with ours in the same run; a peer that cannot be installed is a case whose value is null and whose `note`
says why.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from edge_runtime.console import say, table
from edge_runtime.files import write_text

ROOT = Path(__file__).parents[1]
PACKAGES = ("numpy", "onnxruntime", "onnx", "torch", "flwr")


@dataclass(frozen=True, slots=True)
class Case:
    """One figure: `goal` is what is aimed at, `better` is "lower" or "higher", `n` the calls or samples behind it."""

    case: str
    value: float | None
    unit: str
    goal: float | None
    better: str
    n: int
    note: str = ""

    @property
    def met(self) -> str:
        """Whether the goal is met, as a word."""
        if self.goal is None or self.value is None:
            return ""
        return (
            "yes"
            if (self.value <= self.goal if self.better == "lower" else self.value >= self.goal)
            else "no"
        )


def main(cases: Callable[[], Iterable[Case]]) -> None:
    """Run a benchmark's cases and print them: a table, or with --json one object a line."""
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    if parser.parse_args().json:
        about = {"machine": machine(), "versions": versions()}
        for case in cases():
            print(json.dumps(asdict(case) | about), flush=True)
        return
    print(_table(cases()))


def _table(cases: Iterable[Case]) -> str:
    return table(
        ["case", "value", "unit", "goal", "met", "n", "note"],
        [(c.case, _number(c.value), c.unit, _number(c.goal), c.met, c.n, c.note) for c in cases],
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def machine() -> str:
    """Processor, cores and operating system."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )
    flags = next((line for line in lines if line.startswith("flags")), "")
    return f"{model}, {os.cpu_count()} cores, {'VNNI' if 'vnni' in flags else 'no VNNI'}, {platform.system()}"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_docs() -> None:
    """Run every benchmark and write docs/benchmarks.md; a benchmark that fails is written down as such."""
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`; each figure comes from one run, peers interleaved. Do not edit.",
        "",
    ]
    parts += [f"Machine: {machine()}. " + ", ".join(f"{k} {v}" for k, v in versions().items()) + ".", ""]
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name in ("harness.py", "__init__.py"):
            continue
        say(f"benchmarks/{path.name}")
        done = subprocess.run(
            [sys.executable, str(path), "--json"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        first = path.read_text("utf-8").partition('"""')[2].partition("\n")[0].removesuffix('"""')
        parts += [f"## `benchmarks/{path.name}`", "", first, ""]
        if done.returncode:
            parts += [
                f"Failed: `{done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}`",
                "",
            ]
        parts += ["| case | value | unit | goal | met | n | note |", "|---|---|---|---|---|---|---|"]
        for line in done.stdout.splitlines():
            entry = json.loads(line)
            case = Case(**{name: entry[name] for name in Case.__slots__})
            cells = (
                case.case,
                _number(case.value),
                case.unit,
                _number(case.goal),
                case.met,
                case.n,
                case.note,
            )
            parts.append(f"| {' | '.join(map(str, cells))} |")
        parts.append("")
        write_text(ROOT / "docs" / "benchmarks.md", "\n".join(parts))


if __name__ == "__main__":
    write_docs()
