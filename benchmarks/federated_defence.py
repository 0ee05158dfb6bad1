"""A fifth of the devices hostile: what federated averaging loses, what a defence loses, and whom it sets aside.

20 devices with 4,000 digits, Dirichlet 0.5, 20 rounds, 4 of the devices hostile in every round. The loss is against
federated averaging without attackers. Each run is cached under what it follows from.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Samples, Trainer
from edge_runtime.errors import ModelError
from edge_runtime.files import cache_dir, write_text
from examples import digits
from federated import partition
from federated.local import client_update
from federated.robust import DEFAULT, Submission, parse
from federated.robust.attacks import ATTACKS, Attack, patched, poison_data, poison_update
from federated.robust.rule import RULES
from federated.robust.submission import changed, flatten
from federated.steps import Steps

VERSION = 2  # of what is below: what was cached with another one is not used
DEVICES, HOSTILE, ROUNDS, SEEDS, LAST = 20, 4, 20, 2, 3
STRENGTH: dict[Attack, float] = {
    "label-flip": 1.0,
    "sign-flip": 3.0,
    "scaling": 30.0,
    "backdoor": 5.0,
    "gaussian": 100.0,
}
HARDEST: tuple[Attack, ...] = ("label-flip", "sign-flip", "backdoor")  # for the other rules
TARGET = 0  # what the backdoor says


@dataclass(frozen=True, slots=True)
class Run:
    """One run: accuracy over the last rounds, the backdoor's success, and devices set aside, right and wrong."""

    accuracy: float
    backdoor: float
    caught: float  # of the hostile devices' submissions, set aside
    wronged: float  # of the honest ones'
    right: float  # of those set aside, hostile


def cases() -> Iterator[Case]:
    clean = [run("mean", None, seed).accuracy for seed in range(SEEDS)]
    yield Case("clean/mean: accuracy", round(float(np.mean(clean)), 4), "", None, "higher", SEEDS)
    yield from _attacked("mean", clean, None)
    yield _loss(DEFAULT, None, clean, 2.0)
    yield _part("no attack", "wronged", "lower", 0.1, "honest submissions set aside")
    yield from _attacked(DEFAULT, clean, 2.0)
    for attack in ATTACKS:
        yield _part(attack, "caught", "higher", 0.9, "hostile submissions set aside (recall)")
        yield _part(attack, "right", "higher", 0.8, "of those set aside, hostile (precision)")
    for name in sorted(RULES.keys() - {"mean", DEFAULT}):
        losses = {attack: 100 * (clean[0] - run(name, attack, 0).accuracy) for attack in HARDEST}
        worst = max(losses, key=lambda attack: losses[attack])
        door = run(name, "backdoor", 0).backdoor
        note = f"worst under {worst}; backdoor succeeds {door:.0%}"
        yield Case(
            f"worst of {len(HARDEST)}/{name}: loss", round(losses[worst], 2), "pp", None, "lower", 1, note
        )


def _attacked(rule: str, clean: list[float], goal: float | None) -> Iterator[Case]:
    for attack in ATTACKS:
        yield _loss(rule, attack, clean, goal)
    found = [run(rule, "backdoor", seed).backdoor for seed in range(SEEDS)]
    worst = round(float(np.max(found)), 3)
    note = "patched pictures called the attacker's class; 1 % without attack"
    yield Case(f"backdoor/{rule}: success", worst, "", 0.05 if goal else None, "lower", SEEDS, note)


def _loss(rule: str, attack: Attack | None, clean: list[float], goal: float | None) -> Case:
    losses = [100 * (best - run(rule, attack, seed).accuracy) for seed, best in enumerate(clean)]
    note = "by seed " + ", ".join(f"{loss:.1f}" for loss in losses)
    name = f"{attack or 'no attack'}/{rule}: loss"
    return Case(name, round(float(np.mean(losses)), 2), "pp", goal, "lower", SEEDS, note)


def _part(attack: str, field: str, better: str, goal: float, what: str) -> Case:
    kind = None if attack == "no attack" else attack
    found = [getattr(run(DEFAULT, kind, seed), field) for seed in range(SEEDS)]
    return Case(
        f"{attack}/{DEFAULT}: {field}", round(float(np.mean(found)), 3), "", goal, better, SEEDS, what
    )


@cache
def run(rule: str, attack: Attack | None, seed: int) -> Run:
    """One run, from the cache if it is there."""
    key = {"version": VERSION, "rule": repr(parse(rule)), "attack": attack, "seed": seed, "rounds": ROUNDS}
    key["strength"] = STRENGTH[attack] if attack else None
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_dir() / "benchmarks" / "federated_defence" / f"{name}.json"
    if path.is_file():
        return Run(**json.loads(path.read_text("utf-8")))
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _play(rule, attack, seed)
    write_text(path, json.dumps(asdict(found)))
    return found


def _play(rule_text: str, attack: Attack | None, seed: int) -> Run:
    rule, (train, test) = parse(rule_text), digits.load()
    labels = np.asarray(train.y)
    trainer, begin = _trainer()
    parts = partition.dirichlet(labels, DEVICES, 0.5, seed)
    chosen = (
        np.random.default_rng(seed + 1).choice(DEVICES, HOSTILE, replace=False).tolist() if attack else []
    )
    memory: dict[int, float] = {}
    weights, accuracies, caught, wronged = begin, [], 0, 0
    for number in range(1, ROUNDS + 1):
        base = flatten(weights)
        submissions = []
        for k in range(DEVICES):
            mine = Samples(train.x[parts[k]], labels[parts[k]])
            sent = _sent(trainer, weights, base, mine, number, k, seed, attack if k in chosen else None)
            if np.isfinite(sent).all():  # what is not, is screened before any rule
                submissions.append(Submission(k, sent, len(mine)))
        outcome = rule(submissions, memory)
        memory, aside = dict(outcome.memory), outcome.set_aside.keys()
        caught, wronged = caught + len(aside & set(chosen)), wronged + len(aside - set(chosen))
        weights = changed(weights, outcome.delta)
        trainer.load(weights)
        accuracies.append(float(trainer.evaluate(test)["accuracy"]))
    others = test.y != TARGET
    success = float((trainer.predict(patched(test.x[others])).argmax(1) == TARGET).mean())
    return Run(
        float(np.mean(accuracies[-LAST:])),
        success,
        caught / max(1, ROUNDS * len(chosen)),
        wronged / (ROUNDS * (DEVICES - len(chosen))),
        caught / max(1, caught + wronged),
    )


def _sent(
    trainer: Trainer,
    weights: Any,
    base: Any,
    mine: Samples,
    number: int,
    k: int,
    seed: int,
    attack: Attack | None,
) -> Any:
    """What device `k` sends: its change, or what the attack makes of it."""
    data = poison_data(attack, mine, 10, k, TARGET) if attack else mine
    try:
        learned = client_update(trainer, weights, data, Steps(number, 1, 32, 0.1, seed), k)
    except ModelError:  # an attacked model may make training diverge
        return np.full_like(base, np.nan)
    delta = flatten(learned.parameters) - base
    return poison_update(attack, delta, 1000 * number + k, STRENGTH[attack]) if attack else delta


def network() -> tuple[Any, Any]:
    """Two convolutions and two dense layers for the digits (52,266 weights), not trained, and an example."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = nn.Sequential(
        *(nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    return layers.eval(), (torch.zeros(1, 1, 28, 28),)


@cache
def _trainer() -> tuple[Trainer, Any]:
    found, example = network()
    model = convert(found, example=example, trainable=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pack_trainable(model, Path(folder) / "digits.bundle", name="digits"), threads=1)
    return trainer, trainer.parameters


if __name__ == "__main__":
    main(cases)
