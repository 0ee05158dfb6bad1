"""`python -m cloud.control --home DIR`: the controller as a process, until it is told to end."""

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from cloud import logs
from cloud.control import metrics
from cloud.control.controller import Controller, Settings
from cloud.database import Database
from cloud.home import Home
from cloud.identity import Authority
from cloud.identity.authority import CONTROLLER
from cloud.settings import Settings as CloudSettings
from edge_runtime.errors import BackendError

_log = logging.getLogger("cloud.control")


def context_of(home: Home) -> ssl.SSLContext:
    """TLS with the controller's certificate, made anew before it expires."""
    certificate, key = Authority(home.ca).server(home.ca / CONTROLLER, CONTROLLER, None)
    context = ssl.create_default_context(cafile=str(home.ca / "ca.pem"))
    context.load_cert_chain(certificate, key)
    return context


def rollouts(database: Database, home: Home) -> Callable[[float], object]:
    """What is called once a second."""
    from cloud.fleet import Fleet
    from cloud.repository import Repository
    from cloud.rollouts import Rollouts

    return Rollouts(database, Fleet(database), Repository.open(home.repository, home.keys)).tick


async def _run(home: Home, settings: CloudSettings, *, ticking: bool) -> None:
    database = Database(settings.database_url(home))
    context = context_of(home) if settings.tls else None
    controller = Controller(
        database,
        settings.own_broker_urls,
        context,
        Settings(beat_s=settings.beat_s),
        rollouts(database, home) if ticking else None,
    )
    gc.collect()
    gc.freeze()  # the fleet stays: the collector need not look at it again and again
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = await metrics.serve(
        controller.metrics, home.run / "controller.sock", settings.metrics_port or None
    )
    _log.info("the controller begins, %d shards", len(settings.own_broker_urls))
    try:
        await controller.run(stop)
    finally:
        for server in servers:
            server.close()
        database.close()


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m cloud.control", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the cloud's folder")
    parser.add_argument("--no-rollouts", action="store_true", help="do not tick the rollouts")
    args = parser.parse_args()
    logs.setup()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    home = Home(args.home)
    try:
        asyncio.run(_run(home, CloudSettings.load(home), ticking=not args.no_rollouts))
    except BackendError as error:  # the database is away at the start; later it is waited for
        _log.error("the controller ends, and is started again: %s", error)
        sys.exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    main()
