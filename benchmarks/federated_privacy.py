"""What a server may learn of one device: secure aggregation's uplink and exactness, privacy's price, encryption's size.

Secure aggregation: 20 devices with the digits' CNN (52,266 weights), 30 % of them vanishing after they shared their
keys; bytes are all four messages of all devices, against the weights as float32. Privacy: 1,000 devices with four
digits each, softmax regression, epsilon 8 at delta 1e-5. Each accuracy is cached under what it follows from.
"""

import hashlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.federated_defence import network
from benchmarks.harness import Case, main
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime.files import cache_dir, write_text
from examples import digits
from federated import Settings, federate
from federated.privacy import accountant
from federated.privacy.rounds import Aggregation, Devices, Plan
from federated.privacy.secagg import Device, Group, Server, threshold

VERSION = 3  # of what is below: what was cached with another one is not used
WEIGHTS, MEMBERS, WORDS = 52_266, 20, 3264
SEEDS, LAST = 2, 5
ROUNDS, CLIENTS, EPSILON, CLIP = 20, 1000, 8.0, 2.0


def cases() -> Iterator[Case]:
    yield from _secure()
    yield from _secure_accuracy()
    yield from _private()
    yield from _encrypted()


def _secure() -> Iterator[Case]:
    deltas = np.random.default_rng(0).standard_normal((MEMBERS, WEIGHTS)) * 0.003
    for missing in (0, 6):
        sent, seconds = _round(deltas, missing)
        ratio = (MEMBERS - missing) * 4 * WEIGHTS / sum(sent)  # what came through, as float32
        away = f"{missing} of {MEMBERS} vanished"
        note = f"{sum(sent) / MEMBERS:,.0f} bytes a device, keys and shares included"
        yield Case(f"uplink/{away}: ratio to float32", round(ratio, 1), "x", 35, "higher", MEMBERS, note)
        yield Case(
            f"device/{away}: time a round", round(1e3 * seconds, 1), "ms", None, "lower", MEMBERS, "median"
        )
        wrong = _wrong_words(missing)
        yield Case(f"exact/{away}: wrong words of the sum", wrong, "", 0, "lower", WORDS, "random words")


def _round(deltas: Any, missing: int) -> tuple[list[int], float]:
    """Bytes of each device in one round, and the median seconds of a device; `missing` do not send their update."""
    work = Aggregation(Plan(MEMBERS), range(MEMBERS), size=WEIGHTS, bound=1.0, cap=1, key=1)
    devices, sent, taken = Devices(), [0] * MEMBERS, [0.0] * MEMBERS

    def ask(requests: dict[int, dict[str, Any]], stage: int) -> dict[int, bytes]:
        found = {}
        for k, request in requests.items():
            if stage == 3 and k < missing:
                continue
            began = time.perf_counter()
            found[k] = (
                devices.mask(request, k, deltas[k], 100, 0.5) if stage == 3 else devices.answer(request, k)
            )
            taken[k] += time.perf_counter() - began
            sent[k] += len(found[k])
        return found

    inputs = ask(work.mask(ask(work.share(ask(work.advertise(), 1)), 2)), 3)
    work.sums(ask(work.unmask(inputs), 4))
    return sent, float(np.median(taken[missing:]))


def _wrong_words(missing: int) -> int:
    """Of the sum that the server recovers, how many words differ from the survivors' true sum."""
    group = Group(os.urandom(16), tuple(range(MEMBERS)), threshold(MEMBERS), WORDS, 6)
    words = np.random.default_rng(0).integers(0, 64, (MEMBERS, WORDS)).astype(np.uint16)
    server, devices = Server(group), [Device(k, group) for k in range(MEMBERS)]
    roster = server.roster({k: device.advertise() for k, device in enumerate(devices)})
    mail = server.mail({k: device.share(roster) for k, device in enumerate(devices)})
    alive = range(missing, MEMBERS)
    survivors = server.survivors({k: devices[k].mask(mail[k], words[k]) for k in alive})
    total, _ = server.total({k: devices[k].unmask(survivors) for k in alive})
    return int((total != words[missing:].sum(axis=0) % 64).sum())


def _secure_accuracy() -> Iterator[Case]:
    losses, ups = [], []
    for seed in range(SEEDS):
        base = {"rounds": 30, "clients": MEMBERS, "lr": 0.1, "alpha": 0.5, "seed": seed}
        plain, secure = (_federated("cnn", {**base, **more}) for more in ({}, {"secure": MEMBERS}))
        losses.append(100 * (plain["accuracy"] - secure["accuracy"]))
        ups.append(plain["up"] / secure["up"])
    note = "by seed " + ", ".join(f"{loss:.1f}" for loss in losses) + "; mean of the last 5 of 30 rounds"
    yield Case("accuracy/secure: loss", round(float(np.mean(losses)), 2), "pp", 1.0, "lower", SEEDS, note)
    note = "as federate counts it, against weights as they are"
    yield Case("uplink/whole run: ratio", round(float(np.mean(ups)), 1), "x", 35, "higher", SEEDS, note)


def _private() -> Iterator[Case]:
    base = {"rounds": ROUNDS, "clients": CLIENTS, "lr": 0.5, "epochs": 5, "batch_size": 4, "alpha": None}
    budget = f"epsilon={EPSILON:g},delta=1e-5,clip={CLIP:g}"
    plain = _federated("linear", base)
    for where, goal in (("central", 3.0), ("local", None)):
        found = _federated("linear", {**base, "privacy": f"{where}:{budget}"})
        loss = 100 * (plain["accuracy"] - found["accuracy"])
        note = f"{found['accuracy']:.4f} against {plain['accuracy']:.4f}; spent {found['epsilon']:.3f} at delta 1e-5"
        yield Case(
            f"accuracy/{where} epsilon {EPSILON:g}: loss", round(loss, 2), "pp", goal, "lower", 1000, note
        )
    sigma = accountant.noise_for(EPSILON, 1e-5, 1.0, ROUNDS)
    yield Case(
        "accountant: noise multiplier", round(sigma, 3), "", None, "lower", ROUNDS, "of the runs above"
    )
    yield from _accountants()


def _accountants() -> Iterator[Case]:
    runs = [(0.01, 1.1, 1000), (0.1, 1.0, 50), (1.0, 3.4, 30), (0.3, 2.0, 100)]
    name, note = "accountant: largest difference to dp-accounting", "dp-accounting is not installed"
    if importlib.util.find_spec("dp_accounting") is None:
        yield Case(name, None, "%", 1.0, "lower", len(runs), note)
        return
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    apart = []
    for q, sigma, times in runs:
        theirs = RdpAccountant(list(accountant.ORDERS))
        event = dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(sigma))
        theirs.compose(dp_accounting.SelfComposedDpEvent(event, times))
        ours = accountant.epsilon([accountant.Step(q, sigma, times)], 1e-5)
        apart.append(100 * abs(ours / theirs.get_epsilon(1e-5) - 1))
    note = "theirs bounds orders that are no whole numbers from above"
    yield Case(name, round(max(apart), 3), "%", 1.0, "lower", len(runs), note)


def _encrypted() -> Iterator[Case]:
    name, head = "encryption/CKKS", 7850
    if importlib.util.find_spec("tenseal") is None:
        yield Case(f"{name}: growth of a head", None, "x", None, "lower", head, "tenseal is not installed")
        return
    from federated.privacy import he

    device, server = he.generate()
    deltas = np.random.default_rng(0).standard_normal((10, head)) * 0.1
    began = time.perf_counter()
    updates = [device.encrypt(delta) for delta in deltas]
    seconds = (time.perf_counter() - began) / len(deltas)
    found = device.decrypt(server.add(updates), head)
    size = sum(map(len, updates[0]))
    yield Case(
        f"{name}: growth of a head", round(size / (4 * head), 2), "x", None, "lower", head, f"{size:,} bytes"
    )
    error = float(np.abs(found - deltas.sum(axis=0)).max())
    yield Case(f"{name}: error of a sum of 10", error, "", 1e-5, "lower", head, "largest of all elements")
    yield Case(
        f"{name}: time to encrypt", round(1e3 * seconds, 1), "ms", None, "lower", 10, f"{head} weights"
    )


def _federated(kind: str, settings: dict[str, Any]) -> dict[str, float]:
    """Accuracy, bytes up and epsilon of a run of `federate`, from the cache if it is there."""
    key = json.dumps({"version": VERSION, "kind": kind, **settings}, sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    path = cache_dir() / "benchmarks" / "federated_privacy" / f"{name}.json"
    if not path.is_file():
        train, test = digits.load()
        with tempfile.TemporaryDirectory() as folder:
            bundle = _bundle(Path(folder), kind)
            history = federate(bundle, train, Settings(**settings), test=test, out=folder, progress=False)
        up = sum(entry.bytes_up for entry in history.rounds)
        last = [entry.accuracy for entry in history.rounds[-LAST:]]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(
            path,
            json.dumps({"accuracy": float(np.mean(last)), "up": up, "epsilon": history.rounds[-1].epsilon}),
        )
    found: dict[str, float] = json.loads(path.read_text("utf-8"))
    return found


def _bundle(folder: Path, kind: str) -> Any:
    if kind == "cnn":
        found, example = network()
        model = convert(found, example=example, trainable=True)
    else:
        import torch
        from torch import nn

        torch.manual_seed(0)
        layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        model = convert(layers.eval(), example=(torch.zeros(1, 1, 28, 28),), trainable=True)
    return pack_trainable(model, folder / f"{kind}.bundle", name=kind)


if __name__ == "__main__":
    main(cases)
