"""Learning without forgetting: the old model's answers on the new data keep the new model close to it.

No old data is needed. Li and Hoiem, "Learning without forgetting", 2016. The loss is a part of the training graph:
`pack_trainable(..., loss=converter.transfer.OldAndNew())`.
"""

import numpy as np

from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.session import Session
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer

ANSWERS = "answers"
"""The training graph's input for the old model's logits: float[n, classes]."""
UNKNOWN = -1e9
"""The logit of a class that the old model has not learnt."""


class LearningWithoutForgetting:
    """LwF: `consolidate` makes the model as it is the teacher, of the classes that the task's samples show."""

    def __init__(self, threads: int = 0) -> None:
        """LwF.

        Args:
            threads: threads within an operator of the old model; 0 lets the engine choose.
        """
        self._threads = threads
        self._old: Session | None = None
        self._weights: dict[str, Array] = {}
        self._known: set[int] = set()

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One step towards the labels and towards the old model's answers."""
        return trainer.step(x, y, lr, extra={ANSWERS: self.answers(trainer, x)})

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """The model as it is now becomes the teacher, and knows the classes of these samples too.

        Raises:
            InputError: the samples have no labels.
        """
        if samples.y is None:
            raise InputError("learning without forgetting needs labels: the data has x and no y")
        self._known.update(np.unique(samples.y).tolist())
        self._weights = trainer.parameters

    def answers(self, trainer: Trainer, x: Array) -> Array:
        """The old model's logits: float[n, classes], `UNKNOWN` for what it has not learnt."""
        if self._old is None:
            self._old = Session(trainer.bundle.read("eval.onnx"), threads=self._threads)
        weights = self._weights or trainer.parameters
        (name,) = (spec.name for spec in self._old.inputs if spec.name not in weights)
        (logits,) = self._old.run({name: np.ascontiguousarray(x), **weights}).values()
        unknown = [k for k in range(logits.shape[1]) if k not in self._known]
        logits[:, unknown] = UNKNOWN
        return logits
