"""Command: agent. The device's side of a fleet."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from edge_runtime.command import Command

STORE = "/var/lib/littoral"


def _store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", default=STORE, help=f"the agent's folder (default {STORE})")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _arguments(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("--enrol", metavar="STRING", help="enrol the device by this string, and end")
    parser.add_argument(
        "--broker",
        action="append",
        default=[],
        help="mqtts://HOST:PORT in place of the fleet's; may be repeated",
    )
    parser.add_argument(
        "--print-unit", action="store_true", help="print a systemd unit for this folder, and end"
    )


def _run(args: argparse.Namespace) -> None:
    if args.print_unit:
        from edge_runtime.agent.unit import unit

        text = unit(args.store, sys.executable)
        print(json.dumps({"unit": text}) if args.json else text, end="\n" if args.json else "")
    elif args.enrol:
        _enrol(args)
    else:
        _serve(args)


def _serve(args: argparse.Namespace) -> None:
    import gc
    import logging
    import signal

    from edge_runtime.agent.agent import Agent
    from edge_runtime.agent.logs import JsonLines
    from edge_runtime.child import python
    from edge_runtime.messages.address import Address

    for url in args.broker:
        Address.parse(url)
    logger = logging.getLogger("edge_runtime")
    if not logger.handlers:
        logger.addHandler(JsonLines(sys.stdout) if args.json else logging.StreamHandler())
        logger.setLevel(logging.INFO)
    agent = Agent(Path(args.store), brokers=args.broker)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: agent.stop())
    gc.collect()  # what loading has left
    gc.freeze()
    agent.run()
    if agent.restart:
        again = [*python(), "-m", "edge_runtime", *sys.argv[1:]]
        os.execv(again[0], again)  # noqa: S606


def _enrol(args: argparse.Namespace) -> None:
    from edge_runtime.agent import credential

    identity = credential.enrol(Path(args.store), args.string if "string" in args else args.enrol)
    said: dict[str, Any] = {"device": identity.device, "site": identity.site, "store": str(args.store)}
    start = f"littoral agent --store {args.store}"
    print(
        json.dumps(said) if args.json else f"this device is '{identity.device}' now; start it with: {start}"
    )


def _enrol_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("string", help="https://HOST:PORT/#TOKEN#SHA256, as the fleet gave it")
    _store(parser)


def _status(args: argparse.Namespace) -> None:
    from edge_runtime import console
    from edge_runtime.agent import credential
    from edge_runtime.agent.slots import Slots
    from edge_runtime.agent.updating import STATE

    store = Path(args.store)
    identity, slots = credential.load(store), Slots(store)
    try:
        state = json.loads((store / STATE).read_bytes())
    except (OSError, ValueError):
        state = {}
    said: dict[str, Any] = {
        "device": identity.device,
        "state": state.get("state", "new"),
        "v": state.get("v", 0),
    }
    said |= {"slot": slots.current(), "error": state.get("error", "")}
    for slot in ("a", "b"):
        held = slots.release(slot)
        said[slot] = f"{held.name} {held.version} ({held.sha256[:12]})" if held else ""
    if args.json:
        print(json.dumps(said))
    else:
        print(console.table(["", "this device"], list(said.items())))


ENROL = Command(
    "enrol",
    "Make this device one of a fleet's, once.",
    "littoral agent enrol 'https://cloud:8443/#TOKEN#SHA256' --store /var/lib/littoral",
    _enrol_arguments,
    _enrol,
)
STATUS = Command(
    "status", "Say what the agent of a folder is at.", "littoral agent status --store DIR", _store, _status
)
AGENT = Command(
    "agent",
    "Keep this device at what its fleet desires, and at a model that works.",
    "littoral agent --store /var/lib/littoral",
    _arguments,
    _run,
    (ENROL, STATUS),
)
