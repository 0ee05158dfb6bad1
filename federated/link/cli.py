"""The coordinator's parts of `littoral federate`: enrol, broker and serve."""

import argparse
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import console, data
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from federated import options
from federated.link import keys
from federated.link import options as link_options
from federated.link.keys import Key
from federated.link.mqtt import Address

if TYPE_CHECKING:  # a device does not need what runs a broker
    from federated.link.brokers import Listener, Running
    from federated.privacy.he import ServerKey

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  (what one listens on, and where it is reached)  # nosec B104


def _listen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", default="127.0.0.1:1883", help="HOST:PORT of the broker (default %(default)s)"
    )
    parser.add_argument("--server-cert", help="the broker's certificate, PEM: it speaks TLS")
    parser.add_argument("--server-key", help="its private key, PEM")
    parser.add_argument("--client-ca", help="demand client certificates that this authority signed, PEM")
    parser.add_argument(
        "--mosquitto", action="store_true", help="run mosquitto instead of the broker that comes with us"
    )


def _listener(args: argparse.Namespace) -> "Listener":
    from federated.link.brokers import Listener

    host, _, port = args.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--listen {args.listen}: expected HOST:PORT, such as 0.0.0.0:8883")
    if bool(args.server_cert) != bool(args.server_key) or (args.client_ca and not args.server_cert):
        raise InputError("TLS needs --server-cert and --server-key, and --client-ca needs both")
    return Listener(host, int(port), args.server_cert, args.server_key, args.client_ca)


def _broker_of(args: argparse.Namespace, own: Key) -> "AbstractContextManager[Running]":
    from federated.link import brokers

    known = brokers.passwords(keys.load_all(args.keys), own)
    run = brokers.mosquitto if args.mosquitto else brokers.embedded
    return run(_listener(args), known)


# ------------------------------------------------------------------------------------------ enrol
def _enrol_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="+", help="a device's name, such as pi-1")
    parser.add_argument("--keys", required=True, help="the coordinator's folder of keys")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _enrol(args: argparse.Namespace) -> None:
    for device in args.device:
        path = keys.enrol(device, args.keys)
        print(
            json.dumps({"device": device, "key": str(path)}) if args.json else f"{path}: copy it to {device}"
        )


# ------------------------------------------------------------------------------------------ encryption
def _encryption_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="device.he", help="the devices' key: not for the server (%(default)s)"
    )
    parser.add_argument(
        "--server", default="server.he", help="the server's key, which only adds (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _encryption(args: argparse.Namespace) -> None:
    from federated.privacy import he

    for path in (args.device, args.server):
        if Path(path).exists():
            raise InputError(f"{path}: is there already; remove it first, or name another")
    device, server = he.generate()
    he.save(device, args.device)
    he.save(server, args.server)
    said = {"device": args.device, "server": args.server}
    text = (
        f"{args.device}: copy it to every device, and not to the server; {args.server}: copy it to the server"
    )
    print(json.dumps(said) if args.json else text)


# ------------------------------------------------------------------------------------------ broker
def _broker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", required=True, help="the coordinator's folder of keys")
    _listen(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout once it runs")


def _broker(args: argparse.Namespace) -> None:
    with _broker_of(args, keys.coordinator(args.keys)) as running:
        said = {"port": running.port, "pid": running.process.pid}
        print(json.dumps(said) if args.json else f"the broker listens on {args.listen}", flush=True)
        running.process.wait()
    raise InputError("the broker ended; devices are enrolled before it starts, and its port has to be free")


# ------------------------------------------------------------------------------------------ serve
def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a trainable bundle")
    parser.add_argument("--test", required=True, help="held-out data: an .npz with x and y, or pictures")
    parser.add_argument("--keys", required=True, help="folder of the keys of all enrolled devices")
    parser.add_argument("--clients", type=int, help="devices to wait for (default: all that are enrolled)")
    parser.add_argument(
        "--deadline", type=float, default=3600, help="seconds that a round waits (default 3600)"
    )
    link_options.add_broker(parser, required=False)
    _listen(parser)
    options.add(parser)


def _serve(args: argparse.Namespace) -> None:
    options.check_installed("paho")
    from federated.serve import serve

    enrolled, own = keys.load_all(args.keys), keys.coordinator(args.keys)
    settings = options.settings_of(args, args.clients or len(enrolled), None)
    bundle = Bundle.open(args.bundle)
    test = data.load(args.test, bundle.manifest.preprocess)
    with _reach(args, own) as address:
        console.say(f"waiting for {settings.clients} devices at {address}")
        history = serve(
            bundle, test, settings, keys=enrolled, address=address, out=args.out,
            restart=args.restart, deadline_s=args.deadline, encryption=_server_key(args),
        )  # fmt: skip
    options.report(history, args)


def _server_key(args: argparse.Namespace) -> "ServerKey | None":
    if not args.encrypt:
        return None
    if args.encrypt is True:
        raise InputError("--encrypt needs the server's key; make it with: littoral federate encryption")
    from federated.privacy import he

    return he.load_server(args.encrypt)


@contextmanager
def _reach(args: argparse.Namespace, own: Key) -> Iterator[Address]:
    """The broker that was named, or one that runs as long as the block."""
    if args.broker:
        yield link_options.address_of(args, own)
        return
    with _broker_of(args, own) as running:
        host = args.listen.rpartition(":")[0]
        args.broker = f"mqtt{'s' if args.server_cert else ''}://{_LOOPBACK.get(host, host)}:{running.port}"
        if args.server_cert:
            args.ca = args.ca or args.server_cert
        yield link_options.address_of(args, own)


ENROL = Command(
    "enrol",
    "Make the key of a new device.",
    "littoral federate enrol pi-1 pi-2 --keys keys",
    _enrol_arguments,
    _enrol,
)
ENCRYPTION = Command(
    "encryption",
    "Make the keys of homomorphic encryption, on a machine that is not the coordinator.",
    "littoral federate encryption --device device.he --server server.he",
    _encryption_arguments,
    _encryption,
)
BROKER = Command(
    "broker",
    "Run a broker for the enrolled devices.",
    "littoral federate broker --keys keys --listen 0.0.0.0:8883 --server-cert host.pem --server-key host.key",
    _broker_arguments,
    _broker,
)
SERVE = Command(
    "serve",
    "Train by federated averaging over enrolled devices, wherever they are.",
    "littoral federate serve m.bundle --test test.npz --keys keys --out run --listen 0.0.0.0:1883 --rounds 20",
    _serve_arguments,
    _serve,
)
