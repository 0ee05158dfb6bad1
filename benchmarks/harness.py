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
from collections.abc import Callable, Collection, Iterable
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


def write_docs(names: Collection[str] = ()) -> None:
    """Run benchmarks and write their sections of docs/benchmarks.md; one that fails is written down as such.

    Args:
        names: of the files to run, without suffix; none for all. The other sections stay as they are.
    """
    page = ROOT / "docs" / "benchmarks.md"
    known = _sections(page.read_text("utf-8")) if names and page.is_file() else {}
    files = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.py"))}
    files = {name: path for name, path in files.items() if name not in ("harness", "__init__")}
    for unknown in set(names) - set(files):
        raise SystemExit(f"no benchmark '{unknown}'; there are {', '.join(files)}")
    for name, path in files.items():
        if not names or name in names:
            say(f"benchmarks/{path.name}")
            known[name] = _section(path)
            parts = [_HEAD, *(known[each] for each in files if each in known)]
            write_text(page, "\n".join(parts))


_HEAD = """# Benchmarks

Written by `make bench` (`make bench ONLY="name name"` for some); each section comes from one run, peers interleaved.
Do not edit.
"""


def _sections(text: str) -> dict[str, str]:
    """The sections of the page by the name of their benchmark."""
    parts = text.split("## `benchmarks/")[1:]
    return {part.partition(".py`")[0]: "## `benchmarks/" + part for part in parts}


def _section(path: Path) -> str:
    """Run one benchmark: its title, machine and table."""
    command = [sys.executable, str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    first = path.read_text("utf-8").partition('"""')[2].partition("\n")[0].removesuffix('"""')
    about = ", ".join(f"{name} {version}" for name, version in versions().items())
    lines = [f"## `benchmarks/{path.name}`", "", first, "", f"{machine()}. {about}.", ""]
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [str(done.returncode)]
        lines += [f"Failed: `{last[0]}`", ""]
    lines += ["| case | value | unit | goal | met | n | note |", "|---|---|---|---|---|---|---|"]
    for line in done.stdout.splitlines():
        if line.startswith("{"):  # a peer's library may write to stdout as well
            entry = json.loads(line)
            case = Case(**{name: entry[name] for name in Case.__slots__})
            cells = (_number(case.value), case.unit, _number(case.goal), case.met, case.n, case.note)
            lines.append(f"| {case.case} | {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    write_docs(sys.argv[1:])
