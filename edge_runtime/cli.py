"""Commands of the device side: run, bench, targets."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import console, data, profile
from edge_runtime.accelerators.cli import ACCELERATE
from edge_runtime.command import Command
from edge_runtime.emulator.cli import DOCTOR, EMULATE
from edge_runtime.errors import InputError
from edge_runtime.files import atomic
from edge_runtime.sealing_cli import SEAL
from edge_runtime.serving.cli import SERVE
from edge_runtime.session import Session
from edge_runtime.target import Target, target_names
from edge_runtime.tensors import Array
from edge_runtime.training.cli import TRAIN
from edge_runtime.web.cli import EXPORT


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle, or an .onnx file")
    parser.add_argument(
        "--input", required=True, help="an .npz with x (and y), an .npy, or a folder of pictures"
    )
    parser.add_argument(
        "--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128 (default: the bundle's)"
    )
    parser.add_argument("--output", help="write the outputs to this .npz")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads within an operator (default: the engine's choice)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    session = Session(args.bundle, threads=args.threads)
    manifest = session.bundle.manifest if session.bundle else None
    preprocess = manifest.preprocess if manifest else None
    if args.preprocess:
        preprocess = data.parse_preprocess(args.preprocess)
    samples = data.fit(data.load(args.input, preprocess), session.inputs[0], args.input)
    columns = [
        session.run_batches(samples.x[i : i + 1]) for i in console.progress(range(len(samples)), "run")
    ]
    outputs = [np.concatenate(column) for column in zip(*columns, strict=True)]
    if args.output:
        _save(args.output, {spec.name: out for spec, out in zip(session.outputs, outputs, strict=True)})
    labels = manifest.labels if manifest else ()
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


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", nargs="+", help="bundles or .onnx files; several are timed in turn, round by round"
    )
    parser.add_argument("--rounds", type=int, default=30, help="timed calls of each (default 30)")
    parser.add_argument("--threads", type=int, default=1, help="threads within an operator (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _bench(args: argparse.Namespace) -> None:
    if args.rounds < 1:
        raise InputError(f"--rounds {args.rounds}: at least 1 is needed")
    sessions = [Session(path, threads=args.threads) for path in args.bundle]
    feeds = [profile.example(session.inputs) for session in sessions]
    calls = [lambda s=s, x=x: s.run(x) for s, x in zip(sessions, feeds, strict=True)]
    latencies = profile.interleaved(calls, args.rounds)
    for tag, (session, feed) in enumerate(zip(sessions, feeds, strict=True)):
        profile.mark_inferences(session, feed, tag)
    found = list(zip(args.bundle, sessions, latencies, strict=True))
    if args.json:
        for path, session, latency in found:
            print(json.dumps({"model": path, "bytes": _size(path, session), **latency.to_json()}))
        return
    rows = [
        (
            Path(path).name,
            console.megabytes(_size(path, session)),
            f"{t.median_ms:.3f}",
            f"{t.p90_ms:.3f}",
            t.n,
        )
        for path, session, t in found
    ]
    print(console.table(["model", "size", "median ms", "p90 ms", "n"], rows))


def _size(path: str, session: Session) -> int:
    return session.bundle.size if session.bundle else Path(path).stat().st_size


def _targets_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def _targets(args: argparse.Namespace) -> None:
    targets = [Target.load(name) for name in target_names()]
    if args.json:
        for target in targets:
            sys.stdout.write(json.dumps({name: getattr(target, name) for name in Target.__slots__}) + "\n")
        return
    print(console.table(["target", "what it is"], [(t.name, t.summary) for t in targets]))


RUN = Command("run", "Run a bundle on data.", "littoral run m.bundle --input x.npz", _run_arguments, _run)
BENCH = Command(
    "bench", "Measure latency here.", "littoral bench m.bundle other.onnx", _bench_arguments, _bench
)
TARGETS = Command("targets", "List the devices known.", "littoral targets", _targets_arguments, _targets)
COMMANDS = [RUN, BENCH, SERVE, EXPORT, SEAL, ACCELERATE, TRAIN, TARGETS, EMULATE, DOCTOR]
