import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

from edge_runtime.data import Samples
from edge_runtime.trainer import Trainer
from federated.flower.client import client_app, from_record, to_record
from federated.flower.grid import run_in_process

CONFIG = {"server-round": 1, "epochs": 1, "batch-size": 32, "lr": 0.05, "seed": 0}


def ask(client, weights, kind, clients=2):
    replies = []

    def main(grid, context):
        record = RecordDict({"arrays": to_record(weights), "config": ConfigRecord(CONFIG)})
        replies.extend(grid.send_and_receive([Message(record, node, kind) for node in grid.get_node_ids()]))

    server = ServerApp()
    server.main()(main)
    run_in_process(server, client, clients)
    return replies


def test_records_round_trip():
    weights = {"a/b:0": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3, np.int64)}
    back = from_record(to_record(weights))
    assert isinstance(to_record(weights), ArrayRecord)
    for name, array in weights.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_train_and_evaluate_on_each_clients_own_data(linear, digits):
    trainer = Trainer(linear, threads=1)
    start = trainer.parameters
    asked = []

    def data(client, clients):
        asked.append((client, clients))
        return Samples(digits.x[client :: clients + 1], digits.y[client :: clients + 1])

    app = client_app(trainer, data)
    trained = ask(app, start, "train")
    assert asked == [(0, 2), (1, 2)]
    assert [reply.content["metrics"]["num-examples"] for reply in trained] == [334, 333]
    first, second = (from_record(reply.content["arrays"]) for reply in trained)
    assert any((first[name] != second[name]).any() for name in start)
    before, after = (ask(app, weights, "evaluate")[0].content["metrics"] for weights in (start, first))
    assert after["accuracy"] > before["accuracy"]
    assert after["loss"] < before["loss"]


def test_a_device_has_its_own_file(linear, digits, tmp_path):
    np.savez(tmp_path / "mine.npz", x=digits.x[:50], y=digits.y[:50])
    reply = ask(client_app(linear, tmp_path / "mine.npz"), Trainer(linear, threads=1).parameters, "train", 1)[
        0
    ]
    assert reply.content["metrics"]["num-examples"] == 50


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_no_data_is_that_clients_failure(linear, tmp_path, kind):
    app = client_app(linear, tmp_path / "missing.npz")
    replies = ask(app, Trainer(linear, threads=1).parameters, kind)
    assert all("missing.npz: no such file" in reply.error.reason for reply in replies)
