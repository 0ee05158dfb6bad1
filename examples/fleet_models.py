"""The models of the fleet's demonstration, which read digits: in float, compressed, wrong, and learnt together.

A bundle here runs and learns. Its inference graph is the one that answers, in float or in 8-bit integers; it carries
self-test vectors and what drift is measured by, as `littoral compress` writes them.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from compress.quantization.quantize import quantize
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Bundle, Samples, Session, Trainer
from edge_runtime.agent import vectors
from edge_runtime.tensors import Array

NAME, TARGETS = "digits", ("x86-64", "rpi4")
FIRST = 400  # digits that the first model learns from, in one place


def first(train: Samples, test: Samples, folder: Path) -> dict[str, Bundle]:
    """A float model for each target, trained on a few digits in one place."""
    model = convert("examples.digits:model", input_names=["images"], output_names=["logits"], trainable=True)
    untrained = pack_trainable(model, folder / "untrained.bundle", name=NAME, target=TARGETS[0])
    trainer = Trainer(untrained, threads=1)
    trainer.fit(Samples(train.x[:FIRST], labels(train)[:FIRST]), epochs=12, batch_size=32, lr=0.1)
    graph = onnx.load_from_string(trainer.export(folder / "trained.bundle").read("infer.onnx"))
    return {
        target: _packed(graph, folder / f"float-{target}.bundle", target, (train, test)) for target in TARGETS
    }


def compressed(made: Mapping[str, Bundle], train: Samples, test: Samples, folder: Path) -> dict[str, Bundle]:
    """The same with an inference graph in 8-bit integers, calibrated on digits; it can go on learning."""
    found = {}
    for target, bundle in made.items():
        graph = onnx.load_from_string(bundle.read("infer.onnx"))
        integers = quantize(graph, train.x[:200])
        found[target] = _packed(graph, folder / f"int8-{target}.bundle", target, (train, test), integers)
    return found


def wrong(made: Mapping[str, Bundle], train: Samples, folder: Path) -> dict[str, Bundle]:
    """The same with the last layer's rows moved by one: as fast and as sure, mostly wrong, and never measured."""
    found = {}
    for target, bundle in made.items():
        trainer = Trainer(bundle, threads=1)
        known = trainer.parameters
        last = sorted(name for name, array in known.items() if array.shape[:1] == (10,))
        trainer.put({name: np.roll(known[name], 1, axis=0) for name in last})
        found[target] = _exported(trainer, folder / f"wrong-{target}.bundle", train)
    return found


def learnt(
    made: Mapping[str, Bundle], result: Bundle, train: Samples, test: Samples, folder: Path
) -> dict[str, Bundle]:
    """The same with the weights that the fleet learnt together."""
    weights = Trainer(result, threads=1).parameters
    found = {}
    for target, bundle in made.items():
        trainer = Trainer(bundle, threads=1)
        trainer.put(weights)
        found[target] = _exported(trainer, folder / f"learnt-{target}.bundle", train, test)
    return found


def accuracy(bundle: Bundle, test: Samples) -> float:
    """Share of held-out digits that the model gets right, as it answers on a device."""
    logits = Session(bundle, threads=1).run_batches(test.x, 100)[0]
    return float((logits.argmax(axis=1) == labels(test)).mean())


def labels(samples: Samples) -> Array:
    """The labels, which digits have."""
    return np.asarray(samples.y)


def _packed(
    graph: onnx.ModelProto,
    path: Path,
    target: str,
    data: tuple[Samples, Samples],
    integers: onnx.ModelProto | None = None,
) -> Bundle:
    with_step = pack_trainable(graph, path.with_suffix(".step"), name=NAME, target=target, quantized=integers)
    return _with_vectors(with_step, path, *data)


def _exported(trainer: Trainer, path: Path, train: Samples, test: Samples | None = None) -> Bundle:
    return _with_vectors(trainer.export(path.with_suffix(".step")), path, train, test)


def _with_vectors(bundle: Bundle, path: Path, train: Samples, test: Samples | None) -> Bundle:
    """With what a device probes the model by and, where somebody measured it, its accuracy."""
    opened = Bundle.open(bundle.path)
    added = vectors.files(Session(opened, threads=1), train.x[:128])
    measured = {} if test is None else {"accuracy": accuracy(opened, test)}
    opened.rewritten(path, replace(opened.manifest, files={}, metrics=measured), added)
    bundle.path.unlink()
    return Bundle.open(path)
