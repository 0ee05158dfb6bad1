"""The cloud's commands: littoral cloud init, up, status, and what its parts bring."""

import argparse
import json
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cloud.api.cli import TOKEN
from cloud.operations.cli import BACKUP, RESTORE
from edge_runtime import console
from edge_runtime.command import Command

HOME = "littoral-cloud"


def add_home(parser: argparse.ArgumentParser) -> None:
    """The options that every command of the cloud has."""
    parser.add_argument("--home", default=HOME, help=f"the cloud's folder (default {HOME})")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _settings_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", help="name or address by which devices reach this machine (default 127.0.0.1)"
    )
    parser.add_argument("--listen", help="address to listen on, such as 0.0.0.0 (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="of API, console and repository (default 8443)")
    parser.add_argument("--shards", type=int, help="brokers to run, one for each 15,000 devices (default 1)")
    parser.add_argument("--broker-port", type=int, help="of the first broker (default 8883)")
    parser.add_argument(
        "--broker",
        action="append",
        metavar="URL",
        help="a broker that runs elsewhere, mqtts://HOST:PORT; instead",
    )
    parser.add_argument(
        "--embedded", action="store_true", help="run the broker of the package, not mosquitto"
    )
    parser.add_argument(
        "--database", help="URL, such as postgresql://USER@HOST/NAME (default: SQLite in the folder)"
    )
    parser.add_argument("--beat", type=float, help="seconds between the devices' signs of life (default 60)")
    parser.add_argument(
        "--metrics-port", type=int, help="loopback port of the controller's metrics (default: none)"
    )
    parser.add_argument(
        "--http", action="store_true", help="without TLS, on the loopback alone: to try it out"
    )
    add_home(parser)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    names = {
        "host": args.host, "listen": args.listen, "port": args.port, "shards": args.shards,
        "broker_port": args.broker_port, "database": args.database, "beat_s": args.beat,
        "metrics_port": args.metrics_port, "brokers": tuple(args.broker) if args.broker else None,
        "tls": False if args.http else None, "embedded": True if args.embedded else None,
    }  # fmt: skip
    return {name: value for name, value in names.items() if value is not None}


def _prepared(args: argparse.Namespace) -> tuple[Any, Any, str | None]:
    """Home, settings, and the first administrator's token where there was none."""
    from cloud.home import Home
    from cloud.settings import Settings
    from cloud.up import initialise

    home = Home(Path(args.home).resolve())
    made = (home.root / "cloud.json").exists()
    settings = replace(Settings.load(home) if made else Settings(), **_given(args))
    return home, settings, initialise(home, settings)


# ------------------------------------------------------------------------------------------ init
def _init(args: argparse.Namespace) -> None:
    home, settings, token = _prepared(args)
    if args.json:
        print(json.dumps({"home": str(home.root), "token": token, "settings": asdict(settings)}))
        return
    console.say(
        f"{home.root}: a cloud at {settings.url}; start it with: littoral cloud up --home {home.root}"
    )
    console.say(f"take {home.keys / 'offline'} away and keep it safe: it signs what your devices trust")
    _show(token)


def _show(token: str | None) -> None:
    if token:
        console.say("the token of the administrator, for console and API; it is shown this once:")
        print(token, flush=True)


# ------------------------------------------------------------------------------------------ up
def _up_arguments(parser: argparse.ArgumentParser) -> None:
    _settings_arguments(parser)
    parser.add_argument("--no-api", action="store_true", help="brokers and controller alone")


def _up(args: argparse.Namespace) -> None:
    from cloud import logs
    from cloud.home import Home
    from cloud.up import Supervisor, alone

    home = Home(Path(args.home).resolve())
    with alone(home):
        home, settings, token = _prepared(args)
        if args.json:
            said = {"url": settings.url, "brokers": settings.broker_urls, "token": token}
            print(json.dumps(said), flush=True)
        else:
            brokers = ", ".join(settings.broker_urls)
            console.say(f"API, console and repository: {settings.url}/   brokers: {brokers}")
            _show(token)
        logs.setup()
        supervisor = Supervisor(home, settings, serving=not args.no_api)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop.set())
        supervisor.run()


# ------------------------------------------------------------------------------------------ status
def _status(args: argparse.Namespace) -> None:
    from cloud.alerts import open_alerts
    from cloud.database import Database
    from cloud.fleet import Fleet
    from cloud.home import Home
    from cloud.settings import Settings
    from cloud.up import running

    home = Home(Path(args.home))
    settings = Settings.load(home)
    database = Database(settings.database_url(home))
    processes, count = running(home), Fleet(database).count()
    alerts = open_alerts(database)
    if args.json:
        said = {
            "url": settings.url,
            "brokers": settings.broker_urls,
            "processes": processes,
            "devices": count,
        }
        print(json.dumps({**said, "alerts": [each.to_json() for each in alerts]}))
        return
    print(console.table(["process", "pid"], sorted(processes.items())) if processes else "nothing runs here")
    print(f"\n{count['total']} devices, {count['online']} online, at {settings.url}")
    rows = [(state or "nothing reported", n) for state, n in sorted(count["state"].items())]
    print(console.table(["state", "devices"], rows) if rows else "")
    for alert in alerts:
        print(f"{alert.severity}: {alert.subject}: {alert.text}")


INIT = Command(
    "init",
    "Make a cloud's folder: authority, keys, tables, repository.",
    "littoral cloud init --home littoral-cloud --host fleet.example.org --listen 0.0.0.0",
    _settings_arguments,
    _init,
)
UP = Command(
    "up",
    "Start brokers, controller, API, console and repository, and keep them running.",
    "littoral cloud up --home littoral-cloud",
    _up_arguments,
    _up,
)
STATUS = Command(
    "status",
    "Show what runs, and how the fleet does.",
    "littoral cloud status --home littoral-cloud",
    add_home,
    _status,
)


CLOUD = Command(
    "cloud",
    "Run the cloud of a fleet: brokers, controller, API, console, repository.",
    "littoral cloud up --home littoral-cloud",
    add_home,
    _status,
    (INIT, UP, STATUS, TOKEN, BACKUP, RESTORE),
)
