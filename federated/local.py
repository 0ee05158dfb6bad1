"""What a client does in a round, without Flower: ClientUpdate of McMahan et al. 2017, Algorithm 1.

For E epochs, for each mini-batch b of size B: ``w <- w - eta grad l(w; b)``; the new w is returned.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import seeds

Learner = Trainer | Bundle | str | os.PathLike[str]
"""A loaded training graph, or the trainable bundle to load it from."""


_OWN = "method/"
_MU = "proximal-mu"  # as Flower's FedProx calls it


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
    method: str = ""

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Steps":
        """From the numbers of a message.

        Raises:
            KeyError: one is missing.
            ValueError: one is none.
        """
        return cls(
            round_number=int(config["server-round"]),
            epochs=int(config["epochs"]),
            batch_size=int(config["batch-size"]),
            lr=float(config["lr"]),
            seed=int(config["seed"]),
            method=str(config.get("method", "")) or _proximal(config),
        )


def _proximal(config: Mapping[str, Any]) -> str:
    """The method that Flower's FedProx asks for: it says no more than mu."""
    mu = float(config.get(_MU, 0.0))
    return f"fedprox:mu={mu!r}" if mu else ""


def client_update(
    trainer: Trainer,
    parameters: Mapping[str, Array],
    samples: Samples,
    steps: Steps,
    client: int,
    memory: dict[str, Array] | None = None,
) -> Learned:
    """Train on the client's `samples` from the round's `parameters`; shuffled by (seed, round, client) alone.

    With `steps.method` it is that method's update; what the device keeps for it is in `memory`, under "method/".

    Raises:
        InputError: the weights or the samples do not fit the model.
        ModelError: the engine failed.
    """
    if steps.method:
        from federated.methods import parse  # what devices do not need stays out of their memory

        kept = {} if memory is None else memory
        own = own_layers(kept)
        learned = parse(steps.method).update(trainer, parameters, samples, steps, client, own)
        kept.update({_OWN + name: array for name, array in own.items()})
        return learned
    trainer.load(parameters)
    losses = trainer.fit(
        samples,
        epochs=steps.epochs,
        batch_size=steps.batch_size,
        lr=steps.lr,
        seed=seeds.number(steps.seed, "train", steps.round_number, client),
    )
    return Learned(trainer.parameters, len(samples), losses[-1])


def own_layers(memory: Mapping[str, Array]) -> dict[str, Array]:
    """What a method keeps on the device, by parameter, of all that the device remembers."""
    return {name.removeprefix(_OWN): array for name, array in memory.items() if name.startswith(_OWN)}


def trainer_of(learner: Learner, threads: int = 1) -> Callable[[], Trainer]:
    """Give a function to the one trainer, loaded when first asked for and kept: loading outlasts a round."""
    return _Once(learner, threads)


class _Once:
    """Loads a trainer once; sent to another process, as Flower's Ray engine does, once in that process."""

    def __init__(self, learner: Learner, threads: int) -> None:
        self._learner, self._threads = learner, threads
        self._loaded = learner if isinstance(learner, Trainer) else None

    def __call__(self) -> Trainer:
        if self._loaded is None:
            self._loaded = Trainer(self._learner, threads=self._threads)  # type: ignore[arg-type]
        return self._loaded

    def __reduce__(self) -> tuple[Callable[[str, int], "_Once"], tuple[str, int]]:
        learner = self._learner
        opened = learner.bundle if isinstance(learner, Trainer) else learner
        path = opened.path if isinstance(opened, Bundle) else opened
        return _here, (os.fspath(path), self._threads)


@cache
def _here(path: str, threads: int) -> _Once:
    return _Once(path, threads)
