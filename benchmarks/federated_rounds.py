"""Rounds that federated averaging takes to an accuracy, against synchronous SGD: one step of all devices a round."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Samples, Trainer
from edge_runtime.tensors import Array
from examples import digits
from federated import dirichlet, federated_average
from federated.local import Steps, client_update
from federated.update import Update

DEVICES, ALPHA, WANTED, MOST = 20, 0.3, 0.9, 600
EPOCHS, BATCH, LR = 5, 10, 0.05
SGD_LRS = (0.1, 0.3)  # the best of them counts


def cases() -> Iterator[Case]:
    train, test = digits.load()
    labels = np.asarray(train.y)
    parts = [Samples(train.x[k], labels[k]) for k in dirichlet(labels, DEVICES, ALPHA, 0)]
    network, example = digits.model()
    with tempfile.TemporaryDirectory() as folder:
        bundle = pack_trainable(
            convert(network, example=example, trainable=True), Path(folder) / "d.bundle", name="d"
        )
        trainer = Trainer(bundle, threads=1)
        begin = trainer.parameters
        averaging = _averaging(trainer, begin, parts, test)
        found = {lr: _synchronous(trainer, begin, parts, test, lr) for lr in SGD_LRS}
    least = min(found.values())
    wanted = f"{WANTED:.0%} on {len(test)} held-out digits; {DEVICES} devices, Dirichlet {ALPHA}"
    yield Case(
        "rounds/fedavg", averaging, "rounds", None, "lower", 1, f"{EPOCHS} epochs of {BATCH}; to {wanted}"
    )
    for lr, rounds in found.items():
        short = "" if rounds < MOST else "; not reached"
        yield Case(
            f"rounds/synchronous-sgd lr {lr:g}", rounds, "rounds", None, "lower", 1, f"to {wanted}{short}"
        )
    note = "the best learning rate of synchronous SGD" + ("" if least < MOST else ", which did not get there")
    yield Case("rounds/synchronous-sgd / fedavg", round(least / averaging, 1), "x", 10.0, "higher", 1, note)


def _averaging(trainer: Trainer, begin: dict[str, Array], parts: list[Samples], test: Samples) -> int:
    model = begin
    for number in range(1, MOST + 1):
        steps = Steps(number, EPOCHS, BATCH, LR, 0)
        answers = [client_update(trainer, model, part, steps, k) for k, part in enumerate(parts)]
        model = federated_average(Update.of(each.parameters, each.num_examples) for each in answers)
        if _good(trainer, model, test):
            return number
    return MOST


def _synchronous(
    trainer: Trainer, begin: dict[str, Array], parts: list[Samples], test: Samples, lr: float
) -> int:
    """Federated SGD of McMahan et al. 2017: each device gives the gradient of all that it has.

    The average of those, by n_k / n, is the gradient over all samples, so one step on all of them is the same.
    """
    x, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y"))
    trainer.load(begin)
    for number in range(1, MOST + 1):
        trainer.step(x, y, lr)
        if number % 5 == 0 and trainer.evaluate(test)["accuracy"] >= WANTED:
            return number
    return MOST


def _good(trainer: Trainer, model: dict[str, Array], test: Samples) -> bool:
    trainer.load(model)
    return trainer.evaluate(test)["accuracy"] >= WANTED


if __name__ == "__main__":
    main(cases)
