"""Command: emulate."""

import argparse
import json

from edge_runtime import console
from edge_runtime.command import Command
from edge_runtime.emulator.counter import Count
from edge_runtime.emulator.machine import run
from edge_runtime.web.cli import PHONE, phone, phone_arguments


def _emulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", help=f"which device: a name from `littoral targets`, a .toml file, or {PHONE}"
    )
    parser.add_argument(
        "args", nargs="+", metavar="-- ARGS", help="a command of the device side: run, bench, targets ..."
    )
    parser.add_argument("--count", action="store_true", help="count the exact instructions of an inference")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on stdout, after the command's own output"
    )


def _emulate(args: argparse.Namespace) -> None:
    if args.target == PHONE:
        parser = argparse.ArgumentParser(prog=f"littoral emulate {PHONE} --")
        phone_arguments(parser)
        phone(parser.parse_args([*args.args, *(["--json"] if args.json else [])]))
        return
    done = run(args.target, args.args, count=args.count)
    if args.json:
        counts = [count.to_json() for count in done.counts]
        result = {"target": args.target, "exit_code": done.returncode, "peak_bytes": done.peak_bytes}
        print(json.dumps(result | {"counts": counts}))
    elif done.counts:
        print(_count_table(done.counts))
    elif args.count and not done.returncode:
        console.say("no instructions were counted: the command made no session; count `bench` or `run`")
    if not args.json:
        console.say(f"{args.target}: {console.megabytes(done.peak_bytes)} of memory at most")
    if done.returncode:
        raise SystemExit(done.returncode)


def _count_table(counts: tuple[Count, ...]) -> str:
    rows = [(i, *(f"{n:,}" for n in count.to_json().values())) for i, count in enumerate(counts)]
    return console.table(["session", *counts[0].to_json()], rows)


EMULATE = Command(
    "emulate",
    "Run a command on an emulated device.",
    "littoral emulate rpi4 --count -- bench m.bundle",
    _emulate_arguments,
    _emulate,
)
