"""A model of a device's own: the global one, trained a little further on the device, kept only where that helps.

Fine-tuning helps most people and hurts some, whose few samples say little of what comes next. So a device asks its
own data first, by cross-validation: each fold is judged by a model that did not see it. What is not better is not kept.

After the last round a coordinator may ask all devices to do so: each answers with what it found, and keeps its model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import methods, spec


@dataclass(frozen=True, slots=True)
class FineTune:
    """How to fine-tune: `folds` of the cross-validation, `margin` of right answers, of all, that it has to gain."""

    epochs: int = 20
    batch_size: int = 16
    lr: float = 0.005
    folds: int = 4
    margin: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.folds < 2 or not self.lr > 0:
            raise InputError(
                f"fine-tuning needs an epoch, a batch, two folds and a positive lr; got {self.epochs}, "
                f"{self.batch_size}, {self.folds} and {self.lr:g}"
            )


@dataclass(frozen=True, slots=True)
class Personal:
    """A device's weights; `kept` says whether they are its own; accuracies are those of the cross-validation."""

    parameters: Mapping[str, Array]
    kept: bool
    before: float
    after: float


def parse(text: str) -> FineTune:
    """How to fine-tune, as a setting has it: ``fine-tune:epochs=10,lr=0.01``.

    Raises:
        InputError: it is not that.
    """
    return spec.build(text, {"fine-tune": FineTune}, "personalise")


def after_last_round(
    trainer: Trainer,
    sent: Mapping[str, Array],
    samples: Samples,
    asked: Mapping[str, Any],
    own: Mapping[str, Array],
) -> dict[str, float]:
    """A device's own model from the last that was sent and the layers that never left it; the trainer has it then.

    Args:
        trainer: what learns.
        sent: the arrays that travel.
        samples: the device's own.
        asked: "method", of the run, and "personalise", as `parse` takes it.
        own: what the device keeps, by parameter.

    Returns:
        "num-examples", whether the fine-tuned model is "kept" (0 or 1), and the accuracy "before" and "after" by
        cross-validation; nothing but a 1 for the number where it is asked to be "quiet". With fewer samples than folds
        nothing can be judged: the model stays as it came.

    Raises:
        InputError: the weights or the samples do not fit the model.
        ModelError: training diverged.
    """
    how = parse(str(asked.get("personalise") or "fine-tune"))
    weights = methods.parse(str(asked.get("method") or "fedavg")).weights(trainer, sent, own)
    if len(samples) < how.folds:
        trainer.load(weights)
        right = trainer.evaluate(samples)["accuracy"]
        found = Personal(weights, kept=False, before=right, after=right)
    else:
        found = personalise(trainer, weights, samples, how)
        trainer.load(found.parameters)
    if asked.get("quiet"):
        return {"num-examples": 1}
    return {
        "num-examples": len(samples),
        "kept": int(found.kept),
        "before": float(found.before),
        "after": float(found.after),
    }


def personalise(
    trainer: Trainer,
    parameters: Mapping[str, Array],
    samples: Samples,
    how: FineTune | None = None,
    groups: Sequence[int] | NDArray[np.int64] | None = None,
) -> Personal:
    """Fine-tune on the device's own samples if its own samples say that this is better.

    Args:
        trainer: what learns; its weights are replaced.
        parameters: of the global model.
        samples: the device's own, with labels.
        how: steps and folds; None: the defaults.
        groups: int64[n], of which recording or day each sample is; samples of one group are alike, so they are dealt
            out to all folds, each getting its share.

    Returns:
        The personal weights, or those given.

    Raises:
        InputError: there are fewer samples than folds, or they do not fit or have no labels.
        ModelError: training diverged.
    """
    how = how or FineTune()
    if len(samples) < how.folds:
        raise InputError(
            f"{len(samples)} samples cannot be judged in {how.folds} folds; give more, or fewer folds"
        )
    folds = _folds(len(samples), how, groups)
    before = after = 0.0
    for fold in range(how.folds):
        held, rest = _take(samples, folds == fold), _take(samples, folds != fold)
        trainer.load(parameters)
        before += trainer.evaluate(held)["accuracy"] * len(held)
        _train(trainer, rest, how)
        after += trainer.evaluate(held)["accuracy"] * len(held)
    kept = after - before > how.margin * len(samples)
    trainer.load(parameters)
    if kept:
        _train(trainer, samples, how)
    return Personal(trainer.parameters, kept, before / len(samples), after / len(samples))


def _train(trainer: Trainer, samples: Samples, how: FineTune) -> None:
    trainer.fit(samples, epochs=how.epochs, batch_size=how.batch_size, lr=how.lr, seed=how.seed)


def _folds(n: int, how: FineTune, groups: Sequence[int] | NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The fold of each sample: dealt out group by group, in random order within each."""
    order = np.random.default_rng(how.seed).permutation(n)
    if groups is not None:
        order = order[np.argsort(np.asarray(groups)[order], kind="stable")]
    found = np.empty(n, np.int64)
    found[order] = np.arange(n) % how.folds
    return found


def _take(samples: Samples, chosen: NDArray[np.bool_]) -> Samples:
    if samples.y is None:
        raise InputError("fine-tuning needs labels: the data has x and no y")
    return Samples(samples.x[chosen], samples.y[chosen])
