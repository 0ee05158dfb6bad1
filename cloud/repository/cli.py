"""The command of the repository: init, publish, list, show, withdraw, rotate, refresh, verify and gc."""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cloud.home import Home
from cloud.repository.repository import Published, Repository
from edge_runtime.command import Command
from edge_runtime.console import megabytes, say, table
from edge_runtime.errors import InputError, TransferError

Arguments = Callable[[argparse.ArgumentParser], None]


def _where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--home", default="cloud", help="the cloud's folder (default %(default)s)")
    parser.add_argument("--url", help="the repository's folder or URL (default: repository/ in the home)")
    parser.add_argument("--keys", help="the folder with the keys (default: keys/ in the home)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _open(args: argparse.Namespace, *, signs: bool = False) -> Repository:
    where, keys = _paths(args)
    if signs and not keys.is_dir():
        raise InputError(
            f"{keys}: no such folder; expected the repository's keys (littoral repository init makes them)"
        )
    return Repository.open(where, keys if keys.is_dir() else None)


def _paths(args: argparse.Namespace) -> tuple[str, Path]:
    home = Home(Path(args.home))
    return args.url or str(home.repository), Path(args.keys) if args.keys else home.keys


def _tell(args: argparse.Namespace, value: dict[str, Any], text: str) -> None:
    print(json.dumps(value) if args.json else text)


def _entry(each: Published) -> dict[str, Any]:
    names = ("name", "version", "target", "path", "sha256", "bytes", "published")
    return {name: getattr(each, name) for name in names} | {"custom": each.custom}


def _version(text: str) -> tuple[str, int]:
    name, _, version = text.partition("/")
    if not version.isdigit() or not int(version):
        raise InputError(f"{text!r} is no version; expected NAME/VERSION, such as kws/3")
    return name, int(version)


# ------------------------------------------------------------------------------------------- init
def _init_arguments(parser: argparse.ArgumentParser) -> None:
    _where(parser)
    parser.add_argument("--roots", type=int, default=1, help="root keys to make (default %(default)s)")
    parser.add_argument(
        "--threshold", type=int, default=1, help="how many of them must sign (default %(default)s)"
    )


def _init(args: argparse.Namespace) -> None:
    where, keys = _paths(args)
    Repository.create(where, keys, roots=args.roots, threshold=args.threshold)
    say(f"take {keys / 'offline'} to another place; it is needed for new models and for rotating keys")
    _tell(args, {"url": where, "keys": str(keys)}, f"{where}: ready; keys in {keys}")


# ---------------------------------------------------------------------------------------- publish
def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle, file or folder")
    _where(parser)
    parser.add_argument("--name", help="the model (default: the bundle's name)")
    parser.add_argument("--version", type=int, help="the version (default: the next)")
    parser.add_argument("--target", help="the target (default: the bundle's)")
    parser.add_argument(
        "--delta-from",
        type=int,
        default=2,
        help="earlier versions to make patches from (default %(default)s)",
    )
    parser.add_argument("--seal", action="store_true", help="encrypt it with the model's content key")


def _publish(args: argparse.Namespace) -> None:
    made = _open(args, signs=True).publish(
        args.bundle, args.name, args.version, args.target, args.delta_from, seal=args.seal
    )
    lines = [f"{made.path}: {megabytes(made.bytes)}, SHA-256 {made.sha256}"]
    for old, delta in made.custom["deltas"].items():
        share = 100 * delta["length"] / made.bytes
        lines.append(f"  patch from {old[:12]}: {megabytes(delta['length'])}, {share:.1f} %")
    _tell(args, _entry(made), "\n".join(lines))


# ------------------------------------------------------------------------------------- list, show
def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a model (default: all)")
    _where(parser)


def _list(args: argparse.Namespace) -> None:
    found = _open(args).releases(args.name)
    if args.json:
        for each in found:
            print(json.dumps(_entry(each)))
        return
    rows = [
        (e.path, megabytes(e.bytes), len(e.custom["deltas"]), _day(e.published), e.sha256[:12]) for e in found
    ]
    print(
        table(["version", "size", "patches", "published", "SHA-256"], rows)
        if rows
        else "nothing is published"
    )


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="NAME/VERSION")
    _where(parser)


def _show(args: argparse.Namespace) -> None:
    name, version = _version(args.version)
    found = [each for each in _open(args).releases(name) if each.version == version]
    if not found:
        raise InputError(f"{name} has no version {version}; littoral repository list shows what there is")
    for each in found:
        print(json.dumps(_entry(each), indent=None if args.json else 1))


# --------------------------------------------------------------- withdraw, rotate, refresh, gc
def _withdraw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="NAME/VERSION")
    _where(parser)
    parser.add_argument("--target", help="for this target only")


def _withdraw(args: argparse.Namespace) -> None:
    name, version = _version(args.version)
    gone = _open(args, signs=True).withdraw(name, version, args.target)
    _tell(args, {"withdrawn": [e.path for e in gone]}, "withdrawn: " + ", ".join(each.path for each in gone))


def _rotate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("role", help="root, targets, snapshot, timestamp, or a model's name")
    _where(parser)


def _rotate(args: argparse.Namespace) -> None:
    _open(args, signs=True).rotate(args.role)
    _tell(args, {"rotated": args.role}, f"{args.role}: a new key signs, and the old one is refused")


def _refresh(args: argparse.Namespace) -> None:
    signed = _open(args, signs=True).refresh()
    _tell(args, {"signed": signed}, "signed again: " + ", ".join(signed))


def _gc(args: argparse.Namespace) -> None:
    files, count = _open(args, signs=True).gc()
    _tell(args, {"files": files, "bytes": count}, f"deleted {files} files, {megabytes(count)}")


def _verify(args: argparse.Namespace) -> None:
    repository = _open(args)
    wrong, count = repository.verify(), len(repository.releases())
    _tell(
        args,
        {"versions": count, "wrong": wrong},
        "\n".join([*wrong, f"{count} versions, {len(wrong)} faults"]),
    )
    if wrong:
        raise TransferError(f"the repository has {len(wrong)} faults")


def _part(name: str, summary: str, example: str, arguments: Arguments, run: Callable[..., None]) -> Command:
    return Command(name, summary, f"littoral repository {name}{example}", arguments, run)


PARTS = (
    _part("init", "Make a repository and its keys.", " --home cloud", _init_arguments, _init),
    _part("publish", "Add a version of a model.", " kws-rpi4.bundle", _publish_arguments, _publish),
    _part("list", "List what is published.", " kws", _list_arguments, _list),
    _part("show", "Show all that is signed of a version.", " kws/3", _show_arguments, _show),
    _part("withdraw", "Take a version off the list.", " kws/3", _withdraw_arguments, _withdraw),
    _part("rotate", "Replace a key.", " kws", _rotate_arguments, _rotate),
    _part("refresh", "Sign again that this is newest.", " --home cloud", _where, _refresh),
    _part("verify", "Check signatures, blobs and patches.", " --url s3://bucket/models", _where, _verify),
    _part("gc", "Delete what no version needs.", " --home cloud", _where, _gc),
)
REPOSITORY = Command(
    "repository",
    "Publish versions of models, signed, for devices to fetch.",
    "littoral repository publish kws-rpi4.bundle --home cloud",
    _list_arguments,
    _list,
    PARTS,
)
