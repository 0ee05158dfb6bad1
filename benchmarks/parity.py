"""Emulated devices against this machine: outputs of both engines in fp32 and int8, instructions, memory; a phone.

Each file runs in a process of its own on the emulated device, within the device's memory, through `littoral run`. fp32
outputs are compared relative to their largest value; int8 ones in quanta: by how much an output moves if the last
quantised activations move by one step. The phone is a browser's (onnxruntime-web, WebAssembly).

What was measured is kept in the cache by the file, the samples, the target and the engines' versions: a run which
was interrupted goes on where it stopped.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
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
from edge_runtime import Manifest, Target, emulator
from edge_runtime.bundle import Bundle, pack
from edge_runtime.emulator.counter import CountError
from edge_runtime.engines import engine_for, open_engine
from edge_runtime.errors import LittoralError
from edge_runtime.files import cache_dir, write_text
from edge_runtime.tensors import Array
from edge_runtime.tuning.store import versions
from edge_runtime.web.phone import run_on_phone
from examples import digits, digits_mobilenet, efficientnet_lite0, mobilenetv2

TARGETS = ("rpi-zero2", "rpi3", "rpi4", "rpi5", "jetson-orin-nano", "android-arm64")
REAL = {
    "efficientnet-lite0": (efficientnet_lite0, ("rpi4", "jetson-orin-nano")),
    "mobilenetv2": (mobilenetv2, ("rpi5", "android-arm64")),
}
PHONE = "phone-browser"
FP32, QUANTA, WEB = 1e-5, 1.0, 1e-4
SAMPLES, PICTURES, TRIES = 4, 1, 4


def cases() -> Iterator[Case]:
    train, test = digits.load()
    small = optimize(digits_mobilenet.original())
    forms = {kind: _forms(small, train.x[:200], kind) for kind in ("uint8", "int8")}
    for name in TARGETS:
        target = Target.load(name)
        yield from compared("digits-mobilenet", forms[target.activation], test.x[:SAMPLES], target, keep=True)
    yield from on_phone("digits-mobilenet", forms["uint8"], test.x[:1])
    for network, (example, names) in REAL.items():
        model, pictures = convert(f"{example.__name__}:model"), example.crops(PICTURES, 1).x
        targets = [Target.load(name) for name in names]
        calibration = example.calibration(40).x
        made = {kind: _forms(model, calibration, kind) for kind in {each.activation for each in targets}}
        for target in targets:
            yield from compared(network, made[target.activation], pictures, target, keep=True)
        yield from on_phone(network, next(iter(made.values())), pictures[:1])


def _forms(model: onnx.ModelProto, calibration: Array, activation: str) -> dict[str, onnx.ModelProto]:
    return {"fp32": model, "int8": quantize(model, calibration, activation=activation)}


def compared(
    network: str, forms: Mapping[str, onnx.ModelProto], x: Array, target: Target, *, keep: bool = False
) -> Iterator[Case]:
    """Every form of a model on one target, each on both engines.

    Args:
        network: what to call it.
        forms: "fp32" and "int8".
        x: float32[n, ...], the samples that both machines run.
        target: the device.
        keep: take what an earlier run measured from the cache, and leave there what this one does.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.savez(folder / "x.npz", x=x)
        for form, each in forms.items():
            (folder / f"{form}.tflite").write_bytes(lower(each, "tflite"))
            quantum = step(each) if form == "int8" else None
            for path in (save(each, folder / f"{form}.onnx"), folder / f"{form}.tflite"):
                engine = "onnxruntime" if path.suffix == ".onnx" else "litert"
                empty = _empty(f"{network} {form}, {engine}@{target.name}", quantum, FP32)
                measure = partial(_on_device, empty, path, x, target, quantum)
                about = [path.read_bytes(), x.tobytes(), f"{empty.case} {target} {versions()}".encode()]
                yield _once(about, measure) if keep else measure()


def on_phone(network: str, forms: Mapping[str, onnx.ModelProto], x: Array) -> Iterator[Case]:
    """Every form of a model in a phone's browser, beside this machine's onnxruntime.

    Args:
        network: what to call it.
        forms: "fp32" and "int8".
        x: float32[1, ...], the sample that both run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for form, each in forms.items():
            quantum = step(each) if form == "int8" else None
            empty = _empty(f"{network} {form}, onnxruntime-web@{PHONE}", quantum, WEB)
            path = save(each, Path(scratch) / f"{form}.onnx")
            try:
                here = _here(path, x)
                engine = open_engine("onnxruntime", path, where=network)
                manifest = Manifest(network, "android-arm64", engine.inputs, engine.outputs)
                pack(path.with_suffix(".bundle"), manifest, {"infer.onnx": path.read_bytes()})
                feed = {engine.inputs[0].name: x}
                found = run_on_phone(Bundle.open(path.with_suffix(".bundle")), feed, rounds=3)
                there = found.outputs[engine.outputs[0].name]
            except LittoralError as error:
                yield replace(empty, note=str(error).splitlines()[0])
                continue
            note = f"WebAssembly, {found.threads} threads, without a network; {_same(here, there)}"
            yield replace(empty, value=_gap(here, there, quantum), n=len(x), note=note)


def _empty(case: str, quantum: Array | None, most: float) -> Case:
    """A case without its value: floats relative to the largest output, within `most`; integers in steps."""
    unit, goal = ("relative", most) if quantum is None else ("quanta", QUANTA)
    return Case(case, None, unit, goal, "lower", 0)


def _once(about: Sequence[bytes], measure: Callable[[], Case]) -> Case:
    """What an earlier run measured of the same, or what is measured now and kept; failures are not."""
    name = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in about)).hexdigest()[:24]
    path = cache_dir() / "benchmarks" / "parity" / f"{name}.json"
    if path.is_file():
        return Case(**json.loads(path.read_text("utf-8")))
    case = measure()
    if case.value is not None:
        write_text(path, json.dumps(asdict(case)))
    return case


def _on_device(empty: Case, path: Path, x: Array, target: Target, quantum: Array | None) -> Case:
    here = _here(path, x)
    out = path.with_suffix(".npz.out")
    files = ["--input", str(path.with_name("x.npz")), "--output", str(out)]
    try:
        done = _counted(target, ["run", str(path), *files, "--threads", "1"])
    except LittoralError as error:
        return replace(empty, note=str(error).splitlines()[0])
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return replace(empty, note=reason[0])
    with np.load(out) as arrays:
        there = next(iter(arrays.values()))
    note = (
        f"{done.counts[0].instructions / 1e6:.1f} M instructions; {done.peak_bytes / 1e6:.0f} MB of "
        f"{target.ram_mib} MiB; {_same(here, there)}"
    )
    return replace(empty, value=_gap(here, there, quantum), n=len(x), note=note)


def _gap(here: Array, there: Array, quantum: Array | None) -> float:
    """The largest difference, in steps of the last activations, or relative to the largest output."""
    a, b = here.reshape(len(here), -1).astype(np.float64), there.reshape(len(here), -1)
    gap = np.abs(a - b)
    return float(gap.max() / np.abs(a).max()) if quantum is None else float((gap / quantum).max())


def _same(here: Array, there: Array) -> str:
    a, b = here.reshape(len(here), -1), there.reshape(len(here), -1)
    return f"same class {int((a.argmax(1) == b.argmax(1)).sum())} of {len(a)}"


def _here(path: Path, x: Array) -> Array:
    """The first output for every sample, from the operators that run on Arm and, told so, in a browser.

    Elsewhere onnxruntime runs some of what lies between signed int8 layers in floats, unless it is told that int8 is
    allowed.
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
