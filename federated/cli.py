"""The command of federated learning: federate."""

import argparse
import importlib.util
import json
from pathlib import Path

from edge_runtime import console, data
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.errors import BackendError
from federated.settings import Settings


def _arguments(parser: argparse.ArgumentParser) -> None:
    default = Settings()
    parser.add_argument("bundle", help="a trainable bundle")
    parser.add_argument(
        "--data", required=True, help="an .npz with x and y, or a folder of class folders of pictures"
    )
    held = parser.add_mutually_exclusive_group()
    held.add_argument("--test", help="held-out data, in the same form as --data")
    held.add_argument(
        "--holdout", type=float, default=0.2, help="else the fraction of --data to hold out (default 0.2)"
    )
    parser.add_argument(
        "--out", required=True, help="folder for history.json, curve.png, model.bundle, checkpoint.npz"
    )
    parser.add_argument("--clients", type=int, default=default.clients, help="virtual clients (default 5)")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="rounds (default 20)")
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--fraction", type=float, default=1.0, help="of the clients that trains each round (default 1)"
    )
    some.add_argument("--sample", type=int, help="clients that train each round, as a number")
    parser.add_argument("--epochs", type=int, default=default.epochs, help="local epochs a round (default 1)")
    parser.add_argument(
        "--batch-size", type=int, default=default.batch_size, help="local batch size (default 32)"
    )
    parser.add_argument("--lr", type=float, default=default.lr, help="local learning rate (default 0.05)")
    skew = parser.add_mutually_exclusive_group()
    skew.add_argument("--alpha", type=float, default=default.alpha, help="Dirichlet label skew (default 0.5)")
    skew.add_argument("--iid", action="store_true", help="equal random shares instead of skewed labels")
    parser.add_argument("--seed", type=int, default=default.seed, help="of every random choice (default 0)")
    parser.add_argument(
        "--threads", type=int, default=default.threads, help="threads within an operator (default 1)"
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on from OUT/checkpoint.npz if it is there (the default)"
    )
    again.add_argument(
        "--restart", action="store_true", help="begin at round 1 even if there is a checkpoint"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    settings = _settings(args)
    _check_installed()
    from federated.run import federate

    bundle = Bundle.open(args.bundle)
    samples = data.load(args.data, bundle.manifest.preprocess)
    test = data.load(args.test, bundle.manifest.preprocess) if args.test else None
    history = federate(
        bundle, samples, settings, out=args.out, test=test, holdout=args.holdout, restart=args.restart
    )
    last, out = history.rounds[-1], Path(args.out)
    down = sum(entry.bytes_down for entry in history.rounds)
    up = sum(entry.bytes_up for entry in history.rounds)
    model, picture = str(out / "model.bundle"), str(out / "curve.png")
    if args.json:
        result = {"accuracy": last.accuracy, "loss": last.loss, "n": history.held_out, "rounds": last.number}
        print(json.dumps(result | {"bytes_down": down, "bytes_up": up, "model": model, "picture": picture}))
        return
    print(f"accuracy {last.accuracy:.4f} over {history.held_out} held-out samples after {last.number} rounds")
    print(f"weights moved: {console.megabytes(down)} down, {console.megabytes(up)} up")
    print(f"{model}, {picture}")


def _settings(args: argparse.Namespace) -> Settings:
    return Settings(
        rounds=args.rounds,
        clients=args.clients,
        fraction=args.fraction,
        sample=args.sample,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        alpha=None if args.iid else args.alpha,
        seed=args.seed,
        threads=args.threads,
    )


def _check_installed() -> None:
    missing = [name for name in ("flwr", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendError(
            f"'littoral federate' needs {' and '.join(missing)}: pip install 'littoral[federated]'"
        )


FEDERATE = Command(
    "federate",
    "Train by federated averaging over clients with their own data.",
    "littoral federate m.bundle --data digits.npz --clients 5 --rounds 20 --alpha 0.5 --out run",
    _arguments,
    _run,
)
