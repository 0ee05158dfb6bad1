"""Training on labels between compression steps: what a step took from the accuracy, a few epochs give back.

A constraint is put on the weights after each epoch (projected gradient descent): zeros stay zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from compress.step import Work
from compress.training.course import Constraint, Course, run
from converter.autodiff.optimizers import Sgd
from converter.model import constants, copy, set_constant
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Retrain:
    """Parameters of the step: `epochs` of SGD with `momentum` on labelled samples; zeros of weights stay zero."""

    epochs: int = 5
    lr: float = 0.01
    batch_size: int = 32
    momentum: float = 0.9
    augment: str = ""
    keep_zeros: bool = True
    seed: int = 0

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return retrain(
            model,
            work.samples,
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            momentum=self.momentum,
            augment=self.augment,
            constraint=keep_zeros(model) if self.keep_zeros else None,
            seed=self.seed,
        )


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
    augment: str = "",
    constraint: Constraint | None = None,
    seed: int = 0,
) -> onnx.ModelProto:
    """Train all weights of a model on labelled samples.

    Args:
        model: a float model that can be differentiated; it is not changed.
        samples: labelled, as the model takes them.
        epochs: passes over the samples.
        lr: learning rate of SGD, falling along half a cosine.
        batch_size: samples a step.
        momentum: of SGD.
        augment: what happens to pictures; see `compress.training.augment`.
        constraint: put on every weight after each epoch.
        seed: of the order of the samples.

    Returns:
        The model with trained weights.

    Raises:
        ModelError: the model cannot be differentiated, or training diverges.
        InputError: the samples have no labels, or do not fit.
    """
    labels = samples.y
    if labels is None:
        raise InputError("training needs labels: the data has x and no y; distil where there are none")

    def answers(_: Array, indices: Array) -> tuple[Array, Mapping[str, Array]]:
        return labels[indices], {}

    course = Course(epochs, lr, batch_size, Sgd(momentum), augment, seed)
    found = run(model, samples, answers, course, loss="cross_entropy", what="retrain", constraint=constraint)
    return with_weights(model, found)


def with_weights(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with other values in some of its constants."""
    result = copy(model)
    for node in result.graph.node:
        if node.op_type == "Constant" and node.output[0] in weights:
            node.CopyFrom(
                onnx.helper.make_node(
                    "Constant", [], list(node.output), value=_tensor(weights[node.output[0]])
                )
            )
    inline = {node.output[0] for node in result.graph.node if node.op_type == "Constant"}
    for name, value in weights.items():
        if name not in inline:
            set_constant(result.graph, name, value)
    return result


def _tensor(value: Array) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(value, order="C"))
