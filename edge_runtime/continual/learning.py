"""The loop that every method shares, and the method that does nothing against forgetting."""

from typing import Protocol

import numpy as np

from edge_runtime.console import progress as bar
from edge_runtime.data import Samples, batches
from edge_runtime.errors import InputError, ModelError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer


class Method(Protocol):
    """How a step is done while earlier tasks are to be kept, and what is kept when a task ends."""

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One update on a batch of the current task; the loss on that batch before it."""
        ...

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """The task of which these are samples has been learnt: keep what the method needs of it."""
        ...


class Plain:
    """Fine-tuning, with nothing against forgetting."""

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One step of the trainer."""
        return trainer.step(x, y, lr)

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """Keep nothing."""


def learn(
    trainer: Trainer,
    samples: Samples,
    method: Method,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    lr: float = 0.05,
    seed: int = 0,
    progress: bool = False,
) -> list[float]:
    """Train on all samples with a method's steps, newly shuffled in each epoch; `consolidate` is left to the caller.

    Args:
        trainer: what learns.
        samples: x and y as for `Trainer.step`.
        method: how each step is done.
        epochs: how often each sample is seen.
        batch_size: samples a step.
        lr: learning rate.
        seed: of the shuffling.
        progress: draw a bar on a terminal.

    Returns:
        The mean loss of each epoch.

    Raises:
        InputError: the samples are empty, do not fit or have no labels, or an argument is out of range.
        ModelError: the loss became NaN or infinite.
    """
    if len(samples) == 0 or batch_size < 1 or epochs < 0:
        raise InputError(
            f"training needs samples, a batch_size of at least 1 and no negative epochs; "
            f"got {len(samples)} samples, batch_size {batch_size}, epochs {epochs}"
        )
    rng = np.random.default_rng(seed)
    losses = []
    for epoch in range(1, epochs + 1):
        steps = batches(samples, batch_size, rng)
        count = -(-len(samples) // batch_size)
        total = 0.0
        for x, y in bar(steps, f"epoch {epoch}/{epochs}", count) if progress else steps:
            loss = method.step(trainer, x, y, lr)
            if not np.isfinite(loss):
                raise ModelError(
                    f"the loss is {loss} in epoch {epoch}: training diverged; lower lr (it is {lr})"
                )
            total += loss * len(x)
        losses.append(total / len(samples))
    return losses
