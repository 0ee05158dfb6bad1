"""Command of this floor: convert."""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import onnx

from converter.convert import convert
from converter.model import save
from converter.optimize import OPSET
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.console import megabytes, say
from edge_runtime.declared import labels_in, parse_input, parse_postprocess
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.training.program import Roles


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="module:callable, an exported program (.pt2), or an .onnx file")
    parser.add_argument("-o", "--output", required=True, help="the ONNX file, or with --train the bundle")
    parser.add_argument(
        "--input", action="append", help="an example input: float32[1,3,224,224]; once for each argument"
    )
    parser.add_argument("--input-names", default="", help="names of the inputs, with commas between")
    parser.add_argument("--output-names", default="", help="names of the outputs, with commas between")
    parser.add_argument("--opset", type=int, default=OPSET, help=f"ONNX opset (default {OPSET})")
    parser.add_argument("--fixed-batch", action="store_true", help="keep the example's batch length")
    parser.add_argument("--train", action="store_true", help="make a bundle that can learn on a device")
    _training_arguments(parser)
    parser.add_argument("--target", default="rpi4", help="with --train: the device (default rpi4)")
    parser.add_argument(
        "--preprocess", help="with --train, for pictures: resize=256,crop=224,mean=127,std=128"
    )
    parser.add_argument("--labels", help="with --train: a text file with the name of one class a line")
    parser.add_argument("--postprocess", help="with --train, what the outputs mean: kind=classify,top=3")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _training_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--loss", default="cross_entropy", help="with --train: the loss (default cross_entropy)")
    add(
        "--optimizer",
        default="sgd",
        help="with --train: sgd, nesterov, adagrad, rmsprop, adam, adamw or lamb",
    )
    add("--momentum", type=float, default=0.0, help="with --train: momentum of sgd, nesterov and rmsprop")
    add("--weight-decay", type=float, default=0.0, help="with --train: L2, added to the gradients")
    add("--clip-norm", type=float, default=0.0, help="with --train: limit of the gradients' global norm")
    add("--batch", type=int, default=32, help="with --train: samples a step, for --max-memory (default 32)")
    add(
        "--max-memory",
        help="with --train: memory that training may take, such as 150MB, the runtime included",
    )


def _run(args: argparse.Namespace) -> None:
    model = convert(
        args.source,
        example=[_example(text) for text in args.input] if args.input else None,
        input_names=[name for name in args.input_names.split(",") if name],
        output_names=[name for name in args.output_names.split(",") if name],
        opset=args.opset,
        dynamic_batch=not args.fixed_batch,
        trainable=args.train,
    )
    difference = next(p.value for p in model.metadata_props if p.key == "littoral.max_abs_difference")
    if args.train:
        from converter.trainable import pack_trainable

        bundle = pack_trainable(
            model,
            args.output,
            name=Path(args.output).stem,
            target=args.target,
            loss=args.loss,
            optimizer=args.optimizer,
            momentum=args.momentum,
            weight_decay=args.weight_decay,
            clip_norm=args.clip_norm,
            max_memory=_memory(args.max_memory) if args.max_memory else 0,
            batch_size=args.batch,
            preprocess=parse_input(args.preprocess) if args.preprocess else None,
            labels=labels_in(args.labels) if args.labels else (),
            postprocess=parse_postprocess(args.postprocess) if args.postprocess else None,
        )
        size = bundle.size
        if args.max_memory:
            _say_plan(bundle, args.batch)
    else:
        size = save(model, args.output).stat().st_size
    if args.json:
        print(json.dumps({"output": args.output, "bytes": size, "max_abs_difference": float(difference)}))
        return
    say(f"largest difference from the source: {difference}")
    print(f"{args.output}  {megabytes(size)}")


def _say_plan(bundle: Bundle, batch: int) -> None:
    """How a step was made to fit."""
    name = "train.onnx" if "train.onnx" in bundle else "gradient.onnx"
    metadata = onnx.load_from_string(bundle.read(name)).metadata_props
    roles = Roles.read({entry.key: entry.value for entry in metadata}, name)
    parts = f"in micro-batches of {roles.micro_batch}" if roles.micro_batch else "whole"
    say(f"training {batch} samples a step, {parts}, is planned to take {megabytes(roles.planned_bytes)}")


def _memory(text: str) -> int:
    from converter.memory import parse_size

    try:
        return parse_size(text)
    except InputError as error:
        raise InputError(f"--max-memory {error}") from error


def _example(text: str) -> Array:
    """Zeros for ``float32[1,3,224,224]``."""
    match = re.fullmatch(r"(?:(\w+):\s*)?(\w+)\[([\d,\s]*)\]", text)
    try:
        if match is None:
            raise TypeError
        shape = [int(length) for length in match[3].split(",") if length.strip()]
        return np.zeros(shape, np.dtype(match[2]))
    except TypeError as error:
        raise InputError(
            f"--input '{text}': expected a type and a shape, such as float32[1,3,224,224]"
        ) from error


CONVERT = Command(
    "convert",
    "Convert a model to verified ONNX, or with --train to a bundle that can learn.",
    "littoral convert examples.efficientnet_lite0:model -o efficientnet-lite0.onnx",
    _arguments,
    _run,
)
