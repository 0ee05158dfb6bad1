"""Stored size, instructions and accuracy: LeNet-5 by deep compression, an over-parameterised VGG by training again."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx

from benchmarks.harness import Case, main
from compress.fidelity import accuracy
from compress.pruning.sparsify import Sparsify, sparsify
from compress.quantization.cluster import Cluster, cluster
from compress.storage import stored_size
from compress.training.retrain import keep_zeros, retrain
from converter.convert import convert
from converter.model import constants, save, to_bytes
from converter.optimize import optimize
from edge_runtime import Target, emulator
from edge_runtime.data import Samples
from edge_runtime.session import Session
from examples import digits, fashion_vgg

# Shares of zeros of the convolutions, the first dense layer and the last, step by step.
STEPS = (
    (0.3, 0.7, 0.5),
    (0.5, 0.85, 0.6),
    (0.6, 0.92, 0.7),
    (0.66, 0.95, 0.75),
    (0.7, 0.965, 0.8),
    (0.75, 0.98, 0.85),
)
LAST = (0.78, 0.985, 0.85)


def lenet() -> tuple[Any, tuple[Any, ...]]:
    """LeNet-5 as Deep Compression has it: 431,080 parameters."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )
    return network.eval(), (torch.zeros(1, 1, 28, 28),)


def cases() -> Iterator[Case]:
    yield from deep_compression()
    yield from overparameterised()


def overparameterised(name: str = "overparameterised", target: str = "rpi4") -> Iterator[Case]:
    """Channels pruned, distilled, trained with integers: a VGG on Fashion-MNIST (`examples/fashion_vgg.py`)."""
    original, model = fashion_vgg.original(), fashion_vgg.compressed(target)
    test = fashion_vgg.load(train=1)[1]
    before, after = score(original, test), score(model, test)
    plain, small = len(to_bytes(original)), stored_size(to_bytes(model), coded=True)
    note = f"{plain} bytes to {small}; accuracy {before:.4f} to {after:.4f}"
    yield Case(f"{name}: fp32 / stored", round(plain / small, 1), "ratio", 30, "higher", 1, note)
    loss = round((before - after) * 100, 2)
    yield Case(f"{name}: accuracy lost", loss, "pp", 0.5, "lower", len(test), "held-out photographs")
    case = f"{name}: instructions of fp32 / compressed, {target}"
    if not emulator.available():
        lacking = ", ".join(need.tool for need in emulator.missing())
        yield Case(case, None, "ratio", 10, "higher", 0, f"no emulator: {lacking} missing")
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [save(each, Path(folder) / f"{k}.onnx") for k, each in enumerate((optimize(original), model))]
        fp32, int8 = (emulator.count(Target.load(target), [file])[0].instructions for file in files)
    note = f"{fp32 / 1e6:.2f} M to {int8 / 1e6:.2f} M an inference"
    yield Case(case, round(fp32 / int8, 2), "ratio", 10, "higher", 1, note)


def deep_compression() -> Iterator[Case]:
    """Pruned step by step, clustered, entropy-coded: LeNet-5 on digits."""
    train, test = digits.load()
    network, example = lenet()
    original = retrain(convert(network, example=example, trainable=True), train, epochs=12, lr=0.02)
    before, plain = score(original, test), len(to_bytes(original))
    model = original
    for step in (*STEPS, LAST):
        model = sparsify(model, Sparsify(layers=shares(original, step)))
        model = retrain(model, train, epochs=6 if step == LAST else 4, lr=0.02, constraint=keep_zeros(model))
    model = cluster(model, Cluster(bits=4))
    after, small = score(model, test), stored_size(to_bytes(model), coded=True)
    note = f"{plain} bytes to {small}; accuracy {before:.4f} to {after:.4f}"
    yield Case("lenet: fp32 / stored", round(plain / small, 1), "ratio", 40, "higher", 1, note)
    loss = round((before - after) * 100, 2)
    yield Case("lenet: accuracy lost", loss, "pp", 0.5, "lower", len(test), "held-out digits")


def shares(model: onnx.ModelProto, step: tuple[float, float, float]) -> dict[str, float]:
    """The share of zeros of each weight."""
    weights = {name: value for name, value in constants(model.graph).items() if value.ndim > 1}
    convolutions, first, last = step
    return {
        name: convolutions if value.ndim == 4 else first if value.size > 10_000 else last
        for name, value in weights.items()
    }


def score(model: onnx.ModelProto, test: Samples) -> float:
    """Accuracy on held-out samples."""
    if test.y is None:
        raise ValueError("the test data has labels")
    return accuracy(Session(to_bytes(model)).run_batches(test.x, 100)[0], test.y)


if __name__ == "__main__":
    main(cases)
