"""The command littoral fleet federate."""

import argparse
from pathlib import Path

from edge_runtime.command import Command
from federated import options


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="the trainable bundle that the devices run")
    parser.add_argument("--test", required=True, help="held-out data: an .npz with x and y, or pictures")
    parser.add_argument(
        "--name", required=True, help="of the run; the same name goes on with a run that was cut off"
    )
    parser.add_argument("--selector", default="", help='which devices, such as "target=rpi4" (default: all)')
    parser.add_argument("--port", type=int, default=8900, help="of the run's own broker (default 8900)")
    parser.add_argument(
        "--deadline", type=float, default=3600, help="seconds that a round waits (default 3600)"
    )
    parser.add_argument(
        "--home", default="littoral-cloud", help="the cloud's folder (default littoral-cloud)"
    )
    options.add(parser, out=False)


def _run(args: argparse.Namespace) -> None:
    options.check_installed("paho")
    from cloud.federation import Run, federate
    from cloud.home import Home
    from edge_runtime import data
    from edge_runtime.bundle import Bundle

    bundle = Bundle.open(args.bundle)
    test = data.load(args.test, bundle.manifest.preprocess)
    learning = options.settings_of(args, 1, None)
    run = Run(args.name, args.selector, args.port, learning, args.deadline)
    home = Home(Path(args.home))
    history = federate(home, run, bundle, test)
    args.out = str(home.root / "federated" / args.name / "run")
    options.report(history, args)


FEDERATE = Command(
    "federate",
    "Have devices train their model together, on data that stays with them.",
    'littoral fleet federate kws-3.bundle --test test.npz --name kws-together --selector "target=rpi4" --rounds 20',
    _arguments,
    _run,
)
