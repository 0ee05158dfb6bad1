"""A watch that learns its wearer: personal models of people whom the federation never saw, against the global one."""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Samples, Trainer
from edge_runtime.tensors import Array
from examples import watch
from federated import federated_average
from federated.methods import Averaged, Memory, parse
from federated.personal import personalise
from federated.steps import Steps
from federated.update import Update

ROUNDS, SEEDS, UNSEEN, OWN = 25, 3, 3, 0.2
MOMENTUM, LR, PLAIN_LR = 0.9, 0.02, 0.03
METHODS = ("fedavg", "fedprox:mu=0.1", "scaffold", "reptile:rate=0.7", "per-fedavg:alpha=0.01")
PRIVATE = ("fedavg", "fedper:layers=1", "fedper:layers=2")


@dataclass(frozen=True, slots=True)
class People:
    """The people who take part, and those who come later."""

    part: dict[int, watch.Windows]
    later: dict[int, watch.Windows]


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        trainer, plain = (_trainer(Path(folder) / f"{m}.bundle", m) for m in (MOMENTUM, 0.0))
        for spec in METHODS:
            yield from _unseen(plain if spec == "scaffold" else trainer, spec)
        for spec in PRIVATE:
            yield _seen(trainer, spec)


def _trainer(path: Path, momentum: float) -> Trainer:
    network, example = watch.model()
    model = convert(network, example=example, trainable=True)
    return Trainer(pack_trainable(model, path, name="watch", momentum=momentum), threads=1)


def _unseen(trainer: Trainer, spec: str) -> Iterator[Case]:
    """People who did not take part: the global model, and what fine-tuning on a fifth of their data makes of it."""
    before, after, kept, alone = [], [], 0, []
    for seed in range(SEEDS):
        people = _people(seed)
        model, _ = _federate(trainer, parse(spec), people.part, seed)
        for person, windows in people.later.items():
            mine, rest = _divide(windows, seed)
            trainer.load(model)
            before.append(trainer.evaluate(rest.samples)["accuracy"])
            made = personalise(trainer, model, mine.samples, groups=mine.recording)
            kept += made.kept
            after.append(trainer.evaluate(rest.samples)["accuracy"])
            if spec == "fedavg":
                alone.append(_alone(trainer, person, mine.samples, rest.samples))
    gained = 100 * (np.asarray(after) - np.asarray(before))
    n, label = len(gained), f"watch/{spec}"
    note = f"global {np.mean(before):.1%}, personal {np.mean(after):.1%}; {kept} of {n} kept their own"
    goal = 7.0 if spec == "fedavg" else None
    yield Case(
        f"{label}: personal - global, unseen people", round(gained.mean(), 2), "pp", goal, "higher", n, note
    )
    worst = None if spec != "fedavg" else 0.0
    yield Case(f"{label}: the person who gained least", round(gained.min(), 2), "pp", worst, "higher", n)
    if alone:
        own = round(100 * float(np.mean(alone)), 2)
        yield Case("watch/alone: accuracy without a federation, same data", own, "%", None, "higher", n)


def _seen(trainer: Trainer, spec: str) -> Case:
    """People who take part with four fifths of their data: the average accuracy on what is left."""
    method, right = parse(spec), []
    for seed in range(SEEDS):
        people = {person: _divide(windows, seed, 0.8) for person, windows in _everybody().items()}
        sent, memories = _federate(trainer, method, {p: mine for p, (mine, _) in people.items()}, seed)
        for person, (_, rest) in people.items():
            trainer.load(method.weights(trainer, sent, memories[person]))
            right.append(trainer.evaluate(rest.samples)["accuracy"])
    note = f"least {100 * min(right):.1f}"
    mean = round(100 * float(np.mean(right)), 2)
    return Case(f"watch/{spec}: accuracy of those who took part", mean, "%", None, "higher", len(right), note)


def _federate(
    trainer: Trainer, method: Averaged, people: dict[int, watch.Windows], seed: int
) -> tuple[dict[str, Array], dict[int, Memory]]:
    """Rounds in which everybody takes part: what was sent last, and what each device kept."""
    trainer.load(_initial(trainer))
    sent = method.start(trainer)
    memories: dict[int, Memory] = {person: {} for person in people}
    for number in range(1, ROUNDS + 1):
        lr = LR if trainer.has_state else PLAIN_LR
        steps = Steps(number, epochs=1, batch_size=32, lr=lr, seed=seed)
        answers = [
            method.update(trainer, sent, windows.samples, steps, person, memories[person])
            for person, windows in people.items()
        ]
        average = federated_average(Update.of(each.parameters, each.num_examples) for each in answers)
        sent = method.merge(sent, average)
    return {name: array for name, array in sent.items() if name in trainer.parameters}, memories


def _initial(trainer: Trainer) -> dict[str, Array]:
    return Averaged().weights(trainer, {}, {})


def _alone(trainer: Trainer, person: int, mine: Samples, rest: Samples) -> float:
    """Accuracy of a model that saw this person's own windows and nobody else's."""
    trainer.load(_initial(trainer))
    trainer.fit(mine, epochs=100, batch_size=16, lr=0.005, seed=person)
    return trainer.evaluate(rest)["accuracy"]


@cache
def _everybody(step: int = watch.WINDOW) -> dict[int, watch.Windows]:
    """Each person's windows. Those that are judged do not overlap; those of who takes part do, which gives more."""
    windows = watch.load(step)
    return {int(person): windows.of(windows.person == person) for person in np.unique(windows.person)}


def _people(seed: int) -> People:
    everybody, more = _everybody(), _everybody(watch.WINDOW // 4)
    order: NDArray[np.int64] = np.random.default_rng(seed).permutation(sorted(everybody))
    later = {int(person) for person in order[:UNSEEN]}
    return People(
        {p: w for p, w in more.items() if p not in later},
        {p: w for p, w in everybody.items() if p in later},
    )


def _divide(windows: watch.Windows, seed: int, share: float = OWN) -> tuple[watch.Windows, watch.Windows]:
    """A person's own windows for learning, the same share of each recording, and the rest."""
    rng = np.random.default_rng(seed)
    mine = np.zeros(len(windows.person), bool)
    for recording in np.unique(windows.recording):
        places = rng.permutation(np.flatnonzero(windows.recording == recording))
        mine[places[: max(round(share * len(places)), 1)]] = True
    return windows.of(mine), windows.of(~mine)


if __name__ == "__main__":
    main(cases)
