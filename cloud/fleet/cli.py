"""The commands of the fleet: littoral fleet list, show, enrol, label, group, command, retire, watch, federate."""

import argparse
import json
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.fleet.federate import FEDERATE
from edge_runtime import console
from edge_runtime.command import Command
from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from cloud.fleet import Fleet


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home", default="littoral-cloud", help="the cloud's folder (default littoral-cloud)"
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout, an object a line")


def _fleet(args: argparse.Namespace) -> "Fleet":
    from cloud.database import Database
    from cloud.fleet import Fleet
    from cloud.home import Home
    from cloud.settings import Settings

    home = Home(Path(args.home))
    return Fleet(Database(Settings.load(home).database_url(home)))


# ------------------------------------------------------------------------------------------ list
def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "selector", nargs="?", default="", help='such as "target=rpi4,room=kitchen" (default: all)'
    )
    parser.add_argument("--limit", type=int, default=100, help="how many at most (default 100)")
    _common(parser)


def _list(args: argparse.Namespace) -> None:
    fleet = _fleet(args)
    found = list(islice(fleet.each(args.selector), max(args.limit, 0)))
    if args.json:
        for device in found:
            print(json.dumps(asdict(device)))
        return
    rows = [
        (
            each.name, each.site, each.target, "online" if each.online else _ago(each.seen), each.state,
            each.model[:12], f"{each.reported_v}/{each.desired_v}", _labels(each.labels),
        )
        for each in found
    ]  # fmt: skip
    header = ["device", "site", "target", "seen", "state", "model", "answered", "labels"]
    print(console.table(header, rows) if rows else "no device is meant")
    total = fleet.count(args.selector)["total"]
    if total > len(rows):
        console.say(f"{len(rows)} of {total}; --limit shows more")


def _ago(at: float) -> str:
    if not at:
        return "never"
    seconds = max(0, int(time.time() - at))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _labels(labels: Any) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


# ------------------------------------------------------------------------------------------ show
def _device_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", help="its name")
    _common(parser)


def _show(args: argparse.Namespace) -> None:
    from cloud.fleet import shown

    fleet = _fleet(args)
    device, twin, commands = (
        fleet.device(args.device),
        fleet.twin(args.device),
        fleet.commands(args.device, limit=10),
    )
    if args.json:
        halves = asdict(twin)
        said = {
            "device": asdict(device),
            "twin": halves | {"desired": halves["desired"] and shown(halves["desired"])},
            "commands": [asdict(each) for each in commands],
        }
        print(json.dumps(said))
        return
    rows = [
        ("site", device.site or "none"), ("target", device.target), ("labels", _labels(device.labels)),
        ("status", device.status), ("seen", "online" if device.online else _ago(device.seen)),
        ("state", device.state), ("model", device.model), ("answered", f"{device.reported_v} of {device.desired_v}"),
        ("rollout", device.rollout),
        ("credential", f"until {time.strftime('%Y-%m-%d', time.gmtime(device.expires))}" if device.expires else "none"),
    ]  # fmt: skip
    if twin.desired and twin.desired.model:
        rows.append(("shall run", f"{twin.desired.model.path} ({twin.desired.model.sha256[:12]})"))
    if twin.reported:
        rows += [("slot", twin.reported.slot), ("error", twin.reported.error), ("agent", twin.reported.agent)]
    print(console.table(["", device.name], rows))
    if commands:
        asked = [(each.command.op, each.status, _ago(each.created), each.text[:60]) for each in commands]
        print("\n" + console.table(["command", "status", "asked", "answer"], asked))


# ------------------------------------------------------------------------------------------ enrol
def _enrol_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="+", help="a device's name, such as pi-1")
    parser.add_argument(
        "--site", default="", help="the site that it stands at; its own name makes it the gateway"
    )
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="a label; may come again"
    )
    parser.add_argument("--hours", type=float, default=24, help="how long the token is good (default 24)")
    parser.add_argument(
        "--reach",
        action="append",
        default=[],
        metavar="HOST",
        help="for a gateway: where its devices reach it",
    )
    _common(parser)


def _enrol(args: argparse.Namespace) -> None:
    from cloud.database import Database
    from cloud.home import Home
    from cloud.identity import Authority, Enrolments, Reach
    from cloud.settings import Settings

    home = Home(Path(args.home))
    settings = Settings.load(home)
    authority = Authority(home.ca)
    enrolments = Enrolments(Database(settings.database_url(home)), authority, Reach(settings.url))
    labels = {key: value for key, value in _pairs(args.label).items() if value is not None}
    for device in args.device:
        given = enrolments.token(
            device,
            site=args.site,
            labels=labels,
            seconds=args.hours * 3600,
            hosts=args.reach,
            actor="command line",
        )
        print(
            json.dumps({"device": device, "enrol": given}) if args.json else f"littoral agent enrol '{given}'"
        )


def _pairs(given: list[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise InputError(f"label '{each}': expected KEY=VALUE, or KEY= to take it away")
        found[key] = value or None
    return found


# ------------------------------------------------------------------------------------------ label, retire
def _label_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", help="its name")
    parser.add_argument("label", nargs="+", metavar="KEY=VALUE", help="to set; KEY= takes it away")
    _common(parser)


def _label(args: argparse.Namespace) -> None:
    kept = _fleet(args).label(args.device, _pairs(args.label), actor="command line")
    print(
        json.dumps({"device": args.device, "labels": kept})
        if args.json
        else f"{args.device}: {_labels(kept)}"
    )


def _retire(args: argparse.Namespace) -> None:
    _fleet(args).retire(args.device, actor="command line")
    said = {"device": args.device, "status": "retired"}
    print(json.dumps(said) if args.json else f"{args.device} is retired, and its certificate revoked")


# ------------------------------------------------------------------------------------------ group
def _group_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="to save; without it, all groups are listed")
    parser.add_argument("selector", nargs="?", help='whom it means, such as "target=rpi4,room=kitchen"')
    parser.add_argument("--delete", action="store_true", help="forget the group")
    _common(parser)


def _group(args: argparse.Namespace) -> None:
    fleet = _fleet(args)
    if args.delete:
        if not args.name or args.selector:
            raise InputError("--delete expects the name of a group alone")
        fleet.delete_group(args.name, actor="command line")
    elif args.name:
        if not args.selector:
            raise InputError(f"group '{args.name}': expected a selector behind the name")
        fleet.save_group(args.name, args.selector, actor="command line")
    rows = [
        (name, each, fleet.count(f"group={name}")["total"]) for name, each in sorted(fleet.groups().items())
    ]
    if args.json:
        for name, selector, devices in rows:
            print(json.dumps({"group": name, "selector": selector, "devices": devices}))
    else:
        print(console.table(["group", "selector", "devices"], rows) if rows else "no groups")


# ------------------------------------------------------------------------------------------ command
def _command_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("op", help="report, probe, revert, logs or restart")
    parser.add_argument("selector", help='whom, such as "name=pi-1"; "all" for every device')
    parser.add_argument("--arguments", help="a JSON object")
    parser.add_argument("--seconds", type=float, default=3600, help="not after so long (default 3600)")
    parser.add_argument(
        "--wait", type=float, default=0, help="wait so many seconds for the answers (default 0)"
    )
    _common(parser)


def _command(args: argparse.Namespace) -> None:
    try:
        arguments = json.loads(args.arguments) if args.arguments else None
    except ValueError as error:
        raise InputError(f"--arguments: no JSON: {error}") from error
    if arguments is not None and not isinstance(arguments, dict):
        raise InputError("--arguments: expected a JSON object")
    fleet = _fleet(args)
    names = fleet.names(args.selector)
    if not names:
        raise InputError(f"selector '{args.selector}': no device is meant")
    ids = fleet.command(names, args.op, arguments, args.seconds, actor="command line")
    ends, open_ = time.time() + args.wait, dict(zip(names, ids, strict=True))
    rows: list[tuple[str, str, str]] = []
    while open_:
        for name, key in list(open_.items()):
            found = next((each for each in fleet.commands(name, limit=20) if each.id == key), None)
            if found and found.status != "pending":
                rows.append((name, found.status, found.text))
                del open_[name]
        if time.time() >= ends:
            break
        time.sleep(0.2)
    rows += [(name, "pending", "") for name in open_]
    if args.json:
        for name, status, text in sorted(rows):
            print(json.dumps({"device": name, "status": status, "text": text}))
    else:
        print(console.table(["device", "status", "answer"], sorted(rows)))


# ------------------------------------------------------------------------------------------ watch
def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("selector", nargs="?", default="", help="whom (default: all)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks (default 1)")
    parser.add_argument("--times", type=int, default=0, help="how many looks (default: until stopped)")
    _common(parser)


def _watch(args: argparse.Namespace) -> None:
    fleet, looks = _fleet(args), 0
    while True:
        count = fleet.count(args.selector)
        if args.json:
            print(json.dumps({"time": time.time(), **count}), flush=True)
        else:
            states = ", ".join(f"{n} {state or 'silent'}" for state, n in sorted(count["state"].items()))
            print(
                f"{time.strftime('%H:%M:%S')}  {count['online']} of {count['total']} online: {states}",
                flush=True,
            )
        looks += 1
        if looks == args.times:
            return
        time.sleep(args.every)


LIST = Command(
    "list", "List devices.", 'littoral fleet list "target=rpi4,online=true"', _list_arguments, _list
)
SHOW = Command("show", "Show a device and its twin.", "littoral fleet show pi-1", _device_arguments, _show)
ENROL = Command(
    "enrol", "Make a one-time enrolment token.", "littoral fleet enrol pi-1 --label room=kitchen", _enrol_arguments,
    _enrol,
)  # fmt: skip
LABEL = Command(
    "label", "Label a device.", "littoral fleet label pi-1 room=kitchen", _label_arguments, _label
)
GROUP = Command(
    "group", "Name a selector, or list the names.", 'littoral fleet group kitchens "room=kitchen"', _group_arguments,
    _group,
)  # fmt: skip
COMMAND = Command(
    "command", "Ask devices to do one thing.", 'littoral fleet command probe "name=pi-1" --wait 10',
    _command_arguments, _command,
)  # fmt: skip
RETIRE = Command(
    "retire",
    "Take a device out, and revoke its certificate.",
    "littoral fleet retire pi-1",
    _device_arguments,
    _retire,
)
WATCH = Command(
    "watch", "Show how the fleet does, again and again.", "littoral fleet watch", _watch_arguments, _watch
)


def _summary(args: argparse.Namespace) -> None:
    """The fleet in a line: what `watch` says at its first look."""
    _watch(argparse.Namespace(**vars(args), selector="", every=0.0, times=1))


FLEET = Command(
    "fleet",
    "Devices: list, show, enrol, label, group, command, retire, watch, federate.",
    'littoral fleet list "target=rpi4"',
    _common,
    _summary,
    (LIST, SHOW, ENROL, LABEL, GROUP, COMMAND, RETIRE, WATCH, FEDERATE),
)
