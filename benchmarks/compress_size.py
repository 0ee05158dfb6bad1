"""Deep compression on real digits: LeNet-5 pruned step by step, clustered, entropy-coded; size and accuracy."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx

from benchmarks.harness import Case, main
from compress.compress import stored
from compress.fidelity import accuracy
from compress.pruning.sparsify import Sparsify, sparsify
from compress.quantization.cluster import Cluster, cluster
from compress.training.retrain import keep_zeros, retrain
from converter.convert import convert
from converter.model import constants, to_bytes
from edge_runtime.data import Samples
from edge_runtime.session import Session
from examples import digits

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
    train, test = digits.load()
    network, example = lenet()
    original = retrain(convert(network, example=example, trainable=True), train, epochs=12, lr=0.02)
    before, plain = score(original, test), len(to_bytes(original))
    model = original
    for step in (*STEPS, LAST):
        model = sparsify(model, Sparsify(layers=shares(original, step)))
        model = retrain(model, train, epochs=6 if step == LAST else 4, lr=0.02, constraint=keep_zeros(model))
    model = cluster(model, Cluster(bits=4))
    after, small = score(model, test), stored_size(model)
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
    """Accuracy on the held-out digits."""
    if test.y is None:
        raise ValueError("the digits have labels")
    return accuracy(Session(to_bytes(model)).run_batches(test.x, 100)[0], test.y)


def stored_size(model: onnx.ModelProto) -> int:
    """Bytes of the graph as a bundle stores it."""
    return sum(len(content) for content in stored(to_bytes(model), coded=True).values())


if __name__ == "__main__":
    main(cases)
