"""What a client does in a round, without Flower: ClientUpdate of McMahan et al. 2017, Algorithm 1.

For E epochs, for each mini-batch b of size B: ``w <- w - eta grad l(w; b)``; the new w is returned.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import seeds

Learner = Trainer | Bundle | str | os.PathLike[str]
"""A loaded training graph, or the trainable bundle to load it from."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A client's answer: new weights, how many examples they rest on, the mean loss of the last epoch."""

    parameters: Mapping[str, Array]
    num_examples: int
    loss: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What the server asks of every client in one round."""

    round_number: int
    epochs: int
    batch_size: int
    lr: float
    seed: int


def client_update(
    trainer: Trainer, parameters: Mapping[str, Array], samples: Samples, steps: Steps, client: int
) -> Learned:
    """Train on the client's `samples` from the round's `parameters`; shuffled by (seed, round, client) alone.

    Raises:
        InputError: the weights or the samples do not fit the model.
        ModelError: the engine failed.
    """
    trainer.load(parameters)
    losses = trainer.fit(
        samples,
        epochs=steps.epochs,
        batch_size=steps.batch_size,
        lr=steps.lr,
        seed=seeds.number(steps.seed, "train", steps.round_number, client),
    )
    return Learned(trainer.parameters, len(samples), losses[-1])


def trainer_of(learner: Learner, threads: int = 1) -> Callable[[], Trainer]:
    """Give a function to the one trainer, loaded when first asked for and kept: loading outlasts a round."""

    @cache
    def loaded() -> Trainer:
        return learner if isinstance(learner, Trainer) else Trainer(learner, threads=threads)

    return loaded
