"""Commands of the device side: run, targets."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import console, data, declared, profile
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.files import atomic
from edge_runtime.session import Session
from edge_runtime.target import Target, target_names
from edge_runtime.tensors import Array


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", nargs="?", help="a bundle, or an .onnx or .tflite file")
    parser.add_argument(
        "inputs", nargs="*", help="pictures, .wav, .npy or .npz files, or folders of them: answered in words"
    )
    parser.add_argument(
        "--input",
        help="an .npz with x (and y), an .npy, or a folder of pictures: the best class of each sample",
    )
    parser.add_argument(
        "--preprocess",
        help="for pictures: resize=256,crop=224,mean=127,std=128, or fit=letterbox,crop=320; for sounds: "
        "kind=audio,rate=16000,window=512 (default: the bundle's)",
    )
    parser.add_argument(
        "--postprocess",
        help="kind=classify,top=5, kind=multilabel, kind=detect,threshold=0.3,iou=0.5, kind=segment or kind=events "
        "(default: the bundle's, else classify)",
    )
    parser.add_argument(
        "--labels", help="a text file with the name of one class a line (default: the bundle's)"
    )
    parser.add_argument(
        "--draw", metavar="PNG", help="the picture with its answer; of several, a folder of them"
    )
    parser.add_argument("--output", help="write the outputs to this .npz")
    parser.add_argument(
        "--store", help="an agent's folder: the model that answers there, in place of a bundle"
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="threads within an operator (default: the engine's choice)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    if args.store:  # then no bundle comes first
        args.inputs = [args.bundle, *args.inputs] if args.bundle else []
    elif not args.bundle:
        raise InputError("expected a bundle, or --store FOLDER")
    if bool(args.inputs) == bool(args.input):
        raise InputError("expected what to run on: pictures, sounds or arrays after the bundle, or --input")
    console.listen()
    session = _session(args)
    named = declared.labels_in(args.labels) if args.labels else ()
    if args.inputs:
        _answer(args, session, named)
        return
    manifest = session.bundle.manifest if session.bundle else None
    preprocess = manifest.preprocess if manifest else None
    if args.preprocess:
        preprocess = declared.parse_preprocess(args.preprocess)
    samples = data.fit(data.load(args.input, preprocess), session.inputs[0], args.input)
    columns = [
        session.run_batches(samples.x[i : i + 1]) for i in console.progress(range(len(samples)), "run")
    ]
    outputs = [np.concatenate(column) for column in zip(*columns, strict=True)]
    if args.output:
        _save(args.output, {spec.name: out for spec, out in zip(session.outputs, outputs, strict=True)})
    labels = named or (manifest.labels if manifest else ())
    result = _summary(outputs[0], samples, labels)
    profile.mark_inferences(session, {session.inputs[0].name: samples.x[:1]})
    if args.json:
        print(json.dumps(result))
        return
    rows = [
        (i, p, f"{v:.4g}", *(() if samples.y is None else (samples.y[i],)))
        for i, (p, v) in enumerate(result["top"])
    ]
    print(console.table(["sample", "class", "score", *(() if samples.y is None else ("label",))], rows))
    if "accuracy" in result:
        print(f"\naccuracy {result['accuracy']:.4f} over {len(samples)} samples")


def _session(args: argparse.Namespace) -> Session:
    if not args.store:
        return Session(args.bundle, threads=args.threads)
    from edge_runtime.agent.opening import opened
    from edge_runtime.agent.slots import Slots

    store = Path(args.store)
    return opened(store, Slots(store).current(), threads=args.threads)


def _answer(args: argparse.Namespace, session: Session, labels: tuple[str, ...]) -> None:
    """Answer pictures, sounds and arrays in words."""
    # Here, because most commands need none of it, and every command imports this file.
    from edge_runtime.processing import command

    results = command.answer(
        session,
        args.inputs,
        preprocess=declared.parse_input(args.preprocess) if args.preprocess else None,
        postprocess=declared.parse_postprocess(args.postprocess) if args.postprocess else None,
        labels=labels,
        draw=args.draw,
        save=(lambda arrays: _save(args.output, arrays)) if args.output else None,
    )
    profile.mark_inferences(session)
    if args.json:
        print(json.dumps({"results": [result.to_json() for result in results]}))
    else:
        print(command.text(results))


def _summary(scores: Array, samples: data.Samples, labels: tuple[str, ...]) -> dict[str, Any]:
    flat = scores.reshape(len(scores), -1)
    best = flat.argmax(axis=1)
    result: dict[str, Any] = {
        "n": len(samples),
        "top": [(labels[k] if k < len(labels) else int(k), float(flat[i, k])) for i, k in enumerate(best)],
    }
    if samples.y is not None:
        result["accuracy"] = float((best == samples.y).mean())
    return result


def _save(path: str, arrays: dict[str, Array]) -> None:
    with atomic(Path(path)) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _targets_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _targets(args: argparse.Namespace) -> None:
    targets = [Target.load(name) for name in target_names()]
    if args.json:
        for target in targets:
            sys.stdout.write(json.dumps({name: getattr(target, name) for name in Target.__slots__}) + "\n")
        return
    print(console.table(["target", "what it is"], [(t.name, t.summary) for t in targets]))


RUN = Command(
    "run",
    "Run a bundle on pictures, sounds or arrays, and answer in words.",
    "littoral run m.bundle photo.jpg --draw found.png",
    _run_arguments,
    _run,
)
TARGETS = Command("targets", "List the devices known.", "littoral targets", _targets_arguments, _targets)
