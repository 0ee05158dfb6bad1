"""Defence, privacy and secure aggregation in whole runs: what the history says, and that an interrupted run goes on."""

import numpy as np
import pytest

from edge_runtime.data import Samples
from edge_runtime.errors import FleetError, InputError
from edge_runtime.trainer import Trainer
from federated import Settings, federate, outputs
from federated.flower import client as flower_client
from federated.flower.client import client_app
from federated.flower.grid import run_in_process
from federated.flower.server import server_app
from federated.outputs import read_history
from federated.privacy.rounds import Devices
from tests.federated.test_run import assert_same, weights

BASE = {"rounds": 3, "clients": 8, "lr": 0.1, "seed": 3}


def run(bundle, digits, out, **changes):
    return federate(bundle, digits, Settings(**(BASE | changes)), out=out, progress=False)


def run_with(bundle, digits, held_out, out, poison, **changes):
    """A run where `poison(client, samples)` gives each client's samples."""
    settings = Settings(**(BASE | changes))
    trainer = Trainer(bundle, threads=1)
    size = len(digits) // settings.clients

    def data(k, _clients):
        part = slice(k * size, (k + 1) * size)
        return poison(k, Samples(digits.x[part], digits.y[part]))

    server = server_app(trainer, settings, test=held_out, out=out, progress=False)
    run_in_process(server, client_app(trainer, data), settings.clients)
    return read_history(out)


def flipped(k, samples):
    return Samples(samples.x * 8, 9 - samples.y) if k in (1, 4) else samples


def test_hostile_devices_are_set_aside_and_named(linear, digits, held_out, tmp_path):
    clean = run_with(linear, digits, held_out, tmp_path / "clean", lambda _k, s: s, clients=10)
    broken = run_with(linear, digits, held_out, tmp_path / "broken", flipped, clients=10)
    safe = run_with(linear, digits, held_out, tmp_path / "safe", flipped, clients=10, defence="detect")
    last = clean.rounds[-1].accuracy
    assert broken.rounds[-1].accuracy < last - 0.1
    assert safe.rounds[-1].accuracy > last - 0.05
    for entry in safe.rounds:
        assert {1, 4} <= entry.set_aside.keys()
        assert entry.set_aside[1]
        assert "set aside" in entry.line(3)
    assert not broken.rounds[0].set_aside


@pytest.mark.parametrize(
    "changes",
    [
        {"defence": "detect"},
        {"privacy": "central:clip=1,epsilon=50", "fraction": 0.75},
        {"strategy": "fedadam:eta=0.03"},
        {"strategy": "fedavgm:server_momentum=0.5"},
    ],
    ids=lambda changes: (
        "".join(changes.values()) if all(isinstance(v, str) for v in changes.values()) else "central"
    ),
)
def test_an_interrupted_run_goes_on_to_the_same_weights(linear, digits, tmp_path, monkeypatch, changes):
    """Moments, suspicions, the ledger and the server's secret are in the checkpoint."""
    from federated.privacy import dp

    monkeypatch.setattr(dp.secrets, "randbits", lambda _bits: 77)
    run(linear, digits, tmp_path / "whole", **changes)
    commits, commit = 0, outputs.commit

    def interrupted(out, state):
        nonlocal commits
        commit(out, state)
        commits += 1
        if commits == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(linear, digits, tmp_path / "parts", **changes)
    monkeypatch.setattr(outputs, "commit", commit)
    monkeypatch.setattr(dp.secrets, "randbits", lambda _bits: 78)  # what a new process would draw
    history = run(linear, digits, tmp_path / "parts", **changes)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole = read_history(tmp_path / "whole")
    assert [entry.epsilon for entry in history.rounds] == [entry.epsilon for entry in whole.rounds]
    assert [entry.set_aside for entry in history.rounds] == [entry.set_aside for entry in whole.rounds]


class TestPrivacy:
    def test_the_budget_is_spent_round_by_round_and_kept(self, linear, digits, tmp_path):
        history = run(linear, digits, tmp_path, privacy="central:epsilon=6,clip=1", clients=20)
        spent = [entry.epsilon for entry in history.rounds]
        assert spent == sorted(spent)
        assert 5.9 < spent[-1] <= 6
        assert "epsilon" in history.rounds[-1].line(3)

    def test_the_noise_is_not_in_what_leaves_the_server(self, linear, digits, tmp_path, monkeypatch):
        from federated.privacy import dp

        monkeypatch.setattr(dp.secrets, "randbits", lambda _bits: 987654321987654321)
        run(linear, digits, tmp_path, privacy="central:clip=1", rounds=1)
        assert b"987654321987654321" in (tmp_path / "checkpoint.npz").read_bytes()
        assert "987654321987654321" not in (tmp_path / "history.json").read_text()

    def test_a_round_without_a_device_is_noise_alone(self, linear, digits, tmp_path, monkeypatch):
        from federated.privacy import dp

        monkeypatch.setattr(dp.secrets, "randbits", lambda _bits: 3)
        history = run(
            linear, digits, tmp_path, privacy="central:clip=0.01,sigma=1", clients=8, sample=1, rounds=4
        )
        sizes = [len(entry.clients) for entry in history.rounds]
        assert 0 in sizes  # Poisson sampling: the number differs, and may be none
        assert max(sizes) > 0
        assert history.rounds[-1].epsilon > 0

    def test_devices_clip_and_add_noise(self, linear, digits, tmp_path):
        near = run(linear, digits, tmp_path / "near", privacy="local:clip=0.001,sigma=0.0001")
        far = run(linear, digits, tmp_path / "far", privacy="local:clip=100,sigma=0.00001")
        start = near.initial["accuracy"]
        moved = Trainer(linear, threads=1).parameters
        after = weights(tmp_path / "near")
        norm = np.sqrt(sum(np.square(after[name] - moved[name]).sum() for name in moved))
        assert norm < 0.001 * 3 * 1.05
        assert near.rounds[-1].accuracy < far.rounds[-1].accuracy
        assert far.rounds[-1].accuracy > start + 0.3

    def test_a_budget_that_no_noise_keeps(self, linear, digits, tmp_path):
        with pytest.raises(InputError, match="no noise reaches it"):
            run(linear, digits, tmp_path, privacy="central:epsilon=1e-12")


class TestSecure:
    def test_learns_from_sums_alone(self, linear, digits, tmp_path):
        plain = run(linear, digits, tmp_path / "plain", rounds=8)
        secure = run(linear, digits, tmp_path / "secure", rounds=8, secure=8)
        assert (
            secure.rounds[-1].accuracy > secure.initial["accuracy"] + 0.35
        )  # 200 samples, rounding not seeded
        assert secure.rounds[-1].bytes_up < plain.rounds[-1].bytes_up / 30
        assert secure.rounds[-1].train_loss == pytest.approx(plain.rounds[-1].train_loss, rel=0.5)

    def test_devices_that_vanish_are_named_and_the_others_count(self, linear, digits, tmp_path, monkeypatch):
        answer = Devices.answer

        def vanishing(self, request, device):
            if device in (2, 5) and request["stage"] == 4:
                raise FleetError("the battery is empty")
            return answer(self, request, device)

        monkeypatch.setattr(Devices, "answer", vanishing)
        masked = flower_client.masked_answer

        def failing(sessions, message, context, *rest):
            if context.node_id == 7:
                raise FleetError("lost its network")
            return masked(sessions, message, context, *rest)

        monkeypatch.setattr(flower_client, "masked_answer", failing)
        history = run(linear, digits, tmp_path, secure=10, clients=10)
        for entry in history.rounds:
            assert entry.failed == {7: "lost its network"}  # 2 and 5 had sent theirs: they count
        assert history.rounds[-1].accuracy > history.initial["accuracy"] + 0.1

    def test_groups_are_judged_by_a_defence(self, linear, digits, held_out, tmp_path):
        def poison(k, samples):
            return Samples(samples.x * 30, 9 - samples.y) if k < 3 else samples

        history = run_with(
            linear,
            digits,
            held_out,
            tmp_path,
            poison,
            clients=18,
            secure=3,
            defence="multi-krum:f=1",
            rounds=2,
        )
        for entry in history.rounds:
            assert entry.set_aside.keys() == {
                0,
                1,
                2,
            }  # the whole group: whose fault it was is not to be seen

    def test_a_round_that_falls_apart_is_one_sentence(self, linear, digits, tmp_path, monkeypatch):
        def gone(*_args):
            raise FleetError("lost its network")

        monkeypatch.setattr(flower_client, "masked_answer", gone)
        with pytest.raises(FleetError, match="all 8 clients failed; client 0: lost its network"):
            run(linear, digits, tmp_path, secure=8)


def test_flowers_clipping_on_the_device_is_done(linear, digits, tmp_path):
    run(linear, digits, tmp_path, strategy="dp-client-fixed:noise_multiplier=0,clipping_norm=0.001", rounds=1)
    moved, after = Trainer(linear, threads=1).parameters, weights(tmp_path)
    assert np.sqrt(sum(np.square(after[name] - moved[name]).sum() for name in moved)) <= 0.00101


@pytest.mark.parametrize("text", ["fedadam:eta=0.03", "krum:num_malicious_nodes=1", "qfedavg"])
def test_a_strategy_of_flowers_runs_in_our_loop(linear, digits, tmp_path, text):
    history = run(linear, digits, tmp_path, strategy=text)
    assert history.rounds[-1].accuracy > history.initial["accuracy"]
