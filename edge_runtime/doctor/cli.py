"""Command: doctor."""

import argparse
import json
from dataclasses import asdict
from itertools import groupby

from edge_runtime import console
from edge_runtime.command import Command


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    # Here, because only this command needs them, and every command imports this file.
    from edge_runtime.doctor import device, engines, tools
    from edge_runtime.emulator.needs import install_line, missing

    checks = [*device.checks(), *engines.checks(), *tools.checks()]
    if args.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}))
        return
    for section, group in groupby(checks, lambda check: check.section):
        rows = [(check.what, check.state, check.remedy) for check in group]
        remedies = any(remedy for *_, remedy in rows)
        shown = rows if remedies else [row[:2] for row in rows]
        print(console.table([section, "found", *(["to have it"] if remedies else [])], shown) + "\n")
    if missing():
        print(f"to emulate devices here: {install_line(missing())}")


DOCTOR = Command(
    "doctor",
    "Say what this device has to run models with, what is missing, and the line that installs it.",
    "littoral doctor",
    _arguments,
    _run,
)
