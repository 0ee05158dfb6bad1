"""Emulated Arm devices against this machine: outputs of both engines in fp32 and int8, instructions, memory.

Each file runs in a process of its own on the emulated device, within the device's memory, through `littoral run`. fp32
outputs are compared relative to their largest value; int8 ones in quanta: by how much an output moves if the last
quantised activations move by one step.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from compress import quantize
from converter.convert import convert
from converter.lowering import lower
from converter.model import constants, output_axis, producers, save
from converter.optimize import optimize
from edge_runtime import Target, emulator
from edge_runtime.emulator.counter import CountError
from edge_runtime.engines import engine_for, open_engine
from edge_runtime.errors import LittoralError
from edge_runtime.tensors import Array
from examples import digits, digits_mobilenet, efficientnet_lite0, mobilenetv2

TARGETS = ("rpi-zero2", "rpi3", "rpi4", "rpi5", "jetson-orin-nano", "android-arm64")
REAL = {"efficientnet-lite0": (efficientnet_lite0, "rpi4"), "mobilenetv2": (mobilenetv2, "rpi5")}
FP32, QUANTA = 1e-5, 1.0
SAMPLES, PICTURES, TRIES = 4, 1, 4


def cases() -> Iterator[Case]:
    train, test = digits.load()
    small = optimize(digits_mobilenet.original())
    forms = {kind: _forms(small, train.x[:200], kind) for kind in ("uint8", "int8")}
    for name in TARGETS:
        target = Target.load(name)
        yield from compared("digits-mobilenet", forms[target.activation], test.x[:SAMPLES], target)
    for network, (example, name) in REAL.items():
        model, target = convert(f"{example.__name__}:model"), Target.load(name)
        made = _forms(model, example.calibration(40).x, target.activation)
        yield from compared(network, made, example.crops(PICTURES, 1).x, target)


def _forms(model: onnx.ModelProto, calibration: Array, activation: str) -> dict[str, onnx.ModelProto]:
    return {"fp32": model, "int8": quantize(model, calibration, activation=activation)}


def compared(network: str, forms: Mapping[str, onnx.ModelProto], x: Array, target: Target) -> Iterator[Case]:
    """Every form of a model on one target, each on both engines.

    Args:
        network: what to call it.
        forms: "fp32" and "int8".
        x: float32[n, ...], the samples that both machines run.
        target: the device.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.savez(folder / "x.npz", x=x)
        for form, each in forms.items():
            (folder / f"{form}.tflite").write_bytes(lower(each, "tflite"))
            quantum = step(each) if form == "int8" else np.ones(1)
            for path in (save(each, folder / f"{form}.onnx"), folder / f"{form}.tflite"):
                engine = "onnxruntime" if path.suffix == ".onnx" else "litert"
                told = f"{network} {form}, {engine}@{target.name}"
                unit, goal = ("relative", FP32) if form == "fp32" else ("quanta", QUANTA)
                try:
                    yield _case(told, path, x, target, quantum, unit, goal)
                except LittoralError as error:
                    yield Case(told, None, unit, goal, "lower", 0, str(error).splitlines()[0])


def _case(told: str, path: Path, x: Array, target: Target, quantum: Array, unit: str, goal: float) -> Case:
    here = _here(path, x).reshape(len(x), -1)
    out = path.with_suffix(".npz.out")
    command = [
        "run",
        str(path),
        "--input",
        str(path.with_name("x.npz")),
        "--output",
        str(out),
        "--threads",
        "1",
    ]
    done = _counted(target, command)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return Case(told, None, unit, goal, "lower", 0, reason[0])
    with np.load(out) as arrays:
        there = next(iter(arrays.values())).reshape(len(x), -1)
    gap = np.abs(there.astype(np.float64) - here)
    value = float(gap.max() / np.abs(here).max()) if unit == "relative" else float((gap / quantum).max())
    spent = done.counts[0].instructions / 1e6
    note = (
        f"{spent:.1f} M instructions; {done.peak_bytes / 1e6:.0f} MB of {target.ram_mib} MiB; "
        f"same class {int((there.argmax(1) == here.argmax(1)).sum())} of {len(x)}"
    )
    return Case(told, value, unit, goal, "lower", len(x), note)


def _here(path: Path, x: Array) -> Array:
    """The first output for every sample, from the operators that run on Arm.

    On x86, onnxruntime runs what lies between signed int8 layers in floats, unless it is told that int8 is allowed.
    """
    name = engine_for(path)
    config = {"config": {"session.qdqisint8allowed": "1"}} if name == "onnxruntime" else {}
    engine = open_engine(name, path, where=path.name, threads=1, **config)
    source, target = engine.inputs[0].name, engine.outputs[0].name
    return np.concatenate([engine.run({source: x[k : k + 1]})[target] for k in range(len(x))])


def _counted(target: Target, command: list[str]) -> emulator.Emulated:
    """Run and count; again where something else ran between two marks, which is rare."""
    for _ in range(TRIES - 1):
        try:
            return emulator.run(target, command, count=True, capture=True)
        except CountError:
            continue
    return emulator.run(target, command, count=True, capture=True)


def step(model: onnx.ModelProto) -> Array:
    """By how much each output value moves when the last quantised activations move by one step: float[values] or [1].

    Raises:
        ValueError: the output does not come from a DequantizeLinear, nor from a layer of one.
    """
    made, known = producers(model.graph), constants(model.graph)
    node = made[model.graph.output[0].name]
    if node.op_type == "DequantizeLinear":
        return np.asarray(known[node.input[1]], np.float64).reshape(-1)
    activation, weight = (made[name] for name in node.input[:2])
    if {activation.op_type, weight.op_type} != {"DequantizeLinear"} or node.op_type != "Gemm":
        raise ValueError(f"{node.op_type} '{node.name}' is not a quantised layer")
    largest = np.abs(known[weight.input[0]].astype(np.float64)).max(axis=1 - output_axis(node, 2))
    quanta: Array = known[weight.input[1]] * largest * float(known[activation.input[1]])
    return quanta.reshape(-1)


if __name__ == "__main__":
    main(cases)
