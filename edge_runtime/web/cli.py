"""Commands: export, and what `emulate phone-browser` runs."""

import argparse
import json
from pathlib import Path

import numpy as np

from edge_runtime import console, data, tensors
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.session import Session


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "form", choices=["web"], help="web: a folder of static files that a phone's browser opens"
    )
    parser.add_argument("bundle", help="a bundle, file or folder")
    parser.add_argument("-o", "--output", help="the folder (default: BUNDLE-web)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _export(args: argparse.Namespace) -> None:
    from edge_runtime.web.export import export_web

    bundle = Bundle.open(args.bundle)
    out = export_web(bundle, args.output or f"{Path(args.bundle).stem}-web")
    size = sum(path.stat().st_size for path in out.iterdir())
    if args.json:
        print(json.dumps({"folder": str(out), "bytes": size}))
        return
    print(f"{out}: {console.megabytes(size)}; put it on any web server, over https, or try it here:")
    print(f"  python -m http.server --directory {out}")


EXPORT = Command(
    "export",
    "Write a bundle in another form: a folder that a phone's browser runs, also offline.",
    "littoral export web model.bundle -o site",
    _export_arguments,
    _export,
)


PHONE = "phone-browser"
"""The name under which `littoral emulate` knows the phone."""


def phone_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows ``littoral emulate phone-browser --``."""
    parser.add_argument("bundle", help="a bundle, file or folder")
    parser.add_argument("--input", help="an .npy or .npz with x (default: random numbers)")
    parser.add_argument("--output", help="an .npz for the outputs")
    parser.add_argument("--rounds", type=int, default=5, help="runs (default 5)")
    parser.add_argument(
        "--slower", type=float, default=4.0, help="times slower than this machine (default 4)"
    )
    parser.add_argument("--screenshot", help="a .png of the page")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def phone(args: argparse.Namespace) -> None:
    """Run a bundle in the emulated phone and here, and compare."""
    from edge_runtime.web.phone import run_on_phone
    from edge_runtime.web.unsigned import unsigned

    if args.rounds < 1 or args.slower < 1:
        raise InputError("--rounds and --slower are at least 1")
    bundle = Bundle.open(args.bundle)
    session = Session(unsigned(bundle.read("infer.onnx")), threads=1)  # the graph that the page runs
    feeds = tensors.example(session.inputs)
    if args.input:
        feeds = {session.inputs[0].name: data.fit(data.load(args.input), session.inputs[0], args.input).x}
    console.say("run in an emulated phone's browser, without a network")
    screenshot = Path(args.screenshot) if args.screenshot else None
    found = run_on_phone(bundle, feeds, rounds=args.rounds, slower=args.slower, screenshot=screenshot)
    here = session.run(feeds)
    differ = max(float(np.abs(here[name] - out).max(initial=0)) for name, out in found.outputs.items())
    if args.output:
        np.savez(args.output, **found.outputs)  # type: ignore[arg-type]
    figures = {
        "load_ms": found.load_ms,
        "median_ms": float(np.median(found.times_ms)),
        "first_ms": found.times_ms[0],
        "threads": found.threads,
        "largest_difference": differ,
        "slower": args.slower,
    }
    if args.json:
        print(json.dumps(figures))
        return
    rows = [(name.replace("_", " "), f"{value:.6g}") for name, value in figures.items()]
    print(console.table(["phone's browser, emulated", ""], rows))
