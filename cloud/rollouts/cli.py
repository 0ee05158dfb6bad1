"""The command of rollouts: plan, start, list, show, watch, pause, resume, finish, abort and rollback."""

import argparse
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.command import Command
from edge_runtime.console import megabytes, say, table
from edge_runtime.errors import InputError

if TYPE_CHECKING:  # every command loads this file
    from cloud.rollouts import Plan, Rollouts, Spec

_WIDTH = 28
_ACTOR = "command line"


def _home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", default="littoral-cloud", help="the cloud's folder (default %(default)s)")
    parser.add_argument("--database", help="URL of the database (default: the cloud's)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _open(args: argparse.Namespace) -> "Rollouts":
    from cloud.database import Database
    from cloud.fleet import Fleet
    from cloud.home import Home
    from cloud.repository import Repository
    from cloud.rollouts import Rollouts
    from cloud.settings import Settings

    home = Home(Path(args.home))
    if not home.root.is_dir():
        raise InputError(f"{home.root}: no such folder; expected a cloud's (littoral cloud up makes one)")
    url = args.database
    if not url:
        with suppress(InputError):  # a folder without settings has its database at the usual place
            url = Settings.load(home).database_url(home)
    database = Database(url or home.database_url)
    database.migrate()
    return Rollouts(database, Fleet(database), Repository.open(str(home.repository)))


# ------------------------------------------------------------------------------------------ the spec
def _spec_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", help="a rollout in TOML or JSON, or a release such as kws/3")
    parser.add_argument("--name", help="of the rollout (default: such as kws-3)")
    parser.add_argument("--selector", help="which devices, such as target=rpi4,room=kitchen (default: all)")
    parser.add_argument(
        "--phases", help='such as "1%%,10%%,50%%,100%%" or "5,100%%" (the first five devices)'
    )
    parser.add_argument("--soak", type=int, metavar="S", help="seconds that each phase must hold")
    parser.add_argument("--patience", type=int, metavar="S", help="seconds to wait for devices that are away")
    parser.add_argument("--window", metavar="FROM-TO", help="when devices may switch, in UTC: 02:00-04:00")
    parser.add_argument(
        "--jitter", type=int, metavar="S", help="up to how long a device waits before it fetches"
    )
    parser.add_argument("--max-kbps", type=int, help="kilobits a second for each device's fetch")
    parser.add_argument("--max-concurrent", type=int, help="devices under way at one time")
    parser.add_argument(
        "--probation",
        type=int,
        metavar="S",
        help="seconds after the switch in which a failing probe brings the old model back",
    )
    parser.add_argument(
        "--shadow", type=int, metavar="N", help="inputs that both models see before the switch"
    )
    parser.add_argument(
        "--pause-on-breach", action="store_true", help="pause instead of taking the release back"
    )
    parser.add_argument("--follow", action="store_true", help="stay open for devices that come later")
    _home(parser)


def _spec(args: argparse.Namespace) -> "Spec":
    """The file, or the release, with what the options say instead."""
    from cloud.rollouts import Spec

    name, slash, version = args.what.partition("/")
    if slash and version.isdigit() and not Path(args.what).exists():
        value: dict[str, Any] = {"name": f"{name}-{version}", "release": name, "version": int(version)}
    else:
        value = Spec.load(args.what).to_json()
    given: Mapping[str, Any] = {
        "name": args.name,
        "selector": args.selector,
        "patience_s": args.patience,
        "jitter_s": args.jitter,
        "max_kbps": args.max_kbps,
        "max_concurrent": args.max_concurrent,
        "phases": [each.strip() for each in args.phases.split(",")] if args.phases else None,
        "window": args.window.split("-") if args.window else None,
        "automatic": False if args.pause_on_breach else None,
        "follow": True if args.follow else None,
        "probation_s": args.probation,
        "shadow": None if args.shadow is None else {**value.get("shadow", {}), "samples": args.shadow},
    }
    value |= {key: item for key, item in given.items() if item is not None}
    if args.soak is not None:
        value["soak_s"] = args.soak
        if not args.phases:
            value["phases"] = [{**each, "soak_s": args.soak} for each in Spec.read(value).to_json()["phases"]]
    return Spec.read(value)


def _show_plan(plan: "Plan") -> None:
    targets = sorted(plan.targets)
    rows = [
        (
            number,
            phase.text,
            phase.devices,
            *(phase.targets.get(target, 0) for target in targets),
            phase.soak_s,
        )
        for number, phase in enumerate(plan.phases, 1)
    ]
    print(table(["phase", "share", "devices", *targets, "soak s"], rows))
    for target, devices in sorted(plan.canaries.items()):
        more = f" and {len(devices) - 3} more" if len(devices) > 3 else ""
        if devices:
            print(f"first on {target}: {', '.join(devices[:3])}{more}")
    for target, (count, name) in plan.left_out.items():
        print(
            f"left out: {count} devices of target {target or 'unknown'} ({name} ...): the release has no bundle for it"
        )
    print(f"{sum(plan.targets.values())} devices, {megabytes(plan.bytes)} in all where no patch applies")


def _plan(args: argparse.Namespace) -> None:
    plan = _open(args).dry_run(_spec(args))
    if args.json:
        print(json.dumps(plan.to_json()))
    else:
        _show_plan(plan)


def _start_arguments(parser: argparse.ArgumentParser) -> None:
    _spec_arguments(parser)
    parser.add_argument("--draft", action="store_true", help="write it down only; 'start NAME' begins it")


def _start(args: argparse.Namespace) -> None:
    rollouts = _open(args)
    if not Path(args.what).exists() and "/" not in args.what:  # a draft's name
        found = rollouts.start(args.what, _ACTOR)
    else:
        found = rollouts.create(_spec(args), _ACTOR)
        if not args.draft:
            found = rollouts.start(found.name, _ACTOR)
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        say(f"rollout {found.name} is {found.state}; littoral rollout watch {found.name} follows it")


# ------------------------------------------------------------------------------------------ what is there
def _list(args: argparse.Namespace) -> None:
    found = _open(args).list()
    if args.json:
        for each in found:
            print(json.dumps(each.to_json()))
        return
    rows = [
        (
            each.name,
            f"{each.spec.release}/{each.spec.version}",
            each.state,
            f"{each.phase + 1} of {len(each.spec.phases)}",
            datetime.fromtimestamp(each.created, UTC).strftime("%Y-%m-%d %H:%M"),
            each.reason[:60],
        )
        for each in found
    ]
    print(table(["rollout", "release", "state", "phase", "made (UTC)", "why"], rows))


def _name_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the rollout")
    _home(parser)


def bar(found: Mapping[str, Any]) -> str:
    """How far a rollout is, as a bar: done, failed, under way, and what the phase allows.

    >>> bar({"devices": 4, "done": 2, "failed": 1, "told": 4})
    '━━━━━━━━━━━━━━×××××××·······  2 of 4 done, 1 failed, 1 under way'
    """
    if found["devices"] == 0 and found.get("returned"):
        share = _WIDTH * found["answered"] // found["returned"]
        drawn = "━" * share + "·" * (_WIDTH - share)
        return f"{drawn}  {found['returned']} got back what they had, {found['answered']} of them have it"
    total = max(found["devices"], 1)
    ends = [_WIDTH * n // total for n in (found["done"], found["done"] + found["failed"], found["told"])]
    drawn = "━" * ends[0] + "×" * (ends[1] - ends[0]) + "·" * (ends[2] - ends[1])
    under_way = found["told"] - found["done"] - found["failed"]
    return (
        f"{drawn.ljust(_WIDTH, '─')}  {found['done']} of {found['devices']} done, {found['failed']} failed, "
        f"{under_way} under way"
    )


def text(found: Mapping[str, Any]) -> str:
    """A rollout's progress as a person reads it."""
    rows = [
        (
            target,
            *(each[name] for name in ("devices", "allowed", "told", "done", "failed", "pending", "away")),
        )
        for target, each in sorted(found["targets"].items())
    ]
    lines = [
        f"{found['name']}: {found['state']}, phase {found['phase'] + 1} of {len(found['phases'])} "
        f"({found['phases'][found['phase']]})",
        bar(found),
        found["reason"],
        "",
        table(["target", "devices", "allowed", "told", "done", "failed", "pending", "away"], rows),
    ]
    for target, each in sorted(found["evidence"].items()):
        said = [f"{each['shadow']} in the shadow"] if each["shadow"] else []
        said += [f"agreement {each['agree']:.1%}"] if each["agree"] is not None else []
        said += [f"accuracy {-each['drop']:+.1%} of {each['labelled']}"] if each["drop"] is not None else []
        said += [f"p95 x {each['slower']:.2f}"] if each["slower"] is not None else []
        said += [f"errors {each['errors']:.2%}"] if each["errors"] is not None else []
        said += [f"drift {each['drift']:.2f}"] if each["drift"] is not None else []
        lines += [f"{target}: {', '.join(said)}"] if said else []
    for target, each in found["left_out"].items():
        lines.append(
            f"left out: {each['devices']} devices of target {target or 'unknown'} ({each['first']} ...)"
        )
    return "\n".join(lines)


def _show(args: argparse.Namespace) -> None:
    found = _open(args).progress(args.name).to_json()
    print(json.dumps(found) if args.json else text(found))


def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    _name_arguments(parser)
    parser.add_argument(
        "--every", type=float, default=1.0, metavar="S", help="seconds between looks (default 1)"
    )
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="S", help="give up after (default: never)"
    )


def _watch(args: argparse.Namespace) -> None:
    rollouts, began, last = _open(args), time.monotonic(), ""
    if args.every <= 0:
        raise InputError(f"--every {args.every:g}: expected more than 0 seconds")
    while True:
        found = rollouts.progress(args.name).to_json()
        line = json.dumps(found) if args.json else f"{bar(found)}  {found['state']}: {found['reason']}"
        if line != last:
            print(line, flush=True)
            last = line
        over = found["ended"] is not None or found["state"] in ("draft", "paused")
        if over:
            return
        if args.timeout and time.monotonic() - began > args.timeout:
            raise InputError(f"rollout {args.name} is still {found['state']} after {args.timeout:g} s")
        time.sleep(args.every)


# ------------------------------------------------------------------------------------------ what people do
def _reason_arguments(parser: argparse.ArgumentParser) -> None:
    _name_arguments(parser)
    parser.add_argument("--reason", default="", help="why, for the audit log")


def _act(args: argparse.Namespace, action: str) -> None:
    rollouts = _open(args)
    if action == "resume":
        found = rollouts.resume(args.name, _ACTOR)
    else:
        found = getattr(rollouts, action)(args.name, _ACTOR, args.reason)
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        say(f"rollout {found.name} is {found.state}")


PLAN = Command(
    "plan",
    "What a rollout would do, without doing it.",
    "littoral rollout plan kws/3 --selector room=kitchen --phases 1%,10%,100%",
    _spec_arguments,
    _plan,
)
START = Command(
    "start",
    "Begin a rollout from a file, of a release, or a draft by its name.",
    "littoral rollout start kws/3 --phases 1%,10%,50%,100% --soak 3600",
    _start_arguments,
    _start,
)
LIST = Command("list", "List the rollouts, the newest first.", "littoral rollout list", _home, _list)
SHOW = Command("show", "How far a rollout is.", "littoral rollout show kws-3", _name_arguments, _show)
WATCH = Command(
    "watch",
    "Follow a rollout until it has ended or is paused.",
    "littoral rollout watch kws-3",
    _watch_arguments,
    _watch,
)
PAUSE = Command(
    "pause",
    "Tell no more devices; those that were told go on.",
    "littoral rollout pause kws-3 --reason 'a look first'",
    _reason_arguments,
    lambda args: _act(args, "pause"),
)
RESUME = Command(
    "resume",
    "Go on after a pause.",
    "littoral rollout resume kws-3",
    _name_arguments,
    lambda args: _act(args, "resume"),
)
ABORT = Command(
    "abort",
    "End a rollout that is under way; every device gets back what it had.",
    "littoral rollout abort kws-3 --reason 'wrong labels'",
    _reason_arguments,
    lambda args: _act(args, "abort"),
)
FINISH = Command(
    "finish",
    "End a rollout where it stands: who was told keeps the release, nobody more is told.",
    "littoral rollout finish kws-3",
    _reason_arguments,
    lambda args: _act(args, "finish"),
)
ROLLBACK = Command(
    "rollback",
    "Take a release back from every device, also after the rollout has finished.",
    "littoral rollout rollback kws-3",
    _reason_arguments,
    lambda args: _act(args, "rollback"),
)
ROLLOUT = Command(
    "rollout",
    "Bring a release to the fleet in phases, behind gates.",
    "littoral rollout start kws/3 --phases 1%,10%,100%",
    _home,
    _list,
    (PLAN, START, LIST, SHOW, WATCH, PAUSE, RESUME, FINISH, ABORT, ROLLBACK),
)
