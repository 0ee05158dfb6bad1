"""Rounds that federated averaging takes to an accuracy, against synchronous SGD: one step of all devices a round.

Both sides use plain SGD on the same network, digits and devices, and for each accuracy the best of their learning
rates counts. McMahan et al. 2017 have 10 to 100 times fewer rounds.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.federated_codecs import pack
from benchmarks.harness import ROOT, Case, main
from edge_runtime import Samples, Trainer
from edge_runtime.errors import ModelError
from edge_runtime.files import atomic
from edge_runtime.tensors import Array
from examples import digits
from federated import dirichlet, federated_average
from federated.local import client_update
from federated.steps import Steps
from federated.update import Update

DEVICES, ALPHA, TRAINED_ON = 20, 0.3, 2000
LEVELS = (0.8, 0.85, 0.88, 0.9)
EPOCHS, BATCH, LRS, MOST = 5, 10, (0.05, 0.1, 0.2), 30
SYNCHRONOUS_LRS, SYNCHRONOUS_MOST = (0.1, 0.2, 0.3), 300
PICTURE = ROOT / "docs" / "pictures" / "federated_rounds.png"
Curve = list[float]
"""The accuracy after each round, up to the one that reached the highest level."""


def cases() -> Iterator[Case]:
    train, test = digits.load()
    labels = np.asarray(train.y)[:TRAINED_ON]
    parts = [Samples(train.x[k], labels[k]) for k in dirichlet(labels, DEVICES, ALPHA, 0)]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pack("digits", Path(folder) / "d.bundle"), threads=1)
        begin = trainer.parameters
        averaging = {lr: _averaging(trainer, begin, parts, test, lr) for lr in LRS}
        synchronous = {lr: _synchronous(trainer, begin, parts, test, lr) for lr in SYNCHRONOUS_LRS}
    about = f"held-out digits; {DEVICES} devices, Dirichlet {ALPHA}"
    for level in LEVELS:
        ours, lr = _rounds(averaging, level)
        theirs, rate = _rounds(synchronous, level)
        note = f"to {level:.0%} of {len(test)} {about}; {EPOCHS} epochs of {BATCH}, learning rate {lr:g}"
        yield Case(f"{level:.0%}/fedavg", ours, "rounds", None, "lower", len(LRS), note)
        note, seen = f"learning rate {rate:g}", len(SYNCHRONOUS_LRS)
        if theirs is None:
            note = f"not reached in {SYNCHRONOUS_MOST} rounds with {SYNCHRONOUS_LRS}"
        yield Case(f"{level:.0%}/synchronous SGD", theirs, "rounds", None, "lower", seen, note)
        ratio = (theirs or SYNCHRONOUS_MOST) / ours if ours else None
        note = "times as many rounds" if theirs else "times as many rounds, at least"
        value = None if ratio is None else round(ratio, 1)
        yield Case(f"{level:.0%}/synchronous SGD / fedavg", value, "x", 10, "higher", 1, note)
    _draw(averaging, synchronous)


def _rounds(curves: Mapping[float, Curve], level: float) -> tuple[int | None, float]:
    """The fewest rounds to an accuracy, and the learning rate that took them; None if none came there."""
    found = [
        (next(k for k, accuracy in enumerate(curve, 1) if accuracy >= level), lr)
        for lr, curve in curves.items()
        if max(curve, default=0.0) >= level
    ]
    return min(found, default=(None, 0.0))


def _averaging(
    trainer: Trainer, begin: dict[str, Array], parts: Sequence[Samples], test: Samples, lr: float
) -> Curve:
    model, curve = begin, Curve()
    while len(curve) < MOST and max(curve, default=0.0) < LEVELS[-1]:
        steps = Steps(len(curve) + 1, EPOCHS, BATCH, lr, 0)
        answers = [client_update(trainer, model, part, steps, k) for k, part in enumerate(parts)]
        model = federated_average(Update.of(each.parameters, each.num_examples) for each in answers)
        trainer.load(model)
        curve.append(trainer.evaluate(test)["accuracy"])
    return curve


def _synchronous(
    trainer: Trainer, begin: dict[str, Array], parts: Sequence[Samples], test: Samples, lr: float
) -> Curve:
    """Federated SGD of McMahan et al. 2017: each device gives the gradient of all that it has.

    The average of those, by n_k / n, is the gradient over all samples, so one step on all of them is the same.
    """
    x, y = (np.concatenate([np.asarray(getattr(part, name)) for part in parts]) for name in ("x", "y"))
    trainer.load(begin)
    curve = Curve()
    while len(curve) < SYNCHRONOUS_MOST and max(curve, default=0.0) < LEVELS[-1]:
        trainer.step(x, y, lr)
        try:
            curve.append(trainer.evaluate(test)["accuracy"])
        except ModelError:  # the loss is no number
            break
    return curve


def _draw(averaging: Mapping[float, Curve], synchronous: Mapping[float, Curve]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, curves, colour in (
        ("federated averaging", averaging, "tab:blue"),
        ("synchronous SGD", synchronous, "tab:orange"),
    ):
        for (lr, curve), style in zip(curves.items(), ("-", "--", ":"), strict=False):
            label = f"{name}, learning rate {lr:g}"
            axes.plot(range(1, len(curve) + 1), curve, style, color=colour, label=label)
    for level in LEVELS:
        axes.axhline(level, color="grey", linewidth=0.5)
    axes.set(xscale="log", xlabel="rounds", ylabel="accuracy on held-out digits", ylim=(0, 1))
    figure.legend(loc="outside right upper", fontsize="small")
    with atomic(PICTURE) as partial:
        figure.savefig(partial, format="png", dpi=110)


if __name__ == "__main__":
    main(cases)
