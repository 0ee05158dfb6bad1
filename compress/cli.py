"""Command of this floor: compress."""

import argparse
import json
from pathlib import Path

from compress.compress import compress
from compress.recipe import Recipe
from compress.report import report
from converter.convert import convert
from edge_runtime import console, data
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.target import Target


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="an .onnx or .pt2 file, or module:callable")
    parser.add_argument("--target", default="rpi4", help="the device: see 'littoral targets' (default rpi4)")
    parser.add_argument(
        "--data", required=True, help="an .npz with x (and y), an .npy, or a folder of pictures"
    )
    parser.add_argument("--test", help="other data to check the result on (default: --data)")
    parser.add_argument("--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128")
    parser.add_argument("--labels", help="a text file with the name of one class a line")
    parser.add_argument("--recipe", help="a TOML file with the steps (default: optimize, quantize)")
    parser.add_argument(
        "--min-agreement", type=float, default=0.8, help="refuse a result below it (default 0.8)"
    )
    parser.add_argument(
        "-o", "--output", help="the bundle (default: MODEL-TARGET.bundle); a folder without suffix"
    )
    parser.add_argument("--report", help="the HTML page (default: report.html beside the bundle)")
    parser.add_argument("--coded", action="store_true", help="store the weights entropy-coded: smaller")
    parser.add_argument(
        "--no-emulate", action="store_true", help="do not count instructions on the emulated target"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    target = Target.load(args.target)
    recipe = Recipe.load(args.recipe) if args.recipe else None
    preprocess = data.parse_preprocess(args.preprocess) if args.preprocess else None
    labels = (
        existing(args.labels, "a text file of class names").read_text("utf-8").split("\n")
        if args.labels
        else []
    )
    samples = data.load(args.data, preprocess)
    test = data.load(args.test, preprocess) if args.test else None
    out = Path(args.output or f"{_stem(args.model)}-{target.name}.bundle")
    if not 0 <= args.min_agreement <= 1:
        raise InputError(f"--min-agreement {args.min_agreement}: expected a share between 0 and 1")
    console.say(f"convert {args.model}")
    result = compress(
        convert(args.model),
        samples,
        out,
        target=target,
        recipe=recipe,
        test=test,
        preprocess=preprocess,
        labels=[label for label in labels if label],
        min_agreement=args.min_agreement,
        coded=args.coded,
        emulate=not args.no_emulate,
    )
    page = report.write(result, test or samples, args.report or out.parent / "report.html")
    if args.json:
        print(json.dumps(result.to_json() | {"report": str(page)}))
        return
    print(console.table(report.HEADER, report.rows(result)))
    print(f"\nbundle {out}\nreport {page}")


def _stem(model: str) -> str:
    return model.rpartition(":")[2] if ":" in model and not Path(model).exists() else Path(model).stem


COMPRESS = Command(
    "compress",
    "Compress a model for a device, check it, and pack a bundle.",
    "littoral compress model.onnx --target rpi4 --data data.npz",
    _arguments,
    _run,
)
