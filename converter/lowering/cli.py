"""Command of this folder: lower."""

import argparse
import hashlib
import json

from converter.lowering.lower import FORMS, lower
from edge_runtime.command import Command
from edge_runtime.console import megabytes
from edge_runtime.data import load
from edge_runtime.declared import parse_preprocess
from edge_runtime.errors import InputError
from edge_runtime.files import atomic


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="an .onnx file")
    add("-o", "--output", required=True, help="the file to write")
    add("--form", default=FORMS[0], help=f"what to write: {', '.join(FORMS)} (default {FORMS[0]})")
    add("--length", action="append", default=[], help="a number for a length that varies: batch=4")
    add("--data", help="inputs that give a quantised model's outputs a range: .npz, or pictures in a folder")
    add("--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128")
    add("--native", action="store_true", help="channels last and integers at the ends, for NPU compilers")
    add("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    preprocess = parse_preprocess(args.preprocess) if args.preprocess else None
    samples = load(args.data, preprocess).x if args.data else None
    lengths = dict(map(_length, args.length))
    made = lower(args.model, args.form, lengths=lengths, samples=samples, native=args.native)
    with atomic(args.output) as partial:
        partial.write_bytes(made)
    if args.json:
        digest = hashlib.sha256(made).hexdigest()
        print(json.dumps({"path": args.output, "bytes": len(made), "sha256": digest}))
    else:
        print(f"{args.output}  {megabytes(len(made))}")


def _length(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name or not number.isdigit() or int(number) < 1:
        raise InputError(f"--length '{text}': expected a name and a number, such as batch=4")
    return name, int(number)


LOWER = Command(
    "lower",
    "Write a model in the form of another engine: TFLite, for LiteRT and NPU compilers.",
    "littoral lower model.onnx -o infer.tflite",
    _arguments,
    _run,
)
