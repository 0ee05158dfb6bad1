"""Command: cloud token, which lets a person or a program in."""

import argparse
import json
from pathlib import Path

from edge_runtime.command import Command
from edge_runtime.console import say

ROLES = ("viewer", "operator", "admin")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="whose token it is; the audit log calls them so")
    parser.add_argument("--role", choices=ROLES, default="viewer", help="what they may do (default viewer)")
    parser.add_argument("--days", type=float, help="after which it is over (default: never)")
    parser.add_argument("--delete", action="store_true", help="take the token's rights away instead")
    parser.add_argument(
        "--home", default="littoral-cloud", help="the cloud's folder (default littoral-cloud)"
    )
    parser.add_argument("--database", help="URL of the database (default: the one in the folder)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    from cloud.api.access import Tokens
    from cloud.audit import Audit
    from cloud.database import Database
    from cloud.home import Home
    from edge_runtime.errors import FleetError, InputError
    from edge_runtime.messages.fields import Fields

    try:
        name = Fields({"name": args.name}, "a token").name("name")
    except FleetError as error:
        raise InputError(str(error)) from error
    if not name:
        raise InputError("the token needs a name")
    if args.days is not None and not 0 < args.days <= 3650:
        raise InputError(f"--days {args.days:g}: expected more than 0 and at most 3650")
    database = Database(args.database or Home(Path(args.home)).database_url)
    database.migrate()
    tokens, audit = Tokens(database), Audit(database)
    with database.begin() as connection:
        if args.delete:
            if not tokens.delete(connection, name):
                raise InputError(f"there is no token '{name}'")
            audit.add(connection, "command line", "token.delete", name)
            token = None
        else:
            token = tokens.create(connection, name, args.role, args.days)
            audit.add(
                connection, "command line", "token.create", name, {"role": args.role, "days": args.days}
            )
    if args.json:
        print(json.dumps({"name": name} | ({} if token is None else {"role": args.role, "token": token})))
    elif token is None:
        say(f"{name} has no token any more")
    else:
        say(f"the token of {name} ({args.role}); it is shown this once:")
        print(token)


TOKEN = Command(
    "token",
    "Make a token for the console and the API, or delete one.",
    "littoral cloud token ada --role operator",
    _arguments,
    _run,
)
