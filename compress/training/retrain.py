"""Training between compression steps: what a step took from the accuracy, a few epochs give back.

The training step is a plain ONNX graph (`converter.differentiate`) that onnxruntime runs; no source framework is
needed. A constraint is put on the weights after every few batches (projected gradient descent): zeros stay zero.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from converter.model import constants, copy, set_constant
from converter.trainable import pack_trainable
from edge_runtime.console import progress
from edge_runtime.data import Samples
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer

Constraint = Callable[[str, Array], Array]
"""From a weight's name and values to the nearest values that are allowed."""

_STRETCH = 1024  # samples between two projections


def keep_zeros(model: onnx.ModelProto) -> Constraint:
    """Weights that are zero in `model` stay zero; biases and other vectors are free."""
    masks = {name: value != 0 for name, value in constants(model.graph).items() if value.ndim > 1}

    def project(name: str, weight: Array) -> Array:
        return np.where(masks[name], weight, 0).astype(weight.dtype) if name in masks else weight

    return project


def retrain(
    model: onnx.ModelProto,
    samples: Samples,
    *,
    epochs: int = 1,
    lr: float = 0.01,
    batch_size: int = 32,
    momentum: float = 0.9,
    constraint: Constraint | None = None,
    seed: int = 0,
) -> onnx.ModelProto:
    """Train all weights of a model on labelled samples.

    Args:
        model: a float model that can be differentiated; it is not changed.
        samples: labelled, as the model takes them.
        epochs: passes over the samples.
        lr: learning rate of SGD, falling linearly to a tenth.
        batch_size: samples a step.
        momentum: of SGD.
        constraint: put on every weight after each stretch of about a thousand samples, and in the end.
        seed: of the order of the samples.

    Returns:
        The model with trained weights.

    Raises:
        ModelError: the model cannot be differentiated, or training diverges.
        InputError: the samples have no labels, or do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bundle"
        trainer = Trainer(pack_trainable(model, path, name="model", momentum=momentum), threads=1)
    rng = np.random.default_rng(seed)
    stretches = max(1, -(-len(samples) // _STRETCH))
    for step in progress(range(epochs * stretches), "retrain"):
        if step % stretches == 0:
            parts = np.array_split(rng.permutation(len(samples)), stretches)
        chosen = parts[step % stretches]
        part = Samples(samples.x[chosen], None if samples.y is None else samples.y[chosen])
        rate = lr * (1 - 0.9 * step / max(epochs * stretches - 1, 1))
        trainer.fit(part, epochs=1, batch_size=batch_size, lr=rate, seed=int(rng.integers(1 << 31)))
        if constraint:
            trainer.load({name: constraint(name, value) for name, value in trainer.parameters.items()})
    return with_weights(model, trainer.parameters)


def with_weights(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with other values in some of its constants."""
    result = copy(model)
    for name, value in weights.items():
        set_constant(result.graph, name, value)
    return result
