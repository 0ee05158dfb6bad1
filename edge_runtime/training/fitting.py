"""Fit: epochs over shuffled samples, which may be interrupted at any step and go on bit for bit."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.console import progress as bar
from edge_runtime.data import Samples
from edge_runtime.errors import InputError, ModelError
from edge_runtime.tensors import Array, describe
from edge_runtime.training.schedules import Schedule

if TYPE_CHECKING:
    from edge_runtime.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to: its number from 1, mean loss, last learning rate, and measures of the validation."""

    number: int
    loss: float
    lr: float
    validation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to fit; see `edge_runtime.trainer.Trainer.fit`."""

    epochs: int
    batch_size: int
    lr: Schedule
    seed: int
    bar: bool = False
    extra: Mapping[str, Array] = field(default_factory=dict)
    validation: Samples | None = None
    patience: int = 0
    checkpoint: str | os.PathLike[str] | None = None
    every: int = 0
    on_epoch: Callable[[Epoch], None] | None = None


@dataclass(slots=True)
class Progress:
    """How far a fit has come. `generator` is the state of the random generator at the start of the epoch."""

    samples: int
    epochs: int
    batch_size: int
    seed: int
    generator: dict[str, Any]
    epoch: int = 0
    step: int = 0
    total: float = 0.0
    losses: list[float] = field(default_factory=list)
    lowest: float = float("inf")
    stale: int = 0
    best: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def start(cls, samples: int, settings: Settings) -> "Progress":
        """Of a fit that begins."""
        state = np.random.default_rng(settings.seed).bit_generator.state
        return cls(samples, settings.epochs, settings.batch_size, settings.seed, dict(state))

    def to_json(self) -> dict[str, Any]:
        """All but the arrays of `best`."""
        table = asdict(replace(self, best={}))
        del table["best"]
        return table

    def goes_on(self, samples: int, settings: Settings) -> bool:
        """Whether a fit of these samples and settings continues this one; a finished one may be followed by another.

        Raises:
            InputError: this one is not finished, and of other samples or settings.
        """
        mine = (self.samples, self.batch_size, self.seed)
        theirs = (samples, settings.batch_size, settings.seed)
        if mine != theirs and self.epoch < self.epochs:
            raise InputError(
                f"the checkpoint is of a fit of {mine[0]} samples, batch_size {mine[1]} and seed {mine[2]}, which "
                f"is not finished; got {theirs[0]}, {theirs[1]} and {theirs[2]}: give the same, or load() to begin anew"
            )
        return mine == theirs


def fit(trainer: "Trainer", samples: Samples, settings: Settings, at: Progress) -> list[float]:
    """Train from `at` to the last epoch, and return the mean loss of each; `at` is kept up to date.

    Raises:
        InputError: the samples do not fit or have no labels.
        ModelError: the loss became NaN or infinite.
    """
    at.epochs = settings.epochs
    while at.epoch < settings.epochs and not (settings.patience and at.stale >= settings.patience):
        rng = np.random.default_rng()
        rng.bit_generator.state = at.generator
        rate = _epoch(trainer, samples, settings, at, rng)
        done = Epoch(at.epoch + 1, at.total / len(samples), rate)
        at.losses.append(done.loss)
        at.generator = dict(rng.bit_generator.state)
        at.epoch, at.step, at.total = at.epoch + 1, 0, 0.0
        if settings.validation is not None:
            done = replace(done, validation=trainer.evaluate(settings.validation))
            _note_best(trainer, settings, at, done.validation["loss"])
        if settings.checkpoint is not None:
            trainer.checkpoint(settings.checkpoint)
        if settings.on_epoch:
            settings.on_epoch(done)
    if at.best:
        trainer.put(at.best)
    return list(at.losses)


def _epoch(
    trainer: "Trainer", samples: Samples, settings: Settings, at: Progress, rng: np.random.Generator
) -> float:
    """The steps of one epoch that are left; returns the last learning rate."""
    count = -(-len(samples) // settings.batch_size)
    chosen = _batches(len(samples), settings.batch_size, rng, at.step)
    what = f"epoch {at.epoch + 1}/{settings.epochs}"
    rate = 0.0
    for indices in bar(chosen, what, count - at.step) if settings.bar else chosen:
        rate = settings.lr(at.epoch * count + at.step)
        more = {name: array[indices] for name, array in settings.extra.items()}
        loss = trainer.step(samples.x[indices], labels(samples)[indices], rate, more)
        if not np.isfinite(loss):
            raise ModelError(
                f"the loss is {loss} at epoch {at.epoch + 1}, step {at.step + 1}: training diverged; "
                f"lower the learning rate (it is {rate})"
            )
        at.total += loss * len(indices)
        at.step += 1
        if settings.checkpoint is not None and settings.every and at.step % settings.every == 0:
            trainer.checkpoint(settings.checkpoint)
    return rate


def _batches(count: int, size: int, rng: np.random.Generator, skip: int) -> Iterator[Array]:
    order = rng.permutation(count)
    for start in range(skip * size, count, size):
        yield order[start : start + size]


def _note_best(trainer: "Trainer", settings: Settings, at: Progress, loss: float) -> None:
    if not settings.patience:
        return
    if loss < at.lowest:
        at.lowest, at.stale, at.best = loss, 0, trainer.parameters
    else:
        at.stale += 1


def check(samples: Samples, settings: Settings) -> None:
    """Do nothing if a fit may begin.

    Raises:
        InputError: an argument is out of range, or an array of `extra` has another length than the samples.
    """
    if len(samples) == 0 or settings.batch_size < 1 or settings.epochs < 0:
        raise InputError(
            f"training needs samples, a batch_size of at least 1 and no negative epochs; "
            f"got {len(samples)} samples, batch_size {settings.batch_size}, epochs {settings.epochs}"
        )
    if settings.patience and settings.validation is None:
        raise InputError(f"patience {settings.patience} needs validation samples to measure on")
    for name, array in settings.extra.items():
        if len(array) != len(samples):
            raise InputError(
                f"extra '{name}' is {describe(array)} for {len(samples)} samples; it needs a row for each"
            )


def labels(samples: Samples) -> Array:
    """The samples' labels.

    Raises:
        InputError: they have none.
    """
    if samples.y is None:
        raise InputError("training needs labels: the data has x and no y")
    return samples.y
