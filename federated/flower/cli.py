"""The parts of `littoral federate` for Flower's deployment engine: up, node and app."""

import argparse
import json
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import console
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.errors import InputError, TransferError
from edge_runtime.files import existing
from federated import options

if TYPE_CHECKING:
    from federated.flower.deployment import Place

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  (what one listens on)  # nosec B104


def _place(text: str, flag: str) -> "Place":
    from federated.flower.deployment import Place

    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65535:
        raise InputError(f"{flag} {text}: expected HOST:PORT, such as server.local:9092")
    return Place(int(port), host)


# ------------------------------------------------------------------------------------------ up
def _up_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a trainable bundle; the nodes have copies")
    parser.add_argument("--test", required=True, help="held-out data: an .npz with x and y, or pictures")
    parser.add_argument(
        "--here", nargs="+", default=[], metavar="DATA", help="a node on this machine for each of these"
    )
    parser.add_argument(
        "--node", nargs="+", default=[], metavar="NAME", help="nodes on other machines, by name"
    )
    parser.add_argument(
        "--folder", default="flower", help="for certificates, keys and logs (default %(default)s)"
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:9092", help="HOST:PORT of the SuperLink (default %(default)s)"
    )
    parser.add_argument(
        "--name", help="how nodes reach this machine (default: the host of --listen, or this host's name)"
    )
    parser.add_argument(
        "--deadline", type=float, default=3600, help="seconds that a round waits (default 3600)"
    )
    options.add(parser)


def _up(args: argparse.Namespace) -> None:
    if not args.here and not args.node:
        raise InputError("no nodes: name data of this machine by --here, machines by --node, or both")
    for name in args.node:
        if Path(name).name != name or name.startswith((".", "here-")):
            raise InputError(f"--node {name}: expected a name such as n1")
    options.check_installed()
    from federated.flower.deployment import Place
    from federated.flower.up import Nodes, up

    nodes = Nodes([existing(path, "a node's data") for path in args.here], args.node)
    settings = options.settings_of(args, len(nodes.names), None)
    bundle = Bundle.open(args.bundle)
    bound = _place(args.listen, "--listen")
    name = args.name or (socket.gethostname() if bound.host in _EVERYWHERE else bound.host)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended with it
    test = existing(args.test, "held-out data")
    history = up(
        bundle.path, test, settings, nodes, out=Path(args.out), folder=Path(args.folder),
        place=Place(bound.port, name), listen=bound.host, restart=args.restart, deadline_s=args.deadline,
    )  # fmt: skip
    options.report(history, args)


# ------------------------------------------------------------------------------------------ node
def _node_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("superlink", help="HOST:PORT of the SuperLink")
    parser.add_argument("--ca", required=True, help="ca.pem, as 'littoral federate up' made it")
    parser.add_argument("--key", required=True, help="this node's key, as 'littoral federate up' made it")
    parser.add_argument("--bundle", required=True, help="the trainable bundle that the coordinator has too")
    parser.add_argument("--data", required=True, help="this node's data: an .npz with x and y, or pictures")
    parser.add_argument("--number", type=int, default=0, help="this node's number, from 0")
    parser.add_argument("--of", type=int, default=1, help="how many nodes there are")
    parser.add_argument(
        "--folder", default="node", help="for its log and Flower's files (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout once it runs")


def _node(args: argparse.Namespace) -> None:
    options.check_installed()
    from federated.flower import deployment
    from federated.flower.up import ending, free_port

    place = _place(args.superlink, "superlink")
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    certificate = existing(args.ca, "the authority's certificate").read_bytes()
    (folder / "ca.pem").write_bytes(certificate)
    files = {
        "LITTORAL_BUNDLE": str(Bundle.open(args.bundle).path.absolute()),
        "LITTORAL_DATA": str(existing(args.data, "the node's data").absolute()),
    }
    key = existing(args.key, "the node's key").absolute()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ending(
        deployment.supernode(folder, key, args.number, args.of, place, free_port(), files)
    ) as process:
        log = folder / "flower-supernode.log"
        said = {"superlink": str(place), "pid": process.pid, "log": str(log)}
        if args.json:
            print(json.dumps(said), flush=True)
        else:
            console.say(f"the SuperNode runs against {place}; its log is {log}")
        try:
            process.wait()
        except KeyboardInterrupt:
            return
    raise TransferError(f"the SuperNode ended; {log} says why")


# ------------------------------------------------------------------------------------------ app
def _app_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="folder of the app, for flwr run")
    parser.add_argument("--bundle", required=True, help="a trainable bundle")
    parser.add_argument("--test", required=True, help="held-out data: an .npz with x and y, or pictures")
    parser.add_argument("--clients", type=int, default=2, help="nodes to wait for (default 2)")
    parser.add_argument(
        "--data",
        default="",
        help="data of nodes that name none, with {partition} for a node's number: d{partition}.npz",
    )
    parser.add_argument(
        "--deadline", type=float, default=3600, help="seconds that a round waits (default 3600)"
    )
    options.add(parser)


def _app(args: argparse.Namespace) -> None:
    from federated.flower.deployment import write_app

    settings = options.settings_of(args, args.clients, None)
    bundle, test = Bundle.open(args.bundle).path, existing(args.test, "held-out data")
    data = str(Path(args.data).absolute()) if args.data else ""
    app = write_app(Path(args.folder), bundle, test, Path(args.out), settings, args.deadline, data)
    said = {"app": str(app), "run": f"flwr run {app}"}
    print(json.dumps(said) if args.json else f"{app}: a Flower app; run it with: flwr run {app}")


UP = Command(
    "up",
    "Train on Flower's deployment engine: SuperLink, keys, nodes and the run, by one command.",
    "littoral federate up m.bundle --test test.npz --here d0.npz d1.npz --rounds 5 --out run",
    _up_arguments,
    _up,
)
NODE = Command(
    "node",
    "Be a SuperNode of a run that 'littoral federate up' holds elsewhere.",
    "littoral federate node host:9092 --ca ca.pem --key n1 --number 1 --of 3 --bundle m.bundle --data mine.npz",
    _node_arguments,
    _node,
)
APP = Command(
    "app",
    "Write a Flower app, pyproject.toml and both components, for flwr run.",
    "littoral federate app app --bundle m.bundle --test test.npz --clients 10 --rounds 5 --out run",
    _app_arguments,
    _app,
)
