import json

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from edge_runtime.data import Samples
from edge_runtime.errors import FleetError, InputError
from edge_runtime.trainer import Trainer
from federated.flower.averaging import Averaging
from federated.flower.client import client_app, from_record, to_record
from federated.flower.grid import InProcessGrid, run_in_process
from federated.flower.replies import screen
from federated.flower.server import server_app, wait_for
from federated.settings import Settings

LIKE = {"w": np.zeros(2, np.float32)}


def inside(main, clients=3):
    """Run `main(grid)` where messages can be made."""
    server = ServerApp()
    server.main()(lambda grid, _context: main(grid))
    run_in_process(server, ClientApp(), clients)


def answer(message, weights=(1, 1), n=10, loss=0.5, dtype=np.float32):
    arrays = ArrayRecord({"w": Array(np.array(weights, dtype))})
    metrics = MetricRecord({"num-examples": n, "loss": loss})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def test_the_strategy_samples_and_averages_by_examples():
    def main(grid):
        strategy = Averaging(2, seed=0)
        messages = list(strategy.configure_train(5, to_record(LIKE), ConfigRecord({"lr": 0.1}), grid))
        assert len(messages) == 2
        assert dict(messages[0].content["config"]) == {"lr": 0.1, "server-round": 5}
        messages[0].content["config"]["lr"] = 9.0  # what one client changes, the next does not see
        assert messages[1].content["config"]["lr"] == 0.1
        replies = [answer(messages[0], (0, 4), 10, 1.0), answer(messages[1], (4, 0), 30, 3.0)]
        for order in (replies, replies[::-1]):
            arrays, metrics = strategy.aggregate_train(5, order)
            np.testing.assert_array_equal(from_record(arrays)["w"], [3, 1])
            assert metrics["loss"] == 2.5

    inside(main)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda m: Message(Error(2, "disk full"), reply_to=m), "disk full"),
        (lambda m: Message(Error(3), reply_to=m), "error 3"),
        (lambda m: answer(m, (np.nan, 0)), "NaN or infinity"),
        (lambda m: answer(m, (1, 2, 3)), "expected float32[2], got float32[3]"),
        (lambda m: answer(m, dtype=np.float64), "got float64[2]"),
        (lambda m: answer(m, n=0), "num_examples 0"),
        (lambda m: answer(m, n=2.5), "num_examples 2.5"),
        (lambda m: Message(RecordDict(), reply_to=m), "cannot be read"),
        (lambda m: Message(RecordDict({"arrays": to_record(LIKE)}), reply_to=m), "cannot be read"),
        (
            lambda m: Message(
                RecordDict({"arrays": ArrayRecord({"w": Array("f", (2,), "numpy.ndarray", b"junk")})}),
                reply_to=m,
            ),
            "cannot be read",
        ),
        (lambda _m: None, "no answer in time"),
    ],
    ids=[
        "raised",
        "no reason",
        "nan",
        "shape",
        "dtype",
        "no examples",
        "half",
        "empty",
        "no metrics",
        "bytes",
        "silent",
    ],
)
def test_what_a_client_sends_is_screened(make, reason):
    def main(grid):
        messages = list(Averaging(3, 0).configure_train(1, to_record(LIKE), ConfigRecord(), grid))
        replies = [answer(messages[0]), make(messages[1]), answer(messages[2])]
        kept, failed = screen(messages, [reply for reply in replies if reply], LIKE)
        assert kept == [replies[0], replies[2]]
        assert set(failed) == {1}
        assert reason in failed[1]

    inside(main)


def test_who_was_not_asked_and_who_answers_twice_is_not_counted():
    def main(grid):
        messages = list(Averaging(2, 0).configure_train(1, to_record(LIKE), ConfigRecord(), grid))
        asked = [message.metadata.dst_node_id for message in messages]
        stranger = Message(RecordDict(), next(node for node in range(3) if node not in asked), "train")
        replies = [answer(messages[0]), answer(messages[0], (9, 9)), answer(stranger), answer(messages[1])]
        kept, failed = screen(messages, replies, LIKE)
        assert kept == [replies[0], replies[3]]
        assert not failed

    inside(main)


def test_it_does_not_wait_for_ever():
    with pytest.raises(FleetError, match="2 of 3 clients came within 0 s"):
        wait_for(InProcessGrid(ClientApp(), 2), 3, timeout=0)


def shards(digits, fails=(), how=None):
    def data(client, clients):
        if client in fails:
            raise how or InputError(f"the data of client {client} is gone")
        return Samples(digits.x[client::clients], digits.y[client::clients])

    return data


def test_a_failing_client_is_reported_and_the_others_are_averaged(linear, digits, held_out, tmp_path, capfd):
    trainer = Trainer(linear, threads=1)
    settings = Settings(rounds=2, clients=4)
    server = server_app(trainer, settings, test=held_out, out=tmp_path)
    run_in_process(server, client_app(trainer, shards(digits, fails={2})), 4)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "round 1/2  client 2 failed: the data of client 2 is gone"
    assert "clients 3 of 4" in lines[1]
    assert len(lines) == 4
    history = json.loads((tmp_path / "history.json").read_text())
    assert history["rounds"][1]["failed"] == {"2": "the data of client 2 is gone"}
    assert history["rounds"][1]["accuracy"] > history["initial"]["accuracy"]
    assert history["clients"] == []  # a server that does not see the data draws no split
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "checkpoint.npz",
        "curve.png",
        "events",
        "history.json",
        "model.bundle",
        "report.html",
    ]


def test_when_all_fail_the_run_ends_with_one_sentence(linear, digits, held_out, tmp_path):
    trainer = Trainer(linear, threads=1)
    server = server_app(trainer, Settings(rounds=2, clients=2), test=held_out, out=tmp_path)
    broken = client_app(trainer, shards(digits, fails={0, 1}, how=OSError("no card")))
    with pytest.raises(FleetError, match="round 1: all 2 clients failed; client 0: OSError: no card"):
        run_in_process(server, broken, 2)
    assert list(tmp_path.iterdir()) == []


def test_the_apps_load_bundles_by_path(linear, digits, held_out, tmp_path):
    server = server_app(
        linear.path, Settings(rounds=1, clients=2), test=held_out, out=tmp_path, progress=False
    )
    run_in_process(server, client_app(linear.path, shards(digits)), 2)
    assert Trainer(tmp_path / "model.bundle").evaluate(held_out)["accuracy"] > 0.5
