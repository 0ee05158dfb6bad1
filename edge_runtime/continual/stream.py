"""Online learning: one pass over a stream, each batch first tested and then learnt."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge_runtime.continual.learning import Method, Plain
from edge_runtime.errors import InputError, ModelError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Prequential:
    """What test-then-train found, batch by batch: samples, share that was right before learning them, and loss.

    Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms", 2013.
    """

    counts: tuple[int, ...]
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """The share of all samples that was right when first seen."""
        return float(np.average(self.accuracies, weights=self.counts))

    def faded(self, factor: float = 0.9) -> float:
        """Accuracy of late: each batch counts `factor` times as much as the one after it."""
        weights = np.array(self.counts) * factor ** np.arange(len(self.counts))[::-1]
        return float(np.average(self.accuracies, weights=weights))


def online(
    trainer: Trainer, stream: Iterable[tuple[Array, Array]], *, lr: float = 0.05, method: Method | None = None
) -> Prequential:
    """Learn a stream in one pass; each batch is tested before it is learnt.

    Args:
        trainer: a classifier that learns.
        stream: batches of x and y as for `Trainer.step`; it may be endless for the caller, who then cuts it.
        lr: learning rate.
        method: how each step is done; None is the trainer's own.

    Raises:
        InputError: the stream is empty, a batch does not fit, or the model is no classifier.
        ModelError: the loss became NaN or infinite.
    """
    chosen = method or Plain()
    counts: list[int] = []
    accuracies: list[float] = []
    losses: list[float] = []
    for x, y in stream:
        output = trainer.predict(x)
        if output.ndim != 2 or not np.issubdtype(np.asarray(y).dtype, np.integer):
            raise InputError(f"{trainer.bundle.path}: is no classifier; a stream is measured by its accuracy")
        losses.append(chosen.step(trainer, x, y, lr))
        if not np.isfinite(losses[-1]):
            raise ModelError(
                f"the loss is {losses[-1]} at batch {len(losses)} of the stream; lower the learning rate (it is {lr})"
            )
        counts.append(len(x))
        accuracies.append(float((output.argmax(axis=1) == y).mean()))
    if not counts:
        raise InputError("the stream is empty; at least one batch is needed")
    return Prequential(tuple(counts), tuple(accuracies), tuple(losses))
