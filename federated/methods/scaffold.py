"""SCAFFOLD: each device corrects its steps by how its gradient differs from everybody's.

Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", algorithm 1 with option II
and a server's step of 1. The control variates travel beside the weights. They are averaged by n_k / n as everything is,
where the paper takes equal shares.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.continual.learning import Plain
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated.methods.method import Averaged, Memory
from federated.steps import Learned, Steps

CONTROL = "control/"
"""Before the name of a weight: its control variate, among what is sent and in a device's memory."""


@dataclass(frozen=True, slots=True)
class Scaffold(Averaged):
    """SCAFFOLD; `share` is the part of all devices that answers in a round. The trainer's optimiser must be plain."""

    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}, expected more than 0 and at most 1")

    def start(self, trainer: Trainer) -> dict[str, Array]:
        """All parameters, and a control variate of zeros for each weight.

        Raises:
            InputError: the optimiser is not plain.
        """
        if trainer.has_state:
            raise InputError(
                f"{trainer.bundle.path}: scaffold needs plain gradient descent; pack it with momentum=0"
            )
        found = trainer.parameters
        return found | {CONTROL + name: np.zeros_like(found[name]) for name in trainer.weights}

    def stepping(self, sent: Mapping[str, Array], memory: Mapping[str, Array]) -> "Corrected":
        """Steps against g - c_i + c."""
        controls = [name for name in sent if name.startswith(CONTROL)]
        return Corrected(
            {name.removeprefix(CONTROL): sent[name] - memory.get(name, np.float32(0)) for name in controls}
        )

    def update(
        self,
        trainer: Trainer,
        sent: Mapping[str, Array],
        samples: Samples,
        steps: Steps,
        client: int,
        memory: Memory,
    ) -> Learned:
        """Train; the answer's control variates are c + (c_i' - c_i), whose average is the step that c takes."""
        learned = Averaged.update(self, trainer, sent, samples, steps, client, memory)
        taken = steps.epochs * math.ceil(len(samples) / steps.batch_size)
        answer = dict(learned.parameters)
        for name in (name for name in sent if name.startswith(CONTROL)):
            weight = name.removeprefix(CONTROL)
            moved = (sent[weight] - answer[weight]) / sent[weight].dtype.type(taken * steps.lr)
            old = memory.get(name, np.zeros_like(moved))
            memory[name] = old - sent[name] + moved
            answer[name] = sent[name] + (memory[name] - old)
        return Learned(answer, learned.num_examples, learned.loss)

    def merge(self, before: Mapping[str, Array], average: Mapping[str, Array]) -> dict[str, Array]:
        """The average, of whose control variates those devices that did not answer hold the rest."""
        return {
            name: before[name] + array.dtype.type(self.share) * (array - before[name])
            if name.startswith(CONTROL)
            else array
            for name, array in average.items()
        }


@dataclass(frozen=True, slots=True)
class Corrected(Plain):
    """A step of the trainer, and one along the correction c - c_i: together ``w <- w - lr (g - c_i + c)``."""

    correction: Mapping[str, Array]

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One update on a batch, and the loss before it."""
        loss = trainer.step(x, y, lr)
        weights = trainer.release()
        for name, correction in self.correction.items():
            weights[name] -= weights[name].dtype.type(lr) * correction
        return loss
