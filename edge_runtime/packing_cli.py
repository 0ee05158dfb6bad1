"""Command: pack. A model as a bundle, with what its inputs and outputs mean."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_runtime import console, declared
from edge_runtime.bundle import Bundle, Manifest, pack
from edge_runtime.command import Command
from edge_runtime.engines import FILES
from edge_runtime.session import Session
from edge_runtime.target import Target


def _arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="an .onnx or .tflite file, or a bundle that is to declare something else")
    add("-o", "--output", required=True, help="the bundle; a folder without suffix")
    add("--target", help="the device: see 'littoral targets' (default: the bundle's, else rpi4)")
    add("--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128; or kind=audio,...")
    add("--postprocess", help="what the outputs mean: kind=classify,top=5, kind=detect,threshold=0.3 ...")
    add("--labels", help="a text file with the name of one class a line")
    add("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    from edge_runtime.processing import Pipeline  # here, because every command imports this file

    said: dict[str, Any] = {
        "preprocess": declared.parse_input(args.preprocess) if args.preprocess else None,
        "postprocess": declared.parse_postprocess(args.postprocess) if args.postprocess else None,
        "labels": declared.labels_in(args.labels) if args.labels else (),
    }
    target = Target.load(args.target) if args.target else None
    session = Session(args.model, threads=1, accelerators=False)
    Pipeline(session, **said)  # refuses what does not fit the model
    changes = {name: value for name, value in said.items() if value}
    if session.bundle is not None:
        made = _again(session.bundle, args.output, changes | ({"target": target.name} if target else {}))
    else:
        made = _new(session, Path(args.model), args.output, target or Target.load("rpi4"), changes)
    if args.json:
        print(json.dumps({"bundle": str(made.path), "bytes": made.size, "manifest": made.manifest.to_json()}))
        return
    print(f"{made.path}  {console.megabytes(made.size)}")


def _new(session: Session, model: Path, out: str, target: Target, changes: dict[str, Any]) -> Bundle:
    from edge_runtime.agent import vectors

    files = {FILES[session.engine]: model.read_bytes()}
    files |= vectors.files(session, needed=bool(target.accelerators))
    manifest = Manifest(Path(out).stem, target.name, session.inputs, session.outputs)
    return pack(out, replace(manifest, **changes), files)


def _again(bundle: Bundle, out: str, changes: dict[str, Any]) -> Bundle:
    return bundle.rewritten(out, replace(bundle.manifest, **changes))


PACK = Command(
    "pack",
    "Make a bundle of a model, or say in a bundle what its inputs and outputs mean.",
    "littoral pack yolo.onnx -o yolo.bundle --preprocess fit=letterbox,crop=640 --postprocess kind=detect",
    _arguments,
    _run,
)
