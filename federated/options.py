"""What the parts of `littoral federate` share: the settings of training, and the report."""

import argparse
import importlib.util
import json
from pathlib import Path

from edge_runtime import console
from edge_runtime.errors import BackendError
from federated.history import History
from federated.robust import rule
from federated.settings import Settings


def add(parser: argparse.ArgumentParser, *, out: bool = True) -> None:
    """Add what every way to run takes: the folder (unless told not to), the settings of training, and --json."""
    default = Settings()
    if out:
        parser.add_argument(
            "--out", required=True, help="folder for the model, its history and report, and the checkpoint"
        )
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
    parser.add_argument("--seed", type=int, default=default.seed, help="of every random choice (default 0)")
    parser.add_argument(
        "--threads", type=int, default=default.threads, help="threads within an operator (default 1)"
    )
    parser.add_argument(
        "--codec",
        default=default.codec,
        help="codec of updates: default, aggressive, or such as qsgd:bucket=2048 (without: weights as they are)",
    )
    parser.add_argument(
        "--downlink", default=default.downlink, help="codec of the model's changes on their way to clients"
    )
    _add_ways(parser)
    _add_protection(parser)
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on from OUT/checkpoint.npz if it is there (the default)"
    )
    again.add_argument(
        "--restart", action="store_true", help="begin at round 1 even if there is a checkpoint"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_ways(parser: argparse.ArgumentParser) -> None:
    """Who is asked and waited for, and how it learns."""
    default = Settings()
    parser.add_argument(
        "--strategy",
        default=default.strategy,
        help="one of Flower's, such as fedadam:eta=0.01 (default: averaging)",
    )
    parser.add_argument(
        "--over",
        type=float,
        default=default.over,
        help="ask so many times as many clients as needed (default 1)",
    )
    parser.add_argument(
        "--late", type=int, default=default.late, help="rounds for which a late answer counts (default 0)"
    )
    parser.add_argument(
        "--asynchronous",
        nargs="?",
        type=int,
        const=10,
        default=default.asynchronous,
        help="no rounds: the model moves whenever so many changes have come (without a number: 10); a stale one counts "
        "less, and one more than --late (default 20) versions old is not taken",
    )
    parser.add_argument(
        "--select",
        nargs="?",
        const="ready",
        default=default.select,
        help="ask devices that charge, are idle and unmetered (ready), or among them those from whom most is learned "
        "(useful:needs=charging+idle,seconds=30)",
    )
    parser.add_argument(
        "--method",
        default=default.method,
        help="how devices learn: fedprox:mu=0.1, scaffold, reptile, per-fedavg, fedper, fedbn (default: fedavg)",
    )
    parser.add_argument(
        "--personalise",
        nargs="?",
        const="fine-tune",
        default=default.personalise,
        help="after the last round each device trains on alone, and keeps that where its own data call it better "
        "(fine-tune:epochs=20,lr=0.005)",
    )


def _add_protection(parser: argparse.ArgumentParser) -> None:
    default = Settings()
    parser.add_argument(
        "--defence",
        nargs="?",
        const=rule.DEFAULT,
        default=default.defence,
        help=f"against hostile devices: {', '.join(rule.RULES)} (without a name: {rule.DEFAULT})",
    )
    parser.add_argument(
        "--privacy",
        default=default.privacy,
        help="a budget, such as central:epsilon=8,delta=1e-5,clip=1, or local:...",
    )
    parser.add_argument(
        "--secure",
        nargs="?",
        type=int,
        const=20,
        default=default.secure,
        help="secure aggregation in groups of so many devices (without a number: 20)",
    )
    parser.add_argument(
        "--encrypt",
        nargs="?",
        const=True,
        metavar="KEY",
        help="homomorphic encryption of small models' updates; over devices with the server's key, as "
        "'littoral federate encryption' makes it",
    )


def settings_of(args: argparse.Namespace, clients: int, alpha: float | None) -> Settings:
    """The settings that the arguments ask for."""
    return Settings(
        rounds=args.rounds,
        clients=clients,
        fraction=args.fraction,
        sample=args.sample,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        alpha=alpha,
        seed=args.seed,
        threads=args.threads,
        codec=args.codec,
        downlink=args.downlink,
        strategy=args.strategy,
        over=args.over,
        late=args.late,
        method=args.method,
        defence=args.defence,
        privacy=args.privacy,
        secure=args.secure,
        select=args.select,
        personalise=args.personalise,
        encrypt=bool(args.encrypt),
        asynchronous=args.asynchronous,
    )


def report(history: History, args: argparse.Namespace) -> None:
    """Say on stdout what came of a run, as text or with --json as one object."""
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


def check_installed(*more: str) -> None:
    """Do nothing if the coordinator's packages are there, and `more`.

    Raises:
        BackendError: one is not.
    """
    wanted = {"flwr": "flwr", "matplotlib": "matplotlib", "paho": "paho-mqtt"}
    missing = [
        wanted[name] for name in ("flwr", "matplotlib", *more) if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise BackendError(
            f"'littoral federate' needs {' and '.join(missing)}: pip install 'littoral[federated]'"
        )
