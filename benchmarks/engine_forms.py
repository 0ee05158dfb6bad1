"""LiteRT on our lowering against onnxruntime, fp32 and int8: agreement, time here, instructions on emulated Arm."""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from compress import quantize
from converter.convert import convert
from converter.lowering import lower
from converter.model import save, to_bytes
from edge_runtime import Target, emulator, profile
from edge_runtime.engines import onnx as ort
from edge_runtime.engines import open_engine
from edge_runtime.errors import LittoralError
from edge_runtime.tensors import Array
from examples import efficientnet_lite0, mobilenetv2

MODELS = {"efficientnet-lite0": efficientnet_lite0, "mobilenetv2": mobilenetv2}
ROUNDS, PICTURES = 60, 40
TARGETS = ("rpi4", "rpi5")


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        for name, example in MODELS.items():
            real = convert(f"examples.{example.__name__.partition('.')[2]}:model")
            samples = example.calibration(60).x
            forms = {
                "fp32": real,
                **{kind: quantize(real, samples, activation=kind) for kind in ("uint8", "int8")},
            }
            lowered = {kind: lower(model) for kind, model in forms.items()}
            yield from _same(name, forms, lowered, example.crops(PICTURES, 11).x)
            yield from _time(name, forms, lowered)
            files = []
            for kind, model in forms.items():
                files.append(Path(folder, f"{name}-{kind}.tflite"))
                files[-1].write_bytes(lowered[kind])
                files.append(save(model, Path(folder, f"{name}-{kind}.onnx")))
            yield from _instructions(name, list(forms), files)


def _same(
    name: str, forms: dict[str, onnx.ModelProto], lowered: dict[str, bytes], pictures: Array
) -> Iterator[Case]:
    """How far LiteRT's outputs are from what the model means: quantised ones are simulated in floats."""
    for kind, model in forms.items():
        exact = ort.open_session(to_bytes(model), where=name, config={"session.disable_quant_qdq": "1"})
        engines = {
            form: open_engine(form, data, where=name)
            for form, data in (("litert", lowered[kind]), ("onnxruntime", to_bytes(model)))
        }
        feeds = [{exact.get_inputs()[0].name: pictures[k : k + 1]} for k in range(len(pictures))]
        wanted = np.concatenate([exact.run(None, feed)[0] for feed in feeds])
        for form, engine in engines.items():
            got = np.concatenate([next(iter(engine.run(feed).values())) for feed in feeds])
            agree = 100 * float((wanted.argmax(1) == got.argmax(1)).mean())
            if kind == "fp32":
                gap = float(np.abs(got - wanted).max() / np.abs(wanted).max())
                if form == "litert":
                    yield Case(f"{name}: fp32, litert, difference", gap, "relative", 1e-5, "lower", PICTURES)
                continue
            noise = 10 * np.log10(float((wanted**2).sum() / ((wanted - got) ** 2).sum()))
            note = f"{agree:.1f} % of the answers are those of the simulation"
            yield Case(
                f"{name}: {kind}, {form} to simulation", round(noise, 1), "dB", None, "higher", PICTURES, note
            )


def _time(name: str, forms: dict[str, onnx.ModelProto], lowered: dict[str, bytes]) -> Iterator[Case]:
    """Median CPU time of one thread, all forms in turn; a ratio above 1 says that LiteRT is faster."""
    labels = [(kind, form) for kind in forms for form in ("onnxruntime", "litert")]
    data = {"onnxruntime": {kind: to_bytes(model) for kind, model in forms.items()}, "litert": lowered}
    engines = [open_engine(form, data[form][kind], where=name, threads=1) for kind, form in labels]
    feed = profile.example(engines[0].inputs)
    spent: list[list[float]] = [[] for _ in engines]
    for _ in range(3 + ROUNDS):
        for engine, times in zip(engines, spent, strict=True):
            began = time.process_time_ns()
            engine.run(feed)
            times.append((time.process_time_ns() - began) / 1e6)
    medians = {label: statistics.median(times[3:]) for label, times in zip(labels, spent, strict=True)}
    for kind in forms:
        theirs, ours = medians[kind, "onnxruntime"], medians[kind, "litert"]
        note = f"{theirs:.2f} ms against {ours:.2f} ms of CPU time"
        what = f"{name}: {kind}, onnxruntime / litert"
        yield Case(what, round(theirs / ours, 3), "ratio of times", None, "higher", ROUNDS, note)


def _instructions(name: str, kinds: list[str], files: list[Path]) -> Iterator[Case]:
    for target in TARGETS:
        try:
            counts = [count.instructions / 1e6 for count in emulator.count(Target.load(target), files)]
        except LittoralError as error:
            what = f"{name}: onnxruntime / litert on {target}"
            yield Case(what, None, "ratio of instructions", None, "higher", 0, str(error))
            continue
        for k, kind in enumerate(kinds):
            ours, theirs = counts[2 * k : 2 * k + 2]
            note = f"{theirs:.1f} M against {ours:.1f} M"
            what = f"{name}: {kind}, onnxruntime / litert on {target}"
            yield Case(what, round(theirs / ours, 3), "ratio of instructions", None, "higher", 1, note)


if __name__ == "__main__":
    main(cases)
