"""`compress`: apply a recipe to a model for a target, check the result on data, measure it, and pack a bundle."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper

from compress import fidelity
from compress.recipe import Recipe
from compress.step import Work
from converter.model import Model, load, save, to_bytes
from converter.trainable import tensor_data
from edge_runtime import data, emulator, profile
from edge_runtime.bundle import Bundle, Manifest, Preprocess, pack
from edge_runtime.console import say
from edge_runtime.errors import ModelError
from edge_runtime.profile import Latency
from edge_runtime.session import Session
from edge_runtime.storage import SUFFIX, code
from edge_runtime.target import Target
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Measured:
    """Cost of a model: `size` in bytes, `latency` here, guest `instructions` an inference on the target."""

    size: int
    latency: Latency
    instructions: int | None = None


@dataclass(frozen=True, slots=True)
class Compressed:
    """What `compress` made: the bundle, the two models, what each costs, and how far apart their outputs are."""

    bundle: Bundle
    source: onnx.ModelProto
    model: onnx.ModelProto
    before: Measured
    after: Measured
    fidelity: fidelity.Fidelity
    outputs: tuple[Array, Array]

    def to_json(self) -> dict[str, object]:
        """The figures, for machines."""
        return {
            "bundle": str(self.bundle.path),
            "target": self.bundle.manifest.target,
            "original": _cost(self.before),
            "compressed": _cost(self.after),
            **{name: getattr(self.fidelity, name) for name in self.fidelity.__slots__},
        }


def _cost(measured: Measured) -> dict[str, object]:
    return {
        "bytes": measured.size,
        "instructions": measured.instructions,
        "latency": measured.latency.to_json(),
    }


def compress(
    model: Model,
    samples: data.Samples,
    out: str | os.PathLike[str],
    *,
    target: Target | str = "rpi4",
    recipe: Recipe | None = None,
    test: data.Samples | None = None,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] = (),
    min_agreement: float = 0.8,
    coded: bool = False,
    emulate: bool = True,
    rounds: int = 20,
) -> Compressed:
    """Compress a float ONNX model for a target.

    Args:
        model: one input, float32; or the path of such a model.
        samples: data as the model takes it: it calibrates, and checks unless `test` is given.
        out: where the bundle goes; a folder if the name has no suffix.
        target: the device, or its name.
        recipe: the steps; None takes `optimize`, `quantize`.
        test: data to check the result on.
        preprocess: how pictures become the model's input; goes into the manifest.
        labels: names of the classes; go into the manifest.
        min_agreement: smallest share of samples on which both models must agree.
        coded: store the weights entropy-coded, to be decoded when the bundle is opened.
        emulate: count guest instructions on the emulated target, where it can be emulated here.
        rounds: timed calls of each model, on one thread.

    Returns:
        The bundle with everything that was measured.

    Raises:
        InputError: the data does not fit the model.
        ModelError: the model is not valid, or the result agrees with it on too few samples; nothing is written then.
        BackendError: the target is unknown.
    """
    device, steps = Target.load(target), recipe or Recipe()
    source = load(model)
    original = Session(to_bytes(source))
    data.fit(samples, original.inputs[0], "data")
    checked = data.fit(test or samples, original.inputs[0], "test data")
    result = apply(steps, source, Work(samples, device, source))
    candidate = Session(to_bytes(result))
    outputs = _check(original, candidate, checked)
    found = fidelity.compare(*outputs, checked.y)
    _require(found, min_agreement)
    counts = _instructions(device, [source, result]) if emulate else [None, None]
    metrics = _metrics(found, to_bytes(source), counts)
    signature = (candidate.inputs, candidate.outputs)
    manifest = Manifest(
        Path(out).stem, device.name, *signature, preprocess, tuple(labels), steps.to_json(), metrics
    )
    bundle = pack(out, manifest, stored(to_bytes(result), coded=coded))
    before, after = _measure([source, result], bundle, counts, rounds)
    return Compressed(bundle, source, result, before, after, found, outputs)


def _measure(
    models: Sequence[onnx.ModelProto], bundle: Bundle, counts: Sequence[int | None], rounds: int
) -> list[Measured]:
    packed = bundle.path.stat().st_size if bundle.path.is_file() else bundle.size
    columns = zip((len(to_bytes(models[0])), packed), _latencies(models, rounds), counts, strict=True)
    return [Measured(*each) for each in columns]


def stored(graph: bytes, *, coded: bool) -> dict[str, bytes]:
    """The files of a bundle that hold a serialised graph: as it is, or coded without loss."""
    if not coded:
        return {"infer.onnx": graph}
    sizes = {
        tensor.name: numpy_helper.to_array(tensor).itemsize
        for tensor in onnx.load_from_string(graph).graph.initializer
    }
    places = [(offset, length, sizes[name]) for name, (offset, length) in tensor_data(graph).items()]
    return {f"infer.onnx{SUFFIX}": code(graph, places)}


def _check(original: Session, candidate: Session, samples: data.Samples) -> tuple[Array, Array]:
    say(f"check on {len(samples)} samples")
    return original.run_batches(samples.x)[0], candidate.run_batches(samples.x)[0]


def _require(found: fidelity.Fidelity, min_agreement: float) -> None:
    if found.agreement < min_agreement:
        raise ModelError(
            f"the compressed model agrees with the original on {found.agreement:.1%} of {found.n} samples, "
            f"{min_agreement:.0%} is asked for; calibrate on more typical data or change the recipe"
        )


def _latencies(models: Sequence[onnx.ModelProto], rounds: int) -> list[Latency]:
    # One thread, as `littoral bench` does: comparable, and what is left on a device that has other work.
    original, candidate = (Session(to_bytes(model), threads=1) for model in models)
    feed = profile.example(original.inputs)
    return profile.interleaved([lambda: original.run(feed), lambda: candidate.run(feed)], rounds)


def apply(recipe: Recipe, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
    """Apply the steps of a recipe in their order; `model` is not changed.

    Raises:
        ModelError: a step cannot be applied.
    """
    for step in recipe.steps:
        model = step(model, work)
    return model


def _instructions(target: Target, models: Sequence[onnx.ModelProto]) -> list[int | None]:
    if not target.emulator_cpu or not emulator.available():
        say(f"instructions on {target.name} are not counted here; 'littoral doctor' says what is missing")
        return [None] * len(models)
    with tempfile.TemporaryDirectory() as folder:
        paths = [save(model, Path(folder) / f"{k}.onnx") for k, model in enumerate(models)]
        say(f"count instructions on the emulated {target.name}")
        return [count.instructions for count in emulator.count(target, paths)]


def _metrics(found: fidelity.Fidelity, source: bytes, counts: Sequence[int | None]) -> dict[str, object]:
    """What is the same in every run: no latency, so that equal inputs make an equal bundle."""
    metrics: dict[str, object] = {
        "source": {"sha256": hashlib.sha256(source).hexdigest(), "bytes": len(source)},
        "agreement": round(found.agreement, 6),
        "sqnr_db": round(found.sqnr_db, 3),
        "n": found.n,
    }
    if found.original_accuracy is not None and found.compressed_accuracy is not None:
        metrics["accuracy"] = {"original": found.original_accuracy, "compressed": found.compressed_accuracy}
    if counts[0] is not None:
        metrics["instructions"] = {"original": counts[0], "compressed": counts[1]}
    return metrics
