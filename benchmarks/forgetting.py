"""Split digits: 0 to 4, then 5 to 9. What each method keeps of the first task, and learns of the second."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
EPOCHS, BATCH, LR, REMEMBERED = 15, 32, 0.03, 100


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


def cases() -> Iterator[Case]:
    train, test = digits.load()
    parts = [_only(train, classes) for classes in (FIRST, SECOND)]
    model = convert("examples.digits:model", trainable=True)
    with tempfile.TemporaryDirectory() as folder:
        plain = pack_trainable(model, Path(folder) / "plain", name="digits", gradients=True)
        distilled = pack_trainable(model, Path(folder) / "distilled", name="digits", loss=OldAndNew())
        before = _run(plain, Plain(), parts[:1], test).old
        yield Case(
            "before the second task: old digits", round(before, 4), "accuracy", None, "higher", len(test) // 2
        )
        for name, make in METHODS.items():
            kept = _run(distilled if name == "LwF" else plain, make(), parts, test)
            yield from _cases(name, kept, before, len(test))
        yield from _cases("both at once", _joint(plain, train, test), before, len(test))


METHODS: dict[str, Callable[[], Method]] = {
    "fine-tuning": Plain,
    "EWC": lambda: Ewc(strength=300.0),
    "SI": lambda: SynapticIntelligence(strength=0.3),
    "LwF": lambda: LearningWithoutForgetting(threads=1),
    "GEM": lambda: Gem(per_task=REMEMBERED, margin=0.5),
    "A-GEM": lambda: AveragedGem(Memory(REMEMBERED)),
    "replay": lambda: Replay(Memory(REMEMBERED)),
}


def _run(bundle: Bundle, method: Method, parts: list[Samples], test: Samples) -> Kept:
    trainer = Trainer(bundle, threads=1)
    for number, samples in enumerate(parts):
        learn(trainer, samples, method, epochs=EPOCHS, batch_size=BATCH, lr=LR, seed=number)
        method.consolidate(trainer, samples)
    return _measure(trainer, test)


def _joint(bundle: Bundle, train: Samples, test: Samples) -> Kept:
    trainer = Trainer(bundle, threads=1)
    learn(trainer, train, Plain(), epochs=EPOCHS, batch_size=BATCH, lr=LR)
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


def _cases(name: str, kept: Kept, before: float, n: int) -> Iterator[Case]:
    """Two cases: told the task, where 95 % of what was known should be left, and among all ten classes."""
    goal = None if name == "fine-tuning" else round(0.95 * before, 4)
    note = f"new digits {kept.new:.3f}"
    yield Case(
        f"{name}: old digits, told the task", round(kept.old, 4), "accuracy", goal, "higher", n // 2, note
    )
    goal = 0.8 if name in ("GEM", "replay") else None
    note = f"old digits {kept.single_old:.3f}, new digits {kept.single_new:.3f}"
    yield Case(
        f"{name}: all digits, among all ten", round(kept.single, 4), "accuracy", goal, "higher", n, note
    )


def _only(samples: Samples, classes: tuple[int, ...]) -> Samples:
    labels = np.asarray(samples.y)
    chosen = np.isin(labels, classes)
    return Samples(samples.x[chosen], labels[chosen])


if __name__ == "__main__":
    main(cases)
