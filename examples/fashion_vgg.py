"""An over-parameterised network for Fashion-MNIST, trained here, and what compression leaves of it.

The network is a VGG of five convolutions (Simonyan and Zisserman, 2014) with batch normalisation and two dense layers,
3.5 million parameters; 20,000 photographs of 28×28 pixels train it, 10,000 others test it.
"""

import sys
from inspect import getsource
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx

from compress.compress import apply
from compress.pruning.prune import Prune
from compress.recipe import Optimize, Recipe
from compress.step import Work
from compress.training.aware import QuantizationAware
from compress.training.distill import Distill
from compress.training.retrain import Retrain
from converter.convert import convert
from edge_runtime.data import Samples
from edge_runtime.target import Target
from examples.kept import code, kept

TRAIN = 20_000  # of 60,000, so that training takes minutes
TRAINING = Retrain(epochs=5, lr=0.05, batch_size=64)
STEPS = (
    Prune(amount=0.95, multiple=8, most=0.82),
    Distill(epochs=8, lr=0.003, batch_size=64),
    Optimize(),
    QuantizationAware(epochs=2, batch_size=32, alpha=0.7),
)


def network(width: int = 32, hidden: int = 512) -> tuple[Any, tuple[Any, ...]]:
    """The network, not trained, and an example: float32[1, 1, 28, 28]."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 1
    for channels, pooled in ((1, True), (2, False), (2, True), (4, False), (4, False)):
        layers += [nn.Conv2d(before, width * channels, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width * channels), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pooled else []
        before = width * channels
    layers += [nn.Flatten(), nn.Linear(before * 49, hidden), nn.ReLU(), nn.Linear(hidden, 10)]
    return nn.Sequential(*layers).eval(), (torch.zeros(1, 1, 28, 28),)


def load(train: int = TRAIN, test: int = 10_000) -> tuple[Samples, Samples]:
    """Both parts: x float32[n, 1, 28, 28], (grey - 127) / 128; y int64[n]."""
    from examples import fashion_mnist

    first, second = fashion_mnist.load(train, test, 28)
    return Samples(np.ascontiguousarray(first.x[:, :1]), first.y), Samples(second.x[:, :1], second.y)


def mirrored(samples: Samples) -> Samples:
    """The photographs, and each of them mirrored: the teacher's answers to both are computed once."""
    both = np.concatenate([samples.x, samples.x[..., ::-1]])
    return Samples(both, np.concatenate([np.asarray(samples.y)] * 2))


def original() -> onnx.ModelProto:
    """The trained network; the first call takes minutes."""

    def make() -> onnx.ModelProto:
        module, example = network()
        start = convert(module, example=example, trainable=True)
        return TRAINING(start, Work(load(test=1)[0], Target.load("rpi4"), start))

    return kept("fashion-vgg", make, getsource(network), f"{TRAIN} {TRAINING}")


def compressed(target: str = "rpi4") -> onnx.ModelProto:
    """What the steps leave of it; the activations are of the target's type."""
    source, device = original(), Target.load(target)

    def make() -> onnx.ModelProto:
        return apply(Recipe(STEPS), source, Work(mirrored(load(test=1)[0]), device, source))

    return kept(f"fashion-vgg-{target}", make, source, repr(STEPS), device.activation, code())
