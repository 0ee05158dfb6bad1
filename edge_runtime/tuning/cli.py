"""Command: tune."""

import argparse
import json

from edge_runtime import console
from edge_runtime.command import Command


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle, or an .onnx file")
    parser.add_argument(
        "--threads", type=int, default=0, help="the most that it may use (default: one for each core)"
    )
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds, after which it takes what is best so far"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    from edge_runtime.session import source_of
    from edge_runtime.tuning import store, tuner

    source = source_of(args.bundle)
    choice = store.save(source, args.threads, tuner.tune(source, args.threads, args.budget))
    where = str(store.place(source, args.threads))
    if args.json:
        print(json.dumps(choice.to_json() | {"model": source.name, "kept": where}))
        return
    heads = ["setting", "time / untuned", "ms", "difference", ""]
    print(console.table(heads, store.rows_of(choice.rows)))
    print(f"\n{choice.setting}: {choice.ratio:.3f} of an untuned session's time; kept in {where}")


TUNE = Command(
    "tune",
    "Measure once on this device which engine, provider, threads and layout run a bundle fastest, and keep it.",
    "littoral tune model.bundle --threads 4 --budget 60",
    _arguments,
    _run,
)
