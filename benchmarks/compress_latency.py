"""Our best bundle beside the fastest fp32 of onnxruntime, LiteRT, OpenVINO, ncnn and MNN; on Arm in instructions."""

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from benchmarks.peers.peer import PEERS, Peer, PeerError, check, race
from compress import compress
from compress.fidelity import Fidelity, compare
from converter.convert import convert
from converter.lowering import lower
from converter.model import copy, save
from converter.optimize import optimize
from edge_runtime import Target, emulator
from edge_runtime.data import Samples
from edge_runtime.engines import engine_for, open_engine
from edge_runtime.errors import LittoralError
from edge_runtime.files import atomic
from edge_runtime.tensors import Array

ROUNDS, CROPS, COMPARED = 40, 500, 64
TOLERANCE = 1e-3  # of the largest output: other engines add in another order
PEER_AGREEMENT = 0.8  # below it, an int8 form is wrong rather than coarse
GOALS = {
    "imagenet/efficientnet-lite0": {"x86": 0.72, "rpi4": 0.50, "rpi5": 0.36},
    "imagenet/mobilenetv2": {"x86": 0.72, "rpi4": 0.50, "rpi5": 0.36},
    "digits-mobilenet": {"x86": 0.35, "rpi5": 0.20},
}
TARGETS = {"x86": "x86-64", "rpi4": "rpi4", "rpi5": "rpi5"}


@dataclass(frozen=True, slots=True)
class Workload:
    """A float model, data for it, and how it is compressed for a target.

    `least` is the agreement on the held-out samples that the bundle must have, or with labels the change of top-1.
    """

    model: onnx.ModelProto
    calibration: Array
    held_out: Samples
    compressed: Callable[[str], onnx.ModelProto]
    least: float


@dataclass(frozen=True, slots=True)
class Ours:
    """Our model for one target in its forms, by suffix, how well it does as run here, and what was left out."""

    forms: dict[str, Path]
    found: dict[str, Fidelity]
    notes: tuple[str, ...]


def cases() -> Iterator[Case]:
    for name, goals in GOALS.items():
        with tempfile.TemporaryDirectory() as scratch:
            try:
                workload = _workload(name)
            except (ImportError, AttributeError, FileNotFoundError, LittoralError) as error:
                reason = f"cannot be made: {str(error).splitlines()[0]}"
                yield from (_null(f"{name}@{where}", goals.get(where), reason) for where in TARGETS)
                continue
            for where, measure in (("x86", _here), ("rpi4", _emulated), ("rpi5", _emulated)):
                folder = Path(scratch, where)
                folder.mkdir()
                try:
                    yield from measure(name, where, workload, folder)
                except LittoralError as error:
                    yield _null(f"{name}@{where}", goals.get(where), str(error).splitlines()[0])


def _workload(name: str) -> Workload:
    if name == "digits-mobilenet":
        example = importlib.import_module("examples.digits_mobilenet")
        train, test = importlib.import_module("examples.digits").load()
        return Workload(optimize(example.original()), train.x[:200], test, example.compressed, -0.01)
    return _imagenet(importlib.import_module(f"examples.{name.partition('/')[2].replace('-', '_')}"))


def _imagenet(example: ModuleType) -> Workload:
    model = convert(f"{example.__name__}:model")
    samples = example.calibration()

    def compressed(target: str) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "made.bundle")
            return compress(
                model, samples, out, target=target, min_agreement=0.0, emulate=False, rounds=1
            ).model

    own = getattr(example, "compressed", compressed)  # an example may know steps that need training
    return Workload(model, samples.x[:60], example.crops(CROPS, 1), own, 0.95)


def _here(name: str, where: str, workload: Workload, folder: Path) -> Iterator[Case]:
    """Processor time of ours against that of the fastest fp32, all in turn; then each peer's own."""
    ours, fixed = _made(workload, where, folder), save(_one(workload.model), folder / "fp32.onnx")
    with ExitStack() as stack:
        runners = [_start(workload, "littoral", form, path) for form, path in ours.forms.items()]
        for runner in runners:
            stack.enter_context(runner)
        field, failed = _field(workload, fixed, stack)
        spent = dict(zip([*runners, *field], race([*runners, *field], ROUNDS), strict=True))
    best = min(runners, key=lambda runner: (not _suffices(workload, ours.found[runner.form]), spent[runner]))
    rival = min((peer for peer in field if peer.form == "fp32"), key=spent.__getitem__)
    note = f"{best.form}: {spent[best]:.2f} ms of processor time, {rival.version} fp32 {spent[rival]:.2f} ms"
    yield _judged(name, where, spent[best] / spent[rival], workload, ours, best.form, note, ROUNDS)
    for runner in runners:
        said = f"one thread; {_said(ours.found[runner.form])}"
        yield _time(f"{name}@x86, littoral {runner.form}", spent[runner], ROUNDS, said)
    for peer in field:
        said = f"{peer.version}, one thread; {peer.note}"
        yield _time(f"{name}@x86, {peer.engine} {peer.form}", spent[peer], ROUNDS, said)
    for engine, form, reason in failed:
        yield _time(f"{name}@x86, {engine} {form}", None, 0, reason)


def _emulated(name: str, where: str, workload: Workload, folder: Path) -> Iterator[Case]:
    """Instructions of ours against those of onnxruntime's fp32."""
    if not emulator.available():
        lacking = ", ".join(need.tool for need in emulator.missing())
        yield _null(f"{name}@{where}", GOALS[name].get(where), f"no emulator: {lacking} missing")
        return
    ours, original = _made(workload, where, folder), save(workload.model, folder / "fp32.onnx")
    before, after = (c.instructions for c in emulator.count(where, [original, ours.forms["onnx"]]))
    counted = {"onnx": after}
    if "tflite" in ours.forms:
        try:
            (count,) = emulator.count(where, [ours.forms["tflite"]])
            counted["tflite"] = count.instructions
        except LittoralError as error:
            ours = Ours(ours.forms, ours.found, (*ours.notes, f"tflite not counted: {error}"))
    best = min(counted, key=lambda form: (not _suffices(workload, ours.found[form]), counted[form]))
    note = f"{best}: {counted[best] / 1e6:.1f} M instructions, onnxruntime fp32 {before / 1e6:.1f} M"
    yield _judged(name, where, counted[best] / before, workload, ours, best, note, 1)


def _field(
    workload: Workload, model: Path, stack: ExitStack
) -> tuple[list[Peer], list[tuple[str, str, str]]]:
    """The peers that take the model and compute it, and those that do not, with the reason."""
    field: list[Peer] = []
    failed: list[tuple[str, str, str]] = []
    reference: Array | None = None
    for engine in PEERS:
        for form in importlib.import_module(f"benchmarks.peers.{engine}").FORMS:
            try:
                peer = stack.enter_context(_start(workload, engine, form, model))
                outputs = peer.outputs()
                reference = outputs if reference is None else reference
                peer.note = _compared(outputs, reference, form)
            except PeerError as error:
                failed.append((engine, form, str(error)))
                continue
            field.append(peer)
    return field, failed


def _compared(outputs: Array, reference: Array, form: str) -> str:
    if form == "fp32":
        return f"{check(outputs, reference, TOLERANCE):.1g} from onnxruntime's outputs"
    check(outputs, reference, float("inf"))
    found = compare(reference, outputs)
    if found.agreement < PEER_AGREEMENT:
        raise PeerError(f"wrong outputs: agrees with fp32 on {found.agreement:.0%} of {found.n} samples")
    return _said(found)


def _start(workload: Workload, engine: str, form: str, model: Path) -> Peer:
    return Peer(engine, form, model, workload.held_out.x[:COMPARED], workload.calibration)


def _made(workload: Workload, where: str, folder: Path) -> Ours:
    """Our model for a target in every form that a bundle may carry."""
    model = workload.compressed(TARGETS[where])
    forms = {"onnx": save(model, folder / "ours.onnx")}
    notes: tuple[str, ...] = ()
    try:
        content = lower(_one(model), "tflite")
        with atomic(folder / "ours.tflite") as partial:
            partial.write_bytes(content)
        forms["tflite"] = folder / "ours.tflite"
    except LittoralError as error:
        notes = (f"no tflite: {str(error).splitlines()[0]}",)
    reference = _outputs(save(workload.model, folder / "reference.onnx"), workload.held_out.x)
    found = {
        form: compare(reference, _outputs(path, workload.held_out.x), workload.held_out.y)
        for form, path in forms.items()
    }
    return Ours(forms, found, notes)


def _outputs(path: Path, x: Array) -> Array:
    """The first output for every sample, one call each."""
    engine = open_engine(engine_for(path), path, where=path.name)
    source, target = engine.inputs[0].name, engine.outputs[0].name
    return np.concatenate([engine.run({source: x[k : k + 1]})[target] for k in range(len(x))])


def _judged(
    name: str, where: str, ratio: float, workload: Workload, ours: Ours, form: str, note: str, n: int
) -> Case:
    """The case; without a value if the form, as it runs here, does not give the answers that it must."""
    found, goal = ours.found[form], GOALS[name].get(where)
    kind = "int8" if form == "tflite" else Target.load(TARGETS[where]).activation
    said = "; ".join([note, f"{kind} activations, int8 weights", _said(found), *ours.notes])
    labelled = found.original_accuracy is not None and found.compressed_accuracy is not None
    value = (found.compressed_accuracy or 0) - (found.original_accuracy or 0) if labelled else found.agreement
    if value < workload.least:
        return _null(f"{name}@{where}", goal, f"{ratio:.4f}, but below {workload.least:g}: {said}")
    return Case(f"{name}@{where}", round(ratio, 4), "ratio", goal, "lower", n, said)


def _suffices(workload: Workload, found: Fidelity) -> bool:
    if found.original_accuracy is None or found.compressed_accuracy is None:
        return found.agreement >= workload.least
    return found.compressed_accuracy - found.original_accuracy >= workload.least


def _said(found: Fidelity) -> str:
    if found.original_accuracy is None or found.compressed_accuracy is None:
        return f"agreement {found.agreement:.3f} on {found.n} samples"
    return f"top-1 {found.original_accuracy:.2%} to {found.compressed_accuracy:.2%} on {found.n} held-out samples"


def _null(case: str, goal: float | None, reason: str) -> Case:
    return Case(case, None, "ratio", goal, "lower", 0, reason)


def _time(case: str, spent: float | None, n: int, note: str) -> Case:
    return Case(case, None if spent is None else round(spent, 3), "ms", None, "lower", n, note)


def _one(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a batch of one, which converters want to know."""
    made = copy(model)
    for value in [*made.graph.input, *made.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return made


if __name__ == "__main__":
    main(cases)
