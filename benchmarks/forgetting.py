"""Split digits: 0 to 4, then 5 to 9. What each method keeps of the first task, and learns of the second.

The mean of five runs, which differ in the first weights, the shuffling and what is remembered, and its standard
deviation. Strengths are chosen beforehand, on a part of the training digits that is then trained on too.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from converter.transfer import OldAndNew
from edge_runtime import Bundle, Samples, Trainer
from edge_runtime.continual import (
    AveragedGem,
    Ewc,
    Gem,
    LearningWithoutForgetting,
    Memory,
    Method,
    Plain,
    Replay,
    SynapticIntelligence,
    learn,
)
from edge_runtime.tensors import Array
from examples import digits

FIRST, SECOND = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
EPOCHS, BATCH, LR, REMEMBERED, SEEDS = 6, 32, 0.06, 100, 5


@dataclass(frozen=True, slots=True)
class Kept:
    """Accuracy after the second task.

    `old` and `new` are told which task a digit is of, and choose among its five classes; `single_old`, `single_new` and
    `single` (all digits) choose among all ten.
    """

    old: float
    new: float
    single_old: float
    single_new: float
    single: float


@dataclass(frozen=True, slots=True)
class Tried:
    """A method from its strength and a seed, and the strengths to choose among."""

    make: Callable[[float, int], Method]
    strengths: tuple[float, ...] = (0.0,)


METHODS = {
    "fine-tuning": Tried(lambda *_: Plain()),
    "EWC": Tried(lambda strength, _: Ewc(strength), (10.0, 30.0, 100.0, 300.0)),
    "SI": Tried(lambda strength, _: SynapticIntelligence(strength), (0.01, 0.03, 0.1, 0.3)),
    "LwF": Tried(lambda *_: LearningWithoutForgetting(threads=1)),
    "GEM": Tried(lambda margin, seed: Gem(REMEMBERED, margin, seed), (0.0, 0.5)),
    "A-GEM": Tried(lambda _, seed: AveragedGem(Memory(REMEMBERED, seed))),
    "replay": Tried(lambda _, seed: Replay(Memory(REMEMBERED, seed))),
}


def cases() -> Iterator[Case]:
    train, test = digits.load()
    with tempfile.TemporaryDirectory() as folder:
        bundles = [_bundles(Path(folder), seed) for seed in range(SEEDS)]
        before = [
            _run(plain, Plain(), _tasks(train)[:1], test, seed).old for seed, (plain, _) in enumerate(bundles)
        ]
        n = SEEDS * len(test) // 2
        note = f"±{np.std(before):.4f}"
        yield Case("before the second task: old digits", _mean(before), "accuracy", None, "higher", n, note)
        for name, tried in METHODS.items():
            chosen = _chosen(name, tried, bundles[0], train)
            kept = [
                _run(pair[name == "LwF"], tried.make(chosen, seed), _tasks(train), test, seed)
                for seed, pair in enumerate(bundles)
            ]
            note = f"strength {chosen:g}; " if len(tried.strengths) > 1 else ""
            yield from _cases(name, kept, _mean(before), len(test), note)
        joint = [_joint(plain, train, test, seed) for seed, (plain, _) in enumerate(bundles)]
        yield from _cases("both at once", joint, _mean(before), len(test), "")


def _bundles(folder: Path, seed: int) -> tuple[Bundle, Bundle]:
    """A network with weights of its own, packed as it is and with the loss of learning without forgetting."""
    module, example = digits.model(seed)
    model = convert(module, example=example, trainable=True)
    plain = pack_trainable(model, folder / f"plain{seed}", name="digits", gradients=True)
    return plain, pack_trainable(model, folder / f"distilled{seed}", name="digits", loss=OldAndNew())


def _chosen(name: str, tried: Tried, bundles: tuple[Bundle, Bundle], train: Samples) -> float:
    """The strength that is best on a fifth of the training digits: by the mean of old, new and all among ten."""
    if len(tried.strengths) == 1:
        return tried.strengths[0]
    cut = len(train) * 4 // 5
    seen, held = (
        Samples(train.x[part], np.asarray(train.y)[part]) for part in (slice(cut), slice(cut, None))
    )

    def score(strength: float) -> float:
        kept = _run(bundles[name == "LwF"], tried.make(strength, 0), _tasks(seen), held, 0)
        return kept.old + kept.new + kept.single

    return max(tried.strengths, key=score)


def _tasks(samples: Samples) -> list[Samples]:
    return [_only(samples, classes) for classes in (FIRST, SECOND)]


def _run(bundle: Bundle, method: Method, tasks: list[Samples], test: Samples, seed: int) -> Kept:
    trainer = Trainer(bundle, threads=1)
    for number, samples in enumerate(tasks):
        learn(trainer, samples, method, epochs=EPOCHS, batch_size=BATCH, lr=LR, seed=2 * seed + number)
        method.consolidate(trainer, samples)
    return _measure(trainer, test)


def _joint(bundle: Bundle, train: Samples, test: Samples, seed: int) -> Kept:
    trainer = Trainer(bundle, threads=1)
    learn(trainer, train, Plain(), epochs=EPOCHS, batch_size=BATCH, lr=LR, seed=seed)
    return _measure(trainer, test)


def _measure(trainer: Trainer, test: Samples) -> Kept:
    logits, labels = trainer.predict(test.x), np.asarray(test.y)
    right = logits.argmax(1) == labels
    tasks = [np.isin(labels, classes) for classes in (FIRST, SECOND)]
    told = [_among(logits, classes) == labels for classes in (FIRST, SECOND)]
    old, new = (float(answers[task].mean()) for answers, task in zip(told, tasks, strict=True))
    single_old, single_new = (float(right[task].mean()) for task in tasks)
    return Kept(old, new, single_old, single_new, float(right.mean()))


def _among(logits: Array, classes: tuple[int, ...]) -> Array:
    """The best of some of the classes."""
    best: Array = np.array(classes)[logits[:, list(classes)].argmax(1)]
    return best


def _cases(name: str, kept: list[Kept], before: float, n: int, note: str) -> Iterator[Case]:
    """Two cases: told the task, where 95 % of what was known should be left, and among all ten classes."""
    found = {f.name: [float(getattr(k, f.name)) for k in kept] for f in fields(Kept)}
    goal = None if name == "fine-tuning" else round(0.95 * before, 4)
    told = f"{note}±{np.std(found['old']):.4f}; new digits {_mean(found['new']):.3f}"
    runs = len(kept)
    yield Case(
        f"{name}: old digits, told the task",
        _mean(found["old"]),
        "accuracy",
        goal,
        "higher",
        runs * n // 2,
        told,
    )
    goal = 0.8 if name in ("GEM", "replay") else None
    single = (
        f"{note}±{np.std(found['single']):.4f}; old digits {_mean(found['single_old']):.3f}, "
        f"new digits {_mean(found['single_new']):.3f}"
    )
    yield Case(
        f"{name}: all digits, among all ten",
        _mean(found["single"]),
        "accuracy",
        goal,
        "higher",
        runs * n,
        single,
    )


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def _only(samples: Samples, classes: tuple[int, ...]) -> Samples:
    labels = np.asarray(samples.y)
    chosen = np.isin(labels, classes)
    return Samples(samples.x[chosen], labels[chosen])


if __name__ == "__main__":
    main(cases)
