"""What a client does in a round, without Flower: ClientUpdate of McMahan et al. 2017, Algorithm 1.

For E epochs, for each mini-batch b of size B: ``w <- w - eta grad l(w; b)``; the new w is returned.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache

from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import seeds
from federated.steps import Learned, Steps

Learner = Trainer | Bundle | str | os.PathLike[str]
"""A loaded training graph, or the trainable bundle to load it from."""


_OWN = "method/"


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
