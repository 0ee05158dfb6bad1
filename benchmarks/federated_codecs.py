"""Update codecs: bytes of all updates of a federated run, and accuracy lost, against whole float32 weights.

Each run is cached under what it follows from, so an interrupted benchmark goes on where it stopped.
"""

import hashlib
import importlib.util
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Samples, Trainer
from edge_runtime.bundle import Bundle
from edge_runtime.console import say
from edge_runtime.errors import ModelError
from edge_runtime.files import cache_dir, write_text
from edge_runtime.tensors import Array
from examples import digits, watch
from federated import codecs, dirichlet, federated_average, sample_clients
from federated.codecs.codec import Context
from federated.codecs.downlink import apply, difference, publish
from federated.codecs.signsgd import Vote
from federated.local import client_update
from federated.steps import Steps
from federated.update import Update

VERSION = 1  # of the training below: what was cached with another one is not used
SEEDS = range(3)
MANY = {"digits": range(12), "watch": range(12), "million": SEEDS}  # for the settings that have a goal
FULL = ""  # no codec: whole float32 weights
CODECS = {
    "lossless": "lossless",
    "half": "half",
    "QSGD 8 bit": "qsgd:bits=8,norm=max",
    "QSGD 4 bit": "qsgd:bits=4,norm=max",
    "QSGD 2 bit": "qsgd:bits=2,norm=max",
    "QSGD 1 bit": "qsgd:bits=1,norm=max",
    "QSGD L2, bucket 512": "qsgd:norm=l2",
    "TernGrad": "terngrad",
    "sign": "sign",
    "sign + feedback": "feedback(sign)",
    "SignSGD vote": "vote:step=0.002",
    "DRIVE": "drive",
    "EDEN 2 bit": "drive:bits=2",
    "EDEN 1/4 bit": "mask:fraction=0.25(drive)",
    "top-k 1 %": "topk",
    "top-k 1 % + feedback": "feedback(topk)",
    "top-k 5 %, 4 bit + feedback": "feedback(topk:fraction=0.05(qsgd:bits=4,norm=max))",
    "threshold + feedback": "feedback(threshold)",
    "mask 10 %": "mask",
    "PowerSGD rank 4 + feedback": "feedback(lowrank)",
    "low rank 16, seeded": "lowrank:rank=16,basis=seeded",
    "by layer": "layers(<100=half;*=qsgd:bucket=2048)",
}
SOME = ("DRIVE", "QSGD 4 bit", "TernGrad", "top-k 1 % + feedback")
ROUNDS = {"digits": 40, "watch": 60, "million": 20}
TEXTBOOK = {"TernGrad": "textbook 32 / log2(3) = 20.2", "SignSGD vote": "textbook 32"}
GOALS = {"default": (150.0, 0.1), "aggressive": (500.0, 0.5)}
DOWN = "qsgd:bits=4,norm=max"


@dataclass(frozen=True, slots=True)
class Run:
    """One federated run; everything that its result follows from."""

    data: str
    codec: str = FULL
    seed: int = 0
    down: str = ""
    rounds: int = 50
    clients: int = 10
    sampled: int = 0  # clients a round; 0: all
    decay: bool = True  # of the learning rate, to 5 % over the run


@dataclass(frozen=True, slots=True)
class Problem:
    """What is learned: samples, who has which of them, and the network."""

    trainer: Trainer
    start: dict[str, Array]
    split: Callable[[int, int], tuple[list[Samples], Samples]]
    lr: float = 0.1
    batch: int = 32


def cases() -> Iterator[Case]:
    yield from _coders()
    for data, seeds in MANY.items():
        for name, goals in GOALS.items():
            yield from _compare(f"{data}/{name}", _run(data, codecs.NAMED[name]), seeds, goals)
    for data, names in (("digits", tuple(CODECS)), ("watch", SOME), ("million", SOME[:1])):
        for name in names:
            run, note = _run(data, CODECS[name]), TEXTBOOK.get(name, "")
            yield from _compare(f"{data}/{name}", run, SEEDS, note=note)
    yield from _limits()
    yield from _both_ways()


def _run(data: str, codec: str, **changed: Any) -> "Run":
    return Run(data, codec, **{"rounds": ROUNDS[data], **changed})


def _compare(
    name: str,
    run: Run,
    seeds: Sequence[int],
    goals: tuple[float | None, float | None] = (None, None),
    note: str = "",
) -> Iterator[Case]:
    """Two cases: how much less was sent, and accuracy lost, each over the same seeds as the run without a codec."""
    found = [(result(replace(run, seed=s, codec=FULL, down="")), result(replace(run, seed=s))) for s in seeds]
    seen = len(found)
    if diverged := sum("diverged" in coded for _, coded in found):
        why = f"{run.codec}: {diverged} of {seen} runs diverged"
        yield Case(name, None, "x", goals[0], "higher", seen, why)
        yield Case(f"{name}, loss", None, "pp", goals[1], "lower", seen, why)
        return
    ratio = sum(plain["up"] for plain, _ in found) / sum(coded["up"] for _, coded in found)
    about = "; ".join(filter(None, [run.codec, f"{found[0][0]['parameters']:,} parameters", note]))
    yield Case(name, round(ratio, 1), "x", goals[0], "higher", seen, about)
    lost = 100 * np.array([plain["accuracy"] - coded["accuracy"] for plain, coded in found])
    mean = float(np.mean([plain["accuracy"] for plain, _ in found]))
    error = lost.std(ddof=1) / math.sqrt(seen)
    about = f"float32 {mean:.2%}, standard error of the difference {error:.2f}"
    yield Case(f"{name}, loss", round(float(lost.mean()), 2), "pp", goals[1], "lower", seen, about)


def _both_ways() -> Iterator[Case]:
    """The default up, four bits down."""
    run, name = _run("digits", codecs.NAMED["default"], down=DOWN), f"digits/default up, {DOWN} down"
    yield from _compare(name, run, SEEDS)
    found = [(result(replace(run, seed=s, codec=FULL, down="")), result(replace(run, seed=s))) for s in SEEDS]
    less = sum(plain["down"] for plain, _ in found) / sum(coded["down"] for _, coded in found)
    yield Case(f"{name}: less downlink", round(less, 1), "x", 10, "higher", len(found))


def _limits() -> Iterator[Case]:
    """Where it stops holding: larger buckets, fewer rounds, fewer clients, no decay of the learning rate."""
    for data, buckets in (("digits", (1024, 2048, 32768, 131072)), ("watch", (32768,))):
        for bucket in buckets:
            yield from _compare(f"{data}/limit: bucket {bucket}", _run(data, f"qsgd:bucket={bucket}"), SEEDS)
    changed: dict[str, dict[str, Any]] = {
        "5 rounds": {"rounds": 5},
        "15 rounds": {"rounds": 15},
        "3 clients": {"clients": 3},
        "5 of 50 clients a round": {"clients": 50, "sampled": 5},
        "constant learning rate": {"decay": False},
    }
    for what, fields in changed.items():
        for name in GOALS:
            run = _run("digits", codecs.NAMED[name], **fields)
            yield from _compare(f"digits/limit: {what}, {name}", run, SEEDS)


def result(run: Run) -> dict[str, Any]:
    """The result of a run, from the cache if it is there."""
    text = json.dumps(
        asdict(run) | {"version": VERSION, "writes": [_fingerprint(run.codec), _fingerprint(run.down)]}
    )
    path = (
        cache_dir()
        / "benchmarks"
        / "federated_codecs"
        / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    )
    if not path.exists():
        began = time.perf_counter()
        found = _train(run)
        write_text(path, json.dumps(found | {"run": asdict(run)}))
        say(f"{run}: {found['accuracy']:.4f}, {found['up']:,} bytes up, {time.perf_counter() - began:.1f} s")
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


@cache
def _fingerprint(codec: str) -> str:
    """What the codec writes for an update that is always the same: another after its code has changed."""
    if not codec:
        return ""
    rng = np.random.default_rng(0)
    update = {
        "a": rng.standard_normal((64, 65)).astype(np.float32),
        "b": rng.standard_normal(9).astype(np.float32),
    }
    message = codecs.encode(codecs.parse(codec), update, Context())
    return hashlib.sha256(message).hexdigest()


def _train(run: Run) -> dict[str, Any]:
    problem = problem_of(run.data)
    parts, test = problem.split(run.seed, run.clients)
    model, memories = problem.start, [dict[str, Array]() for _ in parts]
    up = down = 0
    accuracy: list[float] = []
    for number in range(1, run.rounds + 1):
        chosen = sample_clients(range(len(parts)), run.sampled or len(parts), run.seed, number)
        rate = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * number / run.rounds)) if run.decay else 1.0
        steps = Steps(number, 1, problem.batch, problem.lr * rate, run.seed)
        updates = []
        for k in chosen:
            try:
                learned = client_update(problem.trainer, model, parts[k], steps, k)
            except ModelError:  # the loss is no number
                return {
                    "accuracy": 0.0,
                    "up": max(up, 1),
                    "down": max(down, 1),
                    "parameters": 0,
                    "diverged": number,
                }
            received, sent = _send(run, model, learned.parameters, Context(run.seed, number, k, memories[k]))
            up += sent
            updates.append(Update.of(received, learned.num_examples))
        model, sent = _receive(run, model, federated_average(updates), number)
        down += sent * len(chosen)
        if number > run.rounds - min(10, max(run.rounds // 3, 1)):
            problem.trainer.load(model)
            accuracy.append(problem.trainer.evaluate(test)["accuracy"])
    size = sum(array.size for array in model.values())
    return {
        "accuracy": float(np.mean(accuracy)),
        "up": up,
        "down": down,
        "parameters": size,
        "test": len(test),
    }


def _send(run: Run, model: dict[str, Array], learned: Any, context: Context) -> tuple[dict[str, Array], int]:
    """The client's weights as the server reads them, and the bytes of its message."""
    if not run.codec:
        return learned, sum(array.nbytes for array in learned.values())
    codec = codecs.parse(run.codec)
    message = codecs.encode(codec, difference(learned, model), context)
    return apply(model, codecs.decode(message, model, codec)), len(message)


def _receive(
    run: Run, model: dict[str, Array], average: dict[str, Array], number: int
) -> tuple[dict[str, Array], int]:
    """The next model, and the bytes that bring it to one client."""
    codec = codecs.parse(run.codec) if run.codec else None
    if isinstance(codec, Vote):
        average = apply(model, codec.settle(difference(average, model)))
    if not run.down:
        return average, sum(array.nbytes for array in average.values())
    message, model = publish(codecs.parse(run.down), model, average, run.seed, number)
    return model, len(message)


@cache
def problem_of(data: str) -> Problem:
    """The problem of that name."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pack(data, Path(folder) / "m.bundle"), threads=1)
    if data == "watch":
        return Problem(trainer, trainer.parameters, _by_person, batch=16)
    return Problem(trainer, trainer.parameters, _by_label)


def pack(data: str, path: Path) -> Bundle:
    """The trainable bundle of its network."""
    network, example = watch.model() if data == "watch" else _digits_network(million=data == "million")
    return pack_trainable(convert(network, example=example, trainable=True), path, name=data, target="x86-64")


def _digits_network(*, million: bool) -> tuple[Any, tuple[Any, ...]]:
    """Two convolutions and two dense layers: 106,122 parameters, or 1,016,746."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    channels, hidden = (64, 320) if million else (32, 64)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * 49, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )
    return network.eval(), (torch.zeros(1, 1, 28, 28),)


def _by_label(seed: int, clients: int) -> tuple[list[Samples], Samples]:
    """The digits by Dirichlet(0.3), 1,500 of 5,000 held out."""
    train, test = digits.load(0.3, seed)
    y = np.asarray(train.y)
    return [Samples(train.x[part], y[part]) for part in dirichlet(y, clients, 0.3, seed)], test


@cache
def _by_person(_seed: int, clients: int) -> tuple[list[Samples], Samples]:
    """The watch's windows by person; the last quarter of every recording is held out, so the seed only shuffles."""
    windows = watch.load()
    late = np.zeros(len(windows.person), bool)
    for recording in np.unique(windows.recording):
        here = np.flatnonzero(windows.recording == recording)
        late[here[len(here) * 3 // 4 :]] = True
    persons = np.unique(windows.person)[:clients]
    return [windows.of((windows.person == p) & ~late).samples for p in persons], windows.of(late).samples


def _coders() -> Iterator[Case]:
    """Our coding of a sparse ternary update and of a dense one, against the entropy and the library constriction."""
    rng = np.random.default_rng(0)
    from edge_runtime import entropy
    from federated.codecs import levels

    streams = {
        "0.5 % filled": np.sign(rng.standard_normal(106_122)) * (rng.random(106_122) < 0.005),
        "15 levels": np.clip(np.rint(rng.standard_normal(106_122) * 1.5), -7, 7),
    }
    for name, stream in streams.items():
        symbols = stream.astype(np.int64)
        most = int(symbols.max())
        share = np.bincount(symbols + most) / symbols.size
        ideal = -symbols.size * float((share[share > 0] * np.log2(share[share > 0])).sum()) / 8
        sizes: dict[str, tuple[Callable[[], bytes] | None, str]] = {
            "federated.codecs.levels": (lambda s=symbols, m=most: levels.encode(s, m), ""),  # type: ignore[misc]
            "edge_runtime.entropy": (lambda s=symbols, m=most: entropy.encode(s + m), ""),  # type: ignore[misc]
            "constriction": (_constriction(symbols + most, share), "not installed: pip install constriction"),
        }
        for coder, (code, reason) in sizes.items():
            if code is None:
                yield Case(f"coder/{name}/{coder}", None, "x entropy", None, "lower", symbols.size, reason)
                continue
            began = time.perf_counter()
            size = len(code())
            note = f"{size} bytes, {1e3 * (time.perf_counter() - began):.1f} ms"
            yield Case(
                f"coder/{name}/{coder}",
                round(size / ideal, 3),
                "x entropy",
                None,
                "lower",
                symbols.size,
                note,
            )


def _constriction(symbols: Array, share: Array) -> Callable[[], bytes] | None:
    if importlib.util.find_spec("constriction") is None:
        return None
    stream = importlib.import_module("constriction").stream

    def code() -> bytes:
        coder = stream.queue.RangeEncoder()
        coder.encode(
            symbols.astype(np.int32), stream.model.Categorical(share.astype(np.float32), perfect=False)
        )
        return bytes(coder.get_compressed().tobytes()) + bytes(2 * len(share))  # and its table

    return code


if __name__ == "__main__":
    main(cases)
