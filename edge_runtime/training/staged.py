"""Train a bundle stage by stage: `head:3,all:2@0.005` is the new layer for three epochs, then all for two.

A number behind @ is that turn's own learning rate: a whole network that has learnt already wants a smaller one.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from edge_runtime.training import fitting
from edge_runtime.training.export import absorb
from edge_runtime.training.features import FeatureCache
from edge_runtime.training.heap import give_back
from edge_runtime.training.stages import Stage, find, select


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave: its stage and number, the mean loss, the accuracy on held-out data if there is any.

    `seconds` is the time that training took, without the test. Epoch 0 is the model as it came, with its loss on the
    held-out data.
    """

    stage: str
    epoch: int
    loss: float
    accuracy: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Turn:
    """A stage by name, for how many epochs, and at its own learning rate unless that is None."""

    stage: str
    epochs: int
    lr: float | None = None


def parse_plan(text: str) -> list[Turn]:
    """Read ``head:3,all:2@0.005``: turns in their order; a stage may come again.

    Raises:
        InputError: it is not of that form.
    """
    plan = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([\w-]+)\s*:\s*(\d+)\s*(?:@\s*(\d*\.?\d+(?:e-?\d+)?))?\s*", part)
        if match is None:
            raise InputError(
                f"stages '{text}': expected stages and epochs, such as head:3,all:2 or head:3,all:2@0.005"
            )
        plan.append(Turn(match[1], int(match[2]), float(match[3]) if match[3] else None))
    return plan


def train(
    bundle: Bundle,
    samples: Samples,
    plan: Sequence[Turn],
    *,
    test: Samples | None = None,
    lr: float = 0.05,
    batch_size: int = 32,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    threads: int = 0,
    progress: bool = False,
    report: Callable[[Epoch], None] | None = None,
) -> tuple[Bundle, list[Epoch]]:
    """Train the stages of a bundle in the order of a plan.

    Args:
        bundle: with a training step; see `edge_runtime.training.stages`.
        samples: x as the whole model takes it, y its labels.
        plan: the turns.
        test: what the accuracy is measured on after each epoch.
        lr: learning rate of turns that have none of their own.
        batch_size: samples a step.
        seed: of the shuffling.
        cache: a file for the features of stages that learn on them; see `FeatureCache`.
        checkpoint: a file beside which each stage keeps how far it has come; where there is one, it goes on from it.
        threads: threads within an operator; 0 lets the engine choose.
        progress: draw bars on a terminal.
        report: called after each epoch.

    Returns:
        The bundle with what was learnt, whose files are made when they are read, and the epochs.

    Raises:
        InputError: the samples do not fit, or the bundle has no such stage.
        BundleError: the bundle is damaged or cannot be trained.
        ModelError: training diverged.
    """
    steps = [(find(bundle, turn.stage), turn) for turn in plan]
    course = _Course(samples, test, lr, batch_size, seed, cache, checkpoint, threads, progress, report)
    learnt: dict[str, Array] = {}
    now = bundle
    for number, (stage, turn) in enumerate(steps):
        learnt |= course.run(now, stage, turn, number)
        give_back()  # the memory of this step, before the next one or the bundle wants it
        now = absorb(bundle, learnt)
    return now, course.history


@dataclass(slots=True)
class _Course:
    """What all stages share, as `train` was asked for it, and what has been noted."""

    samples: Samples
    test: Samples | None
    lr: float
    batch_size: int
    seed: int
    cache: str | os.PathLike[str] | None
    checkpoint: str | os.PathLike[str] | None
    threads: int
    progress: bool
    report: Callable[[Epoch], None] | None
    history: list[Epoch] = field(default_factory=list)

    def run(self, bundle: Bundle, stage: Stage, turn: Turn, number: int) -> dict[str, Array]:
        """Train one stage; nothing of it stays in memory but the parameters."""
        seen = self._inputs(bundle, stage, self.samples, self.cache)
        held = self._inputs(bundle, stage, self.test, _beside(self.cache, "test"))
        trainer = Trainer(select(bundle, stage), threads=self.threads)
        note = _Note(trainer, stage.name, held, self.history, self.report)
        kept = note.begin(_beside(self.checkpoint, str(number)))
        losses = trainer.fit(
            seen or self.samples,
            epochs=turn.epochs,
            batch_size=self.batch_size,
            lr=self.lr if turn.lr is None else turn.lr,
            seed=self.seed + number,
            progress=self.progress,
            checkpoint=kept,
            on_epoch=note,
        )
        note.end(losses)
        return trainer.release()

    def _inputs(
        self, bundle: Bundle, stage: Stage, samples: Samples | None, file: str | os.PathLike[str] | None
    ) -> Samples | None:
        """What the stage learns on: the samples, or the features that the backbone gives for them."""
        if samples is None or stage.backbone is None:
            return samples
        return FeatureCache(bundle, samples, file, threads=self.threads, progress=self.progress).samples


@dataclass(slots=True)
class _Note:
    """What is noted of one stage. Called after each epoch, it measures it, and times the next one from there."""

    trainer: Trainer
    stage: str
    held: Samples | None
    history: list[Epoch]
    report: Callable[[Epoch], None] | None
    began: float = 0.0
    last: Epoch | None = None

    def begin(self, checkpoint: Path | None) -> Path | None:
        """Measure the model as it came if this is the first stage, and go on from the checkpoint if there is one."""
        if self.held is not None and not self.history:
            found = self.trainer.evaluate(self.held)
            self.history.append(Epoch(self.stage, 0, found["loss"], found.get("accuracy"), 0.0))
        if checkpoint is not None and checkpoint.exists():
            self.trainer.restore(checkpoint)
        self.began = time.perf_counter()
        return checkpoint

    def end(self, losses: Sequence[float]) -> None:
        """Note the last epoch if none was trained here, as a checkpoint held the whole stage."""
        if losses and self.last is None:
            self(fitting.Epoch(len(losses), losses[-1], 0.0))

    def __call__(self, done: fitting.Epoch) -> None:
        spent = round(time.perf_counter() - self.began, 4)
        accuracy = None if self.held is None else self.trainer.evaluate(self.held).get("accuracy")
        self.last = Epoch(self.stage, done.number, done.loss, accuracy, spent)
        self.history.append(self.last)
        if self.report is not None:
            self.report(self.last)
        self.began = time.perf_counter()


def hold_out(samples: Samples, share: float, seed: int = 0) -> tuple[Samples, Samples]:
    """Two parts at random: what to train on, and a `share` of the samples to test on.

    Raises:
        InputError: one of the parts would be empty, or there are no labels.
    """
    if samples.y is None:
        raise InputError("training needs labels: the data has x and no y")
    count = round(len(samples) * share)
    if not 0 < count < len(samples):
        raise InputError(
            f"a holdout of {share:g} of {len(samples)} samples leaves one part empty; give --test"
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    tested, trained = order[:count], order[count:]
    return _part(samples, trained), _part(samples, tested)


def _part(samples: Samples, rows: Array) -> Samples:
    extra = {name: array[rows] for name, array in samples.extra.items()}
    return replace(samples, x=samples.x[rows], y=None if samples.y is None else samples.y[rows], extra=extra)


def together(first: Samples, second: Samples) -> Samples:
    """Both, one behind the other: new data and a memory set, to be trained jointly.

    Raises:
        InputError: they differ in type or shape, or one has no labels.
    """
    if first.y is None or second.y is None:
        raise InputError("training needs labels: the data has x and no y")
    if first.x.dtype != second.x.dtype or first.x.shape[1:] != second.x.shape[1:]:
        raise InputError(
            f"the memory holds {second.x.dtype}{list(second.x.shape[1:])} samples, "
            f"the data {first.x.dtype}{list(first.x.shape[1:])}"
        )
    x, y = np.concatenate([first.x, second.x]), np.concatenate([first.y, second.y])
    both = [name for name in first.extra if name in second.extra]
    extra = {name: np.concatenate([first.extra[name], second.extra[name]]) for name in both}
    return Samples(x, y, first.names, extra)


def _beside(path: str | os.PathLike[str] | None, what: str) -> Path | None:
    """``features-test.npy`` for ``features.npy``."""
    if path is None:
        return None
    return Path(path).with_name(f"{Path(path).stem}-{what}{Path(path).suffix}")


def forget_checkpoints(path: str | os.PathLike[str], plan: Sequence[Turn]) -> None:
    """Remove the files that `train` wrote at `checkpoint`: they are of no use once the bundle is written."""
    for number in range(len(plan)):
        kept = _beside(path, str(number))
        if kept is not None:
            kept.unlink(missing_ok=True)
