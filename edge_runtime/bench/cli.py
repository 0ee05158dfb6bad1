"""Command: bench."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import console, profile, tensors
from edge_runtime.command import Command
from edge_runtime.engines import FILES, installed
from edge_runtime.errors import BackendError, InputError
from edge_runtime.session import Session, source_of

if TYPE_CHECKING:
    from edge_runtime.bench.measured import Measured

ALL = "all"


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "bundle", nargs="+", help="bundles, .onnx or .tflite files; several are timed in turn, round by round"
    )
    add("--rounds", type=int, default=30, help="timed calls of each (default 30)")
    add("--threads", type=int, default=1, help="threads within an operator (default 1)")
    add("--batch", type=int, default=1, help="samples a call, where that may vary (default 1)")
    add("--starts", type=int, default=3, help="fresh processes for the cold start; 0 for none (default 3)")
    add(
        "--engine",
        choices=[*FILES, ALL],
        help=f"the engine to run on, or {ALL} for a row each (default: what a session takes by itself)",
    )
    add("--operators", action="store_true", help="what each operator takes, by the engine's profiler")
    add("--html", metavar="PAGE", help="with --operators: where the time goes, as a picture on one page")
    add("--json", action="store_true", help="one JSON object a line on stdout")


def _run(args: argparse.Namespace) -> None:
    # Here, because only this command needs it, and every command imports this file.
    from edge_runtime.bench import measured

    for name, least in (("rounds", 1), ("batch", 1), ("starts", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name} {getattr(args, name)}: at least {least} is needed")
    if args.html and not args.operators:
        raise InputError(f"--html {args.html}: it shows operators; give --operators too")
    console.listen()
    opened = [(path, engine) for path in args.bundle for engine in _engines(path, args.engine)]
    sessions = [Session(path, threads=args.threads, engine=engine) for path, engine in opened]
    feeds = [tensors.example(session.inputs, free=args.batch) for session in sessions]
    found = measured.measure([path for path, _ in opened], sessions, feeds, args)
    for tag, (session, feed) in enumerate(zip(sessions, feeds, strict=True)):
        profile.mark_inferences(session, feed, tag)
    if args.html:
        from edge_runtime.bench import flame

        shown = [(_about(each), each.operators) for each in found if each.operators]
        if not shown:
            raise BackendError(
                f"--html {args.html}: no engine reported its operators, so there is nothing to show"
            )
        flame.write(shown, args.html)
    if args.json:
        for each in found:
            print(json.dumps(each.to_json()))
        return
    print("\n\n".join(_tables(found)))
    if args.html:
        print(f"\npage {args.html}")


def _engines(path: str, asked: str | None) -> Sequence[str | None]:
    """The engines to run a model on, None for what a session takes by itself."""
    if asked != ALL:
        return [asked]
    source = source_of(path)
    found = [engine for engine in source.engines() if installed(engine)]
    return found or [source.preferred()]  # which then says what is missing


def _about(each: "Measured") -> str:
    """The model's name, and where its operators were timed if that is not where it runs."""
    name = Path(each.model).name
    if each.operators is None or each.operators.engine == each.engine:
        return name
    return f"{name} on {each.operators.engine} ({each.engine} reports none)"


def _tables(found: "list[Measured]") -> list[str]:
    head = ["model", "engine", "size", "p50 ms", "p95 ms", "p99 ms", "samples/s", "mJ a call", "n"]
    rows = [
        (
            Path(each.model).name,
            each.engine,
            console.megabytes(each.bytes),
            *(f"{ms:.3f}" for ms in (each.latency.median_ms, each.latency.p95_ms, each.latency.p99_ms)),
            f"{each.per_second:.1f}",
            f"{each.energy.millijoules:.2f}" if each.energy else "not reported",
            each.latency.n,
        )
        for each in found
    ]
    tables = [console.table(head, rows)]
    several = len({each.engine for each in found}) > 1
    starts = [
        (f"{Path(each.model).name}, {each.engine}" if several else Path(each.model).name, each.start)
        for each in found
        if each.start
    ]
    if starts:
        head = ["cold start, ms", "python", "import", "engine", "load", "first", "total"]
        parts = ("interpreter_ms", "import_ms", "engine_ms", "load_ms", "first_ms", "total_ms")
        tables.append(
            console.table(
                head, [(name, *(f"{getattr(s, part):.0f}" for part in parts)) for name, s in starts]
            )
        )
        head = ["memory, RSS after", "engine", "load", "first", "peak"]
        sizes = ("engine_bytes", "loaded_bytes", "first_bytes", "peak_bytes")
        tables.append(
            console.table(
                head, [(name, *(console.megabytes(getattr(s, part)) for part in sizes)) for name, s in starts]
            )
        )
    for each in found:
        tables += _operators(each)
    return tables


def _operators(each: "Measured") -> list[str]:
    if each.operators is None:
        return []
    from edge_runtime.bench.flame import longest

    total, name = each.operators.total_micros or 1, _about(each)
    kinds = [
        (kind, count, f"{micros / 1000:.3f}", f"{100 * micros / total:.1f} %")
        for kind, count, micros in each.operators.kinds()[:10]
    ]
    return [
        console.table([f"{name}: operators", "count", "ms", "share"], kinds),
        console.table([f"{name}: the longest", "type", "output", "ms", "share"], longest(each.operators)),
    ]


BENCH = Command(
    "bench",
    "Measure latency, cold start, memory and operators here.",
    "littoral bench m.bundle other.onnx --operators --html time.html",
    _arguments,
    _run,
)
