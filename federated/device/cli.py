"""The device's part of `littoral federate`: join."""

import argparse
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from edge_runtime import console, data
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.trainer import Trainer
from federated.link import keys, options
from federated.link.keys import Key

if TYPE_CHECKING:
    from federated.privacy.he import DeviceKey


def _arguments(parser: argparse.ArgumentParser) -> None:
    options.add_broker(parser, required=True)
    parser.add_argument("--bundle", required=True, help="the trainable bundle that the coordinator has too")
    parser.add_argument("--data", required=True, help="this device's data: an .npz with x and y, or pictures")
    parser.add_argument(
        "--key", required=True, help="this device's key, as 'littoral federate enrol' made it"
    )
    parser.add_argument("--device", help="this device's name, to be sure that the key is its own")
    parser.add_argument("--state", help="folder of what to keep across restarts (default: NAME.state)")
    parser.add_argument(
        "--conditions",
        help='JSON file that says how the device is: {"charging": true, "idle": true, "unmetered": true}; '
        "what it leaves out is asked of the system",
    )
    parser.add_argument(
        "--encryption-key", help="the devices' key, as 'littoral federate encryption' made it"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads within an operator (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout at the end")


def _run(args: argparse.Namespace) -> None:
    """Go on as a process that holds nothing else; what can be said of the arguments is said before."""
    options.address_of(args, _key(args))
    given = [(f"--{name.replace('_', '-')}", value) for name, value in vars(args).items() if name != "json"]
    words = [word for flag, value in given if value is not None for word in (flag, str(value))]
    os.execv(  # noqa: S606  (no shell is meant)
        sys.executable,
        [sys.executable, "-m", "federated.device", *words, *(["--json"] if args.json else [])],
    )


def _key(args: argparse.Namespace) -> Key:
    key = keys.load(args.key)
    if args.device not in (None, key.device):
        raise InputError(f"{args.key}: is the key of '{key.device}', not of '{args.device}'")
    return key


def _encryption(args: argparse.Namespace) -> "DeviceKey | None":
    if args.encryption_key is None:
        return None
    from federated.privacy import he  # TenSEAL is for those who encrypt

    return he.load_device(args.encryption_key)


def _conditions(path: str | None) -> Callable[[], Mapping[str, bool]]:
    """What gives how the device is; a file that says nothing is refused here, not later."""
    from edge_runtime.agent import conditions

    said = None if path is None else existing(path, 'a file such as {"charging": true}')
    if said is not None:
        conditions.read(said)
    watch = conditions.Conditions(said=said)
    return lambda: watch().known


def take_part(args: argparse.Namespace) -> None:
    """Be the device, until the process is told to end.

    Raises:
        InputError: the key, the bundle or the data cannot be taken.
        BundleError: the bundle is damaged or cannot be trained.
    """
    from federated.device.client import Device
    from federated.device.memory import prepare

    for each in (signal.SIGTERM, signal.SIGINT):  # until there is a device, there is nothing to take leave of
        signal.signal(each, lambda *_: sys.exit(0))
    prepare()
    key = _key(args)
    address = options.address_of(args, key)
    trainer = Trainer(args.bundle, threads=args.threads)
    manifest = trainer.bundle.manifest
    samples = data.fit(data.load(args.data, manifest.preprocess), manifest.inputs[0], args.data)
    if samples.y is None:
        raise InputError(f"{args.data}: has no labels y; federated training needs them")
    state = args.state or f"{key.device}.state"
    device = Device(
        trainer, samples, key, address, state,
        progress=not args.json, conditions=_conditions(args.conditions), encryption=_encryption(args),
    )  # fmt: skip
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, device.leave)
    if not args.json:
        console.say(f"{key.device}: {len(samples)} samples; waiting for work from {address}")
    gc.collect()  # what loading has left
    device.run()
    if args.json:
        print(json.dumps({"device": key.device, "worked": device.worked, "samples": len(samples)}))


JOIN = Command(
    "join",
    "Be a device: wait for work, train on the data here, send the update.",
    "littoral federate join --broker mqtts://host:8883 --ca ca.pem --bundle m.bundle --data mine.npz --key pi-1.key",
    _arguments,
    _run,
)
