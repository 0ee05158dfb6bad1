"""Command: seal."""

import argparse
import json
from pathlib import Path

from edge_runtime import sealing
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.console import say


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle, file or folder")
    parser.add_argument("-o", "--output", required=True, help="the encrypted bundle")
    parser.add_argument(
        "--key", required=True, help="a file with 64 hexadecimal digits; it is made if there is none"
    )
    parser.add_argument(
        "--device", help="take the key of this device: derived from --key, written to DEVICE.key"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    bundle = Bundle.open(args.bundle)
    key = (sealing.read_key(args.key) if Path(args.key).exists() else None) or sealing.write_key(args.key)
    needed = args.key
    if args.device:
        key = sealing.device_key(key, args.device)
        needed = str(Path(args.output).parent / f"{args.device}.key")
        if not Path(needed).exists():
            sealing.write_key(needed, key)
    sealed = bundle.sealed(args.output, key)
    if args.json:
        print(json.dumps({"bundle": str(sealed.path), "bytes": sealed.size, "key": needed}))
        return
    say(f"{sealed.path}: encrypted; a device opens it with {sealing.KEY_VARIABLE}={needed}")


SEAL = Command(
    "seal",
    "Encrypt a bundle for a device; it is decrypted in memory only.",
    "littoral seal model.bundle -o sealed.bundle --key fleet.key --device kitchen",
    _arguments,
    _run,
)
