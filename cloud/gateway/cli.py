"""The command of a site's gateway."""

import argparse
import json
from pathlib import Path

from edge_runtime.command import Command
from edge_runtime.console import say
from edge_runtime.errors import InputError


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home", default="littoral-gateway", help="the gateway's folder (default %(default)s)"
    )
    parser.add_argument(
        "--enrol", metavar="STRING", help="first contact, by what 'littoral fleet enrol' printed"
    )
    parser.add_argument("--enrol-only", action="store_true", help="end after first contact")
    parser.add_argument("--listen", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--reach", default="", help="name or address by which devices reach it, as its certificate has it"
    )
    parser.add_argument("--broker-port", type=int, default=8883, help="of its broker (default %(default)s)")
    parser.add_argument("--port", type=int, default=8443, help="of its HTTP server (default %(default)s)")
    parser.add_argument("--cache-mb", type=int, default=4096, help="MB of bundles kept (default %(default)s)")
    parser.add_argument(
        "--store-mb",
        type=int,
        default=64,
        help="MB of messages that may wait for the cloud (default %(default)s)",
    )
    parser.add_argument(
        "--batch",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds to gather beats for (default %(default)s)",
    )
    parser.add_argument("--no-agent", action="store_true", help="keep no model of the site's own")
    parser.add_argument(
        "--serve-port",
        type=int,
        default=0,
        help="answer for small devices with the site's model (default: do not)",
    )
    parser.add_argument(
        "--federate-port",
        type=int,
        default=8884,
        help="of the site's broker while the fleet learns together (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout once it runs")


def _run(args: argparse.Namespace) -> None:
    import asyncio
    import logging
    import signal

    from cloud.gateway.gateway import Gateway, Settings
    from edge_runtime.agent import credential

    home = Path(args.home)
    if args.enrol:
        identity = credential.enrol(home, args.enrol)
        say(f"this is the gateway of '{identity.device}' now")
        if args.enrol_only:
            if args.json:
                print(json.dumps({"site": identity.device, "home": str(home)}))
            return
    settings = Settings(
        args.listen,
        args.reach,
        args.broker_port,
        args.port,
        args.cache_mb << 20,
        args.store_mb << 20,
        args.batch,
        not args.no_agent,
        args.serve_port,
        args.federate_port,
    )
    logger = logging.getLogger("cloud.gateway")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)

    async def run() -> None:
        gateway, stop, ready = Gateway(home, settings), asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        running = asyncio.create_task(gateway.run(stop, ready))
        started = asyncio.create_task(ready.wait())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        if ready.is_set():
            told = {"site": gateway.identity.device, **gateway.local()}
            if args.json:
                print(json.dumps(told), flush=True)
            else:
                say(
                    f"the gateway of {told['site']}: broker {told['brokers'][0]}, repository {told['repository']}"
                )
        started.cancel()
        await running

    asyncio.run(run())


# ------------------------------------------------------------------------------------------ federate
def _federate_arguments(parser: argparse.ArgumentParser) -> None:
    from federated.link import options

    options.add_broker(parser, required=True)
    parser.add_argument("--key", required=True, help="the gateway's key, as the cloud's coordinator made it")
    parser.add_argument("--keys", required=True, help="folder of the keys of the site's devices")
    parser.add_argument(
        "--home", default="littoral-gateway", help="the gateway's folder (default %(default)s)"
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:1883",
        help="HOST:PORT of the site's broker for this run (default %(default)s)",
    )
    parser.add_argument(
        "--reach",
        default="",
        help="name or address in the gateway's certificate (default: the one of --listen)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout once it runs")
    parser.add_argument("--plain", action="store_true", help="without TLS, on the loopback alone")
    parser.add_argument(
        "--deadline", type=float, default=600, help="seconds a round of the site waits (default 600)"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the devices, that end a round early (default 1)"
    )


def _federate(args: argparse.Namespace) -> None:
    import signal

    from cloud.gateway.federation import SiteDevice
    from edge_runtime.agent import credential
    from federated.link import brokers, keys, options
    from federated.link.brokers import Listener
    from federated.link.mqtt import Address

    own, devices, inside = keys.load(args.key), keys.load_all(args.keys), keys.coordinator(args.keys)
    home, (host, _, port) = Path(args.home), args.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535 or not 0 < args.share <= 1 or args.deadline <= 0:
        raise InputError("--listen is HOST:PORT, --share above 0 up to 1, --deadline above 0 seconds")
    if args.plain and host not in ("127.0.0.1", "::1", "localhost"):
        raise InputError(f"--plain --listen {args.listen}: without TLS only 127.0.0.1 is listened on")
    files = [str(home / credential.FOLDER / name) for name in (credential.CERTIFICATE, credential.KEY)]
    listener = Listener(host, int(port)) if args.plain else Listener(host, int(port), *files)
    with brokers.embedded(listener, brokers.passwords(devices, inside)) as running:
        ca = None if args.plain else str(home / credential.FOLDER / credential.AUTHORITY)
        near = args.reach or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # nosec B104
        site = Address(near, running.port, not args.plain, inside.device, inside.password, ca)
        device = SiteDevice(
            own,
            options.address_of(args, own),
            site=site,
            devices=devices,
            folder=home / "federation" / own.device,
            deadline_s=args.deadline,
            share=args.share,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, device.leave)
        if args.json:
            print(
                json.dumps({"gateway": own.device, "port": running.port, "devices": len(devices)}), flush=True
            )
        else:
            say(f"{len(devices)} devices of this site may come to {args.listen}")
        device.run()


FEDERATE = Command(
    "federate",
    "Average a federated run's updates at the site: one update goes up for all its devices.",
    "littoral gateway federate --broker mqtts://cloud:8884 --key hall.key --keys site-keys --listen 0.0.0.0:1884",
    _federate_arguments,
    _federate,
)
GATEWAY = Command(
    "gateway",
    "The edge tier of a site: its broker, its cache of bundles, and its bridge to the cloud.",
    "littoral gateway --home /var/lib/littoral-gateway --enrol 'https://cloud:8443/#TOKEN#SHA256' --listen 0.0.0.0",
    _arguments,
    _run,
    (FEDERATE,),
)
