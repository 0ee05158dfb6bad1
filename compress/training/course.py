"""The training that all learning steps share: mini-batches, a falling learning rate, and answers to learn from.

The step is a plain ONNX graph (`converter.differentiate`) that onnxruntime runs; no source framework is needed.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx

from compress.training.augment import augment
from converter.autodiff.losses import Loss
from converter.autodiff.optimizers import Optimizer
from converter.trainable import pack_trainable
from edge_runtime.console import progress
from edge_runtime.data import Samples
from edge_runtime.errors import InputError, ModelError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from edge_runtime.training.schedules import Schedule, cosine, warm_up

Answers: TypeAlias = Callable[[Array, Array], tuple[Array, Mapping[str, Array]]]
"""From a batch and the indices of its samples to what the loss calls labels, and what else it takes."""

Constraint: TypeAlias = Callable[[str, Array], Array]
"""From a weight's name and values to the nearest values that are allowed."""


@dataclass(frozen=True, slots=True)
class Course:
    """How to train: `lr` falls along half a cosine, after a warm-up over a twentieth of the steps.

    `augment` names what happens to pictures: "shift", "flip", or both with a comma; see `augment`.
    """

    epochs: int = 1
    lr: float = 0.001
    batch_size: int = 32
    optimizer: str | Optimizer = "adam"
    augment: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1 or self.lr <= 0:
            raise ModelError(
                f"training: epochs {self.epochs}, batch_size {self.batch_size} and lr {self.lr:g}; "
                "expected no negative epochs, at least one sample a step and a positive rate"
            )

    def rate(self, steps: int) -> Schedule:
        """The learning rate over so many steps."""
        rise = steps // 20
        return (
            warm_up(cosine(self.lr, max(steps - rise, 1)), rise) if rise else cosine(self.lr, max(steps, 1))
        )


def run(
    model: onnx.ModelProto,
    samples: Samples,
    answers: Answers,
    course: Course,
    *,
    loss: str | Loss,
    what: str,
    trainable: Collection[str] | None = None,
    constraint: Constraint | None = None,
) -> dict[str, Array]:
    """Train a model, and return its parameters: weights, and running statistics of batch normalisation.

    Args:
        model: one data input and one output.
        samples: what it sees; their labels are of no concern here.
        answers: what it is to say.
        course: how.
        loss: of output and answers.
        what: what the bar of progress says.
        trainable: names of the weights; None for all.
        constraint: put on every parameter after each epoch.

    Raises:
        ModelError: the model cannot be differentiated, or training diverges.
        InputError: the samples do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        bundle = pack_trainable(
            model, path, name="model", loss=loss, optimizer=course.optimizer, trainable=trainable
        )
        trainer = Trainer(bundle, threads=1)
    count, size = len(samples), course.batch_size
    if not count:
        raise InputError(f"{what}: there are no samples to learn from")
    each = -(-count // size)
    rate, rng = course.rate(course.epochs * each), np.random.default_rng(course.seed)
    order = rng.permutation(count)
    for step in progress(range(course.epochs * each), what):
        if step % each == 0:
            order = rng.permutation(count)
        chosen = order[step % each * size :][:size]
        x = augment(samples.x[chosen], course.augment, rng)
        y, extra = answers(x, chosen)
        value = trainer.step(x, y, rate(step), extra)
        if not np.isfinite(value):
            raise ModelError(
                f"{what}: the loss is {value} at step {step + 1}; lower lr (it is {course.lr:g})"
            )
        if constraint and (step + 1) % each == 0:
            trainer.put({name: constraint(name, weight) for name, weight in trainer.parameters.items()})
    return trainer.parameters
