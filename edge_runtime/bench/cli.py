"""Command: bench."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import console, profile
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.session import Session

if TYPE_CHECKING:
    from edge_runtime.bench.measured import Measured


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "bundle", nargs="+", help="bundles, .onnx or .tflite files; several are timed in turn, round by round"
    )
    add("--rounds", type=int, default=30, help="timed calls of each (default 30)")
    add("--threads", type=int, default=1, help="threads within an operator (default 1)")
    add("--batch", type=int, default=1, help="samples a call, where that may vary (default 1)")
    add("--starts", type=int, default=3, help="fresh processes for the cold start; 0 for none (default 3)")
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
    sessions = [Session(path, threads=args.threads) for path in args.bundle]
    feeds = [profile.example(session.inputs, free=args.batch) for session in sessions]
    found = measured.measure(args.bundle, sessions, feeds, args)
    for tag, (session, feed) in enumerate(zip(sessions, feeds, strict=True)):
        profile.mark_inferences(session, feed, tag)
    if args.html:
        from edge_runtime.bench import flame

        shown = [(Path(each.model).name, each.operators) for each in found if each.operators]
        flame.write(shown, args.html)
    if args.json:
        for each in found:
            print(json.dumps(each.to_json()))
        return
    print("\n\n".join(_tables(found)))
    if args.html:
        print(f"\npage {args.html}")


def _tables(found: "list[Measured]") -> list[str]:
    head = ["model", "size", "p50 ms", "p95 ms", "p99 ms", "samples/s", "mJ a call", "n"]
    rows = [
        (
            Path(each.model).name,
            console.megabytes(each.bytes),
            *(f"{ms:.3f}" for ms in (each.latency.median_ms, each.latency.p95_ms, each.latency.p99_ms)),
            f"{each.per_second:.1f}",
            f"{each.energy.millijoules:.2f}" if each.energy else "not reported",
            each.latency.n,
        )
        for each in found
    ]
    tables = [console.table(head, rows)]
    starts = [(Path(each.model).name, each.start) for each in found if each.start]
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

    total, name = each.operators.total_micros or 1, Path(each.model).name
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
