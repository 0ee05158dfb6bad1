"""The command of federated learning: federate, which simulates, and its parts for devices of their own."""

import argparse

from edge_runtime import data
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from federated import options
from federated.device.cli import JOIN
from federated.flower.cli import APP, NODE, UP
from federated.link.cli import BROKER, ENCRYPTION, ENROL, SERVE
from federated.settings import Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a trainable bundle")
    parser.add_argument(
        "--data", required=True, help="an .npz with x and y, or a folder of class folders of pictures"
    )
    held = parser.add_mutually_exclusive_group()
    held.add_argument("--test", help="held-out data, in the same form as --data")
    held.add_argument(
        "--holdout", type=float, default=0.2, help="else the fraction of --data to hold out (default 0.2)"
    )
    clients = Settings().clients
    parser.add_argument(
        "--clients", "--simulate", type=int, default=clients, help=f"virtual clients (default {clients})"
    )
    skew = parser.add_mutually_exclusive_group()
    skew.add_argument(
        "--alpha", type=float, default=Settings().alpha, help="Dirichlet label skew (default 0.5)"
    )
    skew.add_argument("--iid", action="store_true", help="equal random shares instead of skewed labels")
    options.add(parser)


def _run(args: argparse.Namespace) -> None:
    settings = options.settings_of(args, args.clients, None if args.iid else args.alpha)
    options.check_installed()
    from federated.run import federate

    bundle = Bundle.open(args.bundle)
    samples = data.load(args.data, bundle.manifest.preprocess)
    test = data.load(args.test, bundle.manifest.preprocess) if args.test else None
    history = federate(
        bundle, samples, settings, out=args.out, test=test, holdout=args.holdout, restart=args.restart
    )
    options.report(history, args)


SIMULATE = Command(
    "simulate",
    "The same as without a part: virtual clients in this process.",
    "littoral federate simulate m.bundle --data digits.npz --clients 100 --sample 10 --out run",
    _arguments,
    _run,
)
FEDERATE = Command(
    "federate",
    "Train by federated averaging over clients with their own data.",
    "littoral federate m.bundle --data digits.npz --clients 5 --rounds 20 --alpha 0.5 --out run",
    _arguments,
    _run,
    (SIMULATE, SERVE, JOIN, ENROL, ENCRYPTION, BROKER, UP, NODE, APP),
)
