"""Command of this floor: adapt."""

import argparse
import json
from pathlib import Path

import onnx

from converter.convert import convert
from converter.trainable import pack_trainable
from converter.transfer.head import replace_head
from converter.transfer.layers import last_layers, parameter_count
from converter.transfer.pack import pack_split
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.console import megabytes, say
from edge_runtime.declared import parse_postprocess, parse_preprocess
from edge_runtime.errors import InputError
from edge_runtime.training.stages import stages


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="module:callable, an exported program (.pt2), or an .onnx file")
    parser.add_argument("-o", "--output", required=True, help="the bundle")
    parser.add_argument("--classes", type=int, help="give it a new output layer for so many classes")
    parser.add_argument("--last", type=int, default=1, help="how many of the last layers train (default 1)")
    parser.add_argument(
        "--split",
        default="auto",
        help="where the frozen part ends: a value's name, auto, or none to run all in each step (default auto)",
    )
    parser.add_argument(
        "--whole", action="store_true", help="let it train the whole network too, as stage 'all'"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the new output layer (default 0)")
    parser.add_argument("--loss", default="cross_entropy", help="the loss (default cross_entropy)")
    parser.add_argument("--optimizer", default="sgd", help="the optimiser (default sgd)")
    parser.add_argument("--momentum", type=float, default=0.0, help="momentum of sgd (default 0)")
    parser.add_argument("--target", default="rpi4", help="the device (default rpi4)")
    parser.add_argument("--labels", default="", help="the classes' names, with commas between")
    parser.add_argument("--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128")
    parser.add_argument("--postprocess", help="what the outputs mean: kind=classify,top=3")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    model = convert(args.model, trainable=True)
    if args.classes is not None:
        model = replace_head(model, args.classes, args.seed)
    labels = tuple(name.strip() for name in args.labels.split(",") if name.strip())
    if labels and args.classes is not None and len(labels) != args.classes:
        raise InputError(f"--labels names {len(labels)} classes, --classes says {args.classes}")
    chosen = last_layers(model, args.last)
    bundle = _pack(args, model, chosen, labels)
    result = {
        "output": args.output,
        "bytes": bundle.size,
        "stages": list(stages(bundle)),
        "cut": next((step["at"] for step in bundle.manifest.recipe if step["name"] == "split"), None),
        "trainable": chosen,
        "parameters": parameter_count(model, chosen),
    }
    if args.json:
        print(json.dumps(result))
        return
    say(
        f"stages: {', '.join(result['stages'])}; cut at {result['cut']}; {result['parameters']} weights in the head"
    )
    print(f"{args.output}  {megabytes(bundle.size)}")


def _pack(
    args: argparse.Namespace, model: onnx.ModelProto, chosen: list[str], labels: tuple[str, ...]
) -> Bundle:
    preprocess = parse_preprocess(args.preprocess) if args.preprocess else None
    postprocess = parse_postprocess(args.postprocess) if args.postprocess else None
    name = Path(args.output).stem
    if args.split == "none":
        return pack_trainable(
            model,
            args.output,
            name=name,
            target=args.target,
            loss=args.loss,
            optimizer=args.optimizer,
            momentum=args.momentum,
            trainable=None if args.whole else chosen,
            preprocess=preprocess,
            labels=labels,
            postprocess=postprocess,
        )
    return pack_split(
        model,
        args.output,
        name=name,
        at=None if args.split == "auto" else args.split,
        trainable=chosen,
        whole=args.whole,
        target=args.target,
        loss=args.loss,
        optimizer=args.optimizer,
        momentum=args.momentum,
        preprocess=preprocess,
        labels=labels,
        postprocess=postprocess,
    )


ADAPT = Command(
    "adapt",
    "Prepare a model for transfer learning on a device.",
    "littoral adapt examples.efficientnet_lite0:model --classes 10 -o m.bundle",
    _arguments,
    _run,
)
