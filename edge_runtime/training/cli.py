"""Command of the device side: train."""

import argparse
import json
import time

from edge_runtime import console, data
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.data import Samples
from edge_runtime.declared import parse_preprocess
from edge_runtime.errors import InputError
from edge_runtime.tensors import TensorSpec
from edge_runtime.training.heap import keep_little
from edge_runtime.training.staged import (
    Epoch,
    Turn,
    forget_checkpoints,
    hold_out,
    parse_plan,
    together,
    train,
)
from edge_runtime.training.stages import find, stages
from edge_runtime.training.stored import open_stored, write


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle with a training step; littoral adapt makes one")
    parser.add_argument(
        "--data",
        required=True,
        help="an .npz with x and y, or a folder of class folders; what else a loss takes (teacher) goes into the .npz",
    )
    parser.add_argument("--test", help="data to measure the accuracy on")
    parser.add_argument(
        "--holdout", type=float, default=0.2, help="without --test: the share of the data kept for it (0.2)"
    )
    parser.add_argument("--memory", help="a small .npz of earlier samples, learnt together with the data")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of the first stage (default 5)")
    parser.add_argument("--stages", help="stages, epochs and learning rates: head:3,all:2@0.005")
    parser.add_argument("--lr", type=float, default=0.05, help="learning rate (default 0.05)")
    parser.add_argument("--batch-size", type=int, default=32, help="samples a step (default 32)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffling (default 0)")
    parser.add_argument("--cache", help="keep the backbone's features in this .npy file, for the next start")
    parser.add_argument(
        "--checkpoint", help="keep how far it has come beside this file, and go on from there"
    )
    parser.add_argument("--out", help="write the bundle with what was learnt")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads within an operator (default: the engine's)"
    )
    parser.add_argument(
        "--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128 (default: the bundle's)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object an epoch and one at the end")


def _run(args: argparse.Namespace) -> None:
    keep_little()
    bundle = open_stored(args.bundle)
    plan = _plan(args, bundle)
    samples, test = _data(args, bundle)
    began = time.monotonic()
    learnt, history = train(
        bundle,
        samples,
        plan,
        test=test,
        lr=args.lr,
        batch_size=args.batch_size,
        seed=args.seed,
        cache=args.cache,
        checkpoint=args.checkpoint,
        threads=args.threads,
        progress=not args.json,
        report=_print_json if args.json else _say,
    )
    seconds = time.monotonic() - began
    if args.out:
        learnt = write(learnt, args.out)
    if args.checkpoint:
        forget_checkpoints(args.checkpoint, plan)
    result = {
        "samples": len(samples),
        "n": len(test),
        "before": history[0].accuracy,
        "after": history[-1].accuracy,
    }
    if args.json:
        print(json.dumps({**result, "seconds": round(seconds, 3), "output": args.out}))
        return
    rows = [(e.stage, e.epoch, f"{e.loss:.4f}", _share(e.accuracy), f"{e.seconds:.2f}") for e in history]
    print(console.table(["stage", "epoch", "loss", "accuracy", "seconds"], rows))
    change = f"accuracy {_share(history[0].accuracy)} before, {_share(history[-1].accuracy)} after"
    print(f"\n{change}; {len(test)} samples, {seconds:.1f} s in all")
    if args.out:
        print(f"{args.out}  {console.megabytes(learnt.size)}")


def _plan(args: argparse.Namespace, bundle: Bundle) -> list[Turn]:
    for name in ("epochs", "batch_size", "threads"):
        if getattr(args, name) < (0 if name == "threads" else 1):
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}: give 1 or more")
    if not args.lr > 0.0:
        raise InputError(f"--lr {args.lr}: give more than 0")
    plan = parse_plan(args.stages) if args.stages else [Turn(next(iter(stages(bundle))), args.epochs)]
    for turn in plan:
        find(bundle, turn.stage)
    if not sum(turn.epochs for turn in plan):
        raise InputError(f"--stages '{args.stages}': no epoch at all; give at least one")
    return plan


def _data(args: argparse.Namespace, bundle: Bundle) -> tuple[Samples, Samples]:
    """What to train on and what to test on."""
    preprocess = parse_preprocess(args.preprocess) if args.preprocess else bundle.manifest.preprocess
    spec: TensorSpec = bundle.manifest.inputs[0]
    samples = data.fit(data.load(args.data, preprocess), spec, args.data)
    if args.test:
        test = data.fit(data.load(args.test, preprocess), spec, args.test)
        if test.y is None:
            raise InputError(f"{args.test}: has no labels y to test against")
    else:
        samples, test = hold_out(samples, args.holdout, args.seed)
    if args.memory:
        samples = together(samples, data.fit(data.load(args.memory, preprocess), spec, args.memory))
    return samples, test


def _print_json(epoch: Epoch) -> None:
    print(json.dumps(epoch.to_json()), flush=True)


def _say(epoch: Epoch) -> None:
    console.say(f"{epoch.stage} {epoch.epoch}: loss {epoch.loss:.4f}, accuracy {_share(epoch.accuracy)}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


TRAIN = Command(
    "train",
    "Train a bundle on a device's own data.",
    "littoral train m.bundle --data mine.npz --stages head:3,all:2 --out better.bundle",
    _arguments,
    _run,
)
