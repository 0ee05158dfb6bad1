"""Runs without rounds: what a stale change counts, and what a kill costs."""

import json
import subprocess
import time
from math import sqrt

import numpy as np
import pytest

from edge_runtime.data import Samples
from edge_runtime.errors import FleetError, InputError
from edge_runtime.trainer import Trainer
from federated import Settings, client_app, federate, server_app
from federated.checkpoint import load
from federated.flower.grid import InProcessGrid, run_over
from federated.link.traffic import counted
from federated.local import client_update
from federated.serve import serve
from federated.steps import Steps
from tests.federated.link.conftest import Ring, address_of
from tests.federated.link.conftest import run as broker
from tests.federated.test_mqtt_grid import (  # noqa: F401  (desk is a fixture)
    desk,
    devices,
    end,
    join,
    listening,
    littoral,
    shares_of,
)

CLIENTS = 3


def same(one, other):
    return all((one.parameters[name] == array).all() for name, array in other.parameters.items())


class InTurn(InProcessGrid):
    """Answers one request at a time, in the order in which they were sent."""

    def pull_messages(self, message_ids):
        waiting = [key for key in self._replies if key in set(message_ids)]
        return super().pull_messages(waiting[:1])


@pytest.fixture
def parts(digits):
    return [Samples(digits.x[k::CLIENTS], digits.y[k::CLIENTS]) for k in range(CLIENTS)]


def run(linear, parts, held_out, out, grid=InTurn, **settings):
    settings = Settings(clients=CLIENTS, **settings)
    server = server_app(linear, settings, test=held_out, out=out, progress=False, timeout=20)
    trainer = Trainer(linear, threads=1)
    run_over(server, grid(client_app(trainer, lambda k, _: parts[k]), CLIENTS))
    return load(out / "checkpoint.npz")


def test_a_stale_change_counts_as_the_paper_says(linear, parts, held_out, tmp_path):
    """Two clients are out, each change is a step: the second answers from version 0 when version 1 is there."""
    state = run(linear, parts, held_out, tmp_path, rounds=2, asynchronous=1, sample=2)
    first, second = (entry.clients[0] for entry in state.history.rounds)
    assert [entry.staleness for entry in state.history.rounds] == [0, 1]
    assert [entry.late for entry in state.history.rounds] == [(), (second,)]
    trainer = Trainer(linear, threads=1)
    begun = trainer.parameters

    def change(client, number):
        steps = Steps(number, 1, 32, 0.05, 0)
        learned = client_update(trainer, begun, parts[client], steps, client).parameters
        return {name: learned[name].astype(np.float64) - array for name, array in begun.items()}

    one, other = change(first, 1), change(second, 2)
    for name, array in state.parameters.items():
        wanted = (begun[name] + one[name]).astype(np.float32) + other[name] / sqrt(2)
        np.testing.assert_allclose(array, wanted, atol=1e-7)
        assert not np.allclose(array, begun[name] + one[name] + other[name], atol=1e-5)


@pytest.mark.parametrize("codec", ["", "lossless", "default"])
def test_it_learns_and_an_interrupted_run_goes_on_to_the_same_model(
    codec, linear, digits, held_out, tmp_path
):
    def to(rounds, out):
        settings = Settings(rounds=rounds, clients=8, sample=6, asynchronous=3, codec=codec, lr=0.02)
        federate(linear, digits, settings, out=tmp_path / out, test=held_out, progress=False)
        return load(tmp_path / out / "checkpoint.npz")

    to(3, "cut")
    cut, whole = to(9, "cut"), to(9, "whole")
    assert same(cut, whole)
    assert [each.clients for each in cut.history.rounds] == [each.clients for each in whole.history.rounds]
    assert max(each.staleness for each in whole.history.rounds) > 1
    assert whole.history.rounds[-1].accuracy > whole.history.initial["accuracy"] + 0.2
    up = [each.bytes_up for each in whole.history.rounds]
    assert max(up) < 3 * 7850 * 4 * (0.05 if codec == "default" else 1.01) + 3000


def test_what_is_too_old_is_not_taken(linear, parts, held_out, tmp_path):
    turns = []

    class LastFirst(InTurn):
        def pull_messages(self, message_ids):
            waiting = [key for key in self._replies if key in set(message_ids)]
            oldest = waiting[0] if len(turns) == 4 else waiting[-1]
            turns.append(oldest)
            return InProcessGrid.pull_messages(self, [oldest])

    state = run(linear, parts, held_out, tmp_path, LastFirst, rounds=5, asynchronous=1, sample=2, late=2)
    failed = [reason for entry in state.history.rounds for reason in entry.failed.values()]
    assert failed == ["its answer is 4 versions old; at most 2 are taken"]


def test_devices_that_only_fail_end_the_run(linear, parts, held_out, tmp_path):
    bad = [Samples(each.x[:, :, :5], each.y) for each in parts]
    with pytest.raises(FleetError, match="answers in a row failed"):
        run(linear, bad, held_out, tmp_path, rounds=2, asynchronous=2)


def test_one_that_never_answers_holds_nobody_up(linear, parts, held_out, tmp_path):
    class Deaf(InTurn):
        def push_messages(self, messages):
            messages = list(messages)
            keys = super().push_messages(messages)
            for key, message in zip(keys, messages, strict=True):
                if message.metadata.dst_node_id == 1:
                    del self._replies[key]
            return keys

    server = server_app(
        linear, Settings(rounds=6, clients=CLIENTS, asynchronous=1), test=held_out, out=tmp_path, progress=False,
        timeout=0.3,
    )  # fmt: skip
    trainer = Trainer(linear, threads=1)
    began = time.monotonic()
    run_over(server, Deaf(client_app(trainer, lambda k, _: parts[k]), CLIENTS))
    assert time.monotonic() - began < 120  # it would wait for an hour
    history = load(tmp_path / "checkpoint.npz").history
    assert {c for entry in history.rounds for c in entry.clients if c not in entry.failed} == {0, 2}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"secure": 3}, "answer the same request"),
        ({"privacy": "local:epsilon=8"}, "accountant"),
        ({"defence": "median"}, "clip:norm"),
        ({"strategy": "fedadam"}, "aggregate a round"),
        ({"downlink": "qsgd"}, "different models"),
        ({"over": 1.3}, "nobody is waited for"),
        ({"method": "scaffold"}, "fedprox"),
        ({"codec": "vote:step=0.002"}, "majority"),
    ],
)
def test_what_needs_rounds_is_refused(more, says):
    with pytest.raises(InputError, match=says):
        Settings(asynchronous=2, **more)
    with pytest.raises(InputError, match="expected a number"):
        Settings(asynchronous=-1)


# ------------------------------------------------------------------------------------------ killed
@pytest.mark.slow
def test_a_killed_simulation_goes_on_to_the_same_model(desk, linear, digits, held_out):  # noqa: F811
    np.savez(desk / "all.npz", x=digits.x, y=digits.y)
    argv = ["federate", linear.path, "--data", desk / "all.npz", "--test", desk / "test.npz", "--rounds", 40]
    argv += ["--clients", 8, "--sample", 6, "--asynchronous", 3, "--lr", 0.02]

    def call(out):
        return littoral(*argv, "--out", desk / out, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    for after in (3, 7):
        process = call("cut")
        for line in process.stderr:
            after -= line.startswith("round ")
            if not after:
                break
        process.kill()
        process.communicate()
    for out in ("cut", "whole"):
        process = call(out)
        _, said = process.communicate(timeout=100)
        assert process.returncode == 0, said
    assert same(*(load(desk / out / "checkpoint.npz") for out in ("cut", "whole")))


def start(desk, port, bundle, *more):  # noqa: F811
    return littoral(
        "federate", "serve", bundle.path, "--test", desk / "test.npz", "--keys", desk / "keys", "--out", desk / "run",
        "--broker", f"mqtt://127.0.0.1:{port}", *more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_over_the_link_nothing_is_lost_or_counted_twice(desk, linear):  # noqa: F811
    """One device out at a time, so that the order is given: after three kills the model of an undisturbed run."""
    more = ["--rounds", 20, "--asynchronous", 2, "--sample", 1, "--codec", "feedback(topk)"]
    with listening(desk) as running:
        joined = [join(desk, number, running.port, linear) for number in range(CLIENTS)]
        for after in (2, 5, 3):
            server = start(desk, running.port, linear, *more)
            for line in server.stderr:
                after -= line.startswith("round ")
                if not after:
                    break
            time.sleep(0.02)
            server.kill()
            server.communicate()
        server = start(desk, running.port, linear, *more)
        _, said = server.communicate(timeout=100)
        assert server.returncode == 0, said
        worked = [each["worked"] for each in end(joined)]
    assert 40 <= sum(worked) <= 41  # one may still have been out at the end
    history = json.loads((desk / "run/history.json").read_text())["rounds"]
    assert [len(entry["clients"]) for entry in history] == [2] * 20
    assert [entry["failed"] for entry in history] == [{}] * 20
    killed = load(desk / "run/checkpoint.npz")
    (desk / "run").rename(desk / "killed")
    for number in range(CLIENTS):
        (desk / f"state{number}").rename(desk / f"before{number}")
    with listening(desk) as running:
        joined = [join(desk, number, running.port, linear) for number in range(CLIENTS)]
        server = start(desk, running.port, linear, *more)
        _, said = server.communicate(timeout=100)
        assert server.returncode == 0, said
        end(joined)
    assert same(killed, load(desk / "run/checkpoint.npz"))


def test_over_the_link_all_devices_learn_at_once(linear, digits, held_out, tmp_path):
    ring = Ring()
    shares = shares_of(digits, Settings(clients=CLIENTS))
    with (
        broker("embedded", ring.passwords) as running,
        devices(running.port, ring, linear, shares, tmp_path),
    ):
        history = serve(
            linear, held_out, Settings(rounds=8, clients=CLIENTS, asynchronous=2, codec="default", lr=0.02),
            keys=ring.devices, address=address_of(running.port, ring.own), out=tmp_path / "run", progress=False,
            deadline_s=30,
        )  # fmt: skip
    up, wire = (
        sum(getattr(entry, name) or 0 for entry in history.rounds) for name in ("bytes_up", "wire_up")
    )
    assert 0 < up < wire or not counted()
    assert {client for entry in history.rounds for client in entry.clients} == {0, 1, 2}
    assert max(entry.staleness for entry in history.rounds) > 0
    assert history.rounds[-1].accuracy > history.initial["accuracy"] + 0.2
