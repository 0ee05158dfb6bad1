"""The commands of operations: littoral cloud backup, littoral cloud restore."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from cloud.home import Home
from edge_runtime.command import Command
from edge_runtime.console import megabytes, say


def _common(parser: argparse.ArgumentParser, file: str) -> None:
    parser.add_argument("file", help=file)
    parser.add_argument(
        "--home", default="littoral-cloud", help="the cloud's folder (default littoral-cloud)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    _common(parser, "the tar file to write; must not exist")
    parser.add_argument("--database", default="", help="URL of the database, where it is not in the folder")
    parser.add_argument(
        "--no-secrets", action="store_true", help="leave out the signing keys and the authority's"
    )


def _backup(args: argparse.Namespace) -> None:
    from cloud.operations.backup import backup

    done = backup(Home(Path(args.home)), args.file, database=args.database, secrets=not args.no_secrets)
    if args.json:
        print(json.dumps({"file": args.file, **asdict(done)}))
        return
    print(f"{args.file}: {done.files} files, {megabytes(done.bytes)}")
    if done.secrets:
        say("it holds the keys of the fleet: keep it where you would keep those")


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    _common(parser, "a backup")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database, if it was one")


def _restore(args: argparse.Namespace) -> None:
    from cloud.operations.backup import restore

    done = restore(args.file, Home(Path(args.home)), database=args.database)
    if args.json:
        print(json.dumps({"home": args.home, **asdict(done)}))
    else:
        print(f"{args.home}: {done.files} files; start it with littoral cloud up --home {args.home}")


BACKUP = Command(
    "backup",
    "Write database, repository, keys and authority to one file, also while the cloud runs.",
    "littoral cloud backup cloud.tar --home littoral-cloud",
    _backup_arguments,
    _backup,
)
RESTORE = Command(
    "restore",
    "Make a cloud's folder of a backup, checked file by file.",
    "littoral cloud restore cloud.tar --home littoral-cloud",
    _restore_arguments,
    _restore,
)
