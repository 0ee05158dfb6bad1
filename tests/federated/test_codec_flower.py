"""Codecs between Flower's strategies and clients, up and down, and in a whole run."""

import json

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp import strategy as strategies

from edge_runtime.data import Samples
from edge_runtime.errors import InputError, TransferError
from edge_runtime.trainer import Trainer
from federated import Settings, federate
from federated.codecs import decode, parse
from federated.codecs.downlink import Published, follow, publish
from federated.flower.averaging import Averaging
from federated.flower.client import client_app, from_record, to_record
from federated.flower.codecs import Compressed, sent_bytes
from federated.flower.grid import run_in_process
from federated.flower.server import server_app

CONFIG = {"epochs": 1, "batch-size": 32, "lr": 0.1, "seed": 0}


def shares(digits):
    return lambda client, clients: Samples(digits.x[client::clients], digits.y[client::clients])


def over(trainer, digits, main, clients=4):
    server = ServerApp()
    server.main()(lambda grid, _context: main(grid))
    run_in_process(server, client_app(trainer, shares(digits)), clients)


@pytest.mark.parametrize(
    "inner",
    [
        strategies.FedAvg(fraction_evaluate=0.0),
        strategies.FedAdam(fraction_evaluate=0.0, eta=0.01),
        strategies.FedYogi(fraction_evaluate=0.0, eta=0.01),
        strategies.FedMedian(fraction_evaluate=0.0),
        strategies.FedTrimmedAvg(fraction_evaluate=0.0),
        strategies.Krum(fraction_evaluate=0.0, num_malicious_nodes=1),
        strategies.MultiKrum(fraction_evaluate=0.0, num_malicious_nodes=1, num_nodes_to_select=2),
        strategies.DifferentialPrivacyServerSideFixedClipping(
            strategies.FedAvg(fraction_evaluate=0.0),
            noise_multiplier=0.0,
            clipping_norm=1.0,
            num_sampled_clients=4,
        ),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_a_strategy_of_flower_s_runs_behind_it(inner, linear, digits, held_out):
    trainer = Trainer(linear, threads=1)
    start = {name: np.zeros_like(array) for name, array in trainer.parameters.items()}
    sizes = []

    def main(grid):
        wrapped = Compressed(inner, "qsgd:bits=4,norm=max", down="qsgd:bits=4,norm=max")
        receive = wrapped.receive
        wrapped.receive = lambda replies: receive(
            sizes.extend(map(sent_bytes, found := list(replies))) or found
        )
        result = wrapped.start(grid, to_record(start), num_rounds=4, train_config=ConfigRecord(CONFIG))
        trainer.load(from_record(result.arrays))

    over(trainer, digits, main)
    assert trainer.evaluate(held_out)["accuracy"] > 0.5
    assert len(sizes) == 16
    assert max(sizes) < 7850 * 4 / 6


def test_server_and_clients_hold_the_same_model_bit_for_bit(linear, digits):
    trainer, seen = Trainer(linear, threads=1), []

    class Spy(Averaging):
        def aggregate_train(self, server_round, replies):
            return super().aggregate_train(server_round, replies)

    def main(grid):
        wrapped = Compressed(Spy(2, seed=0), "qsgd", down="qsgd:bits=4,norm=max")
        arrays, down = to_record(trainer.parameters), []
        for number in range(1, 7):
            messages = list(wrapped.configure_train(number, arrays, ConfigRecord(CONFIG), grid))
            down += [(m.metadata.dst_node_id, sent_bytes(m)) for m in messages]
            replies = grid.send_and_receive(messages)
            expected = {name: array.tobytes() for name, array in from_record(arrays).items()}
            for message in messages:
                held = from_record(grid._contexts[message.metadata.dst_node_id].state["held"])
                seen.append({name: array.tobytes() for name, array in held.items()} == expected)
            arrays, _ = wrapped.aggregate_train(number, replies)
        whole = sum(array.nbytes for array in trainer.parameters.values())
        first = {}
        for node, size in down:
            assert (size >= whole) == (
                node not in first
            )  # the whole model the first time, changes from then on
            first.setdefault(node, size)

    over(trainer, digits, main)
    assert seen == [True] * 12


def test_a_client_that_lost_its_model_gets_it_again(linear, digits):
    trainer = Trainer(linear, threads=1)

    def main(grid):
        wrapped = Compressed(Averaging(2, seed=0), "qsgd", down="half")
        arrays, failures = to_record(trainer.parameters), []
        for number in range(1, 5):
            messages = list(wrapped.configure_train(number, arrays, ConfigRecord(CONFIG), grid))
            if number == 2:
                grid._contexts[1].state.clear()
            replies = grid.send_and_receive(messages)
            failures.append([r.metadata.src_node_id for r in replies if r.has_error()])
            if number == 2:
                (lost,) = [r for r in replies if r.has_error()]
                assert lost.error.reason == "does not hold the model of round 0; it has to be sent whole"
            arrays, _ = wrapped.aggregate_train(number, [r for r in replies if not r.has_error()])
        assert failures == [[], [1], [], []]

    over(trainer, digits, main, clients=2)


def test_an_update_that_cannot_be_read_is_one_client_s_failure(linear, digits, held_out, tmp_path):
    trainer = Trainer(linear, threads=1)
    good = client_app(trainer, shares(digits))

    def tampered(message, context):
        reply = good(message, context)
        if context.node_id == 2:
            reply.content["update"]["message"] = reply.content["update"]["message"][:-3]
        if context.node_id == 3:
            reply.content["update"]["message"] = 7
        return reply

    app = ClientApp()
    app.train()(tampered)
    settings = Settings(rounds=2, clients=4, codec="qsgd")
    run_in_process(server_app(trainer, settings, test=held_out, out=tmp_path, progress=False), app, 4)
    failed = json.loads((tmp_path / "history.json").read_text())["rounds"][1]["failed"]
    assert failed == {
        "2": failed["2"],
        "3": "sent an update that nobody asked for, or none where one was",
    }
    assert "update is cut short" in failed["2"]


def test_updates_are_not_taken_where_weights_were_asked_for():
    def main(grid):
        wrapped = Compressed(Averaging(1, seed=0))
        like = {"w": np.zeros(3, np.float32)}
        (message,) = wrapped.configure_train(1, to_record(like), ConfigRecord(), grid)
        records = {
            "update": ConfigRecord({"message": b"u"}),
            "metrics": MetricRecord({"num-examples": 1, "loss": 0.0}),
        }
        kept, failed = wrapped.receive([Message(RecordDict(records), reply_to=message)])
        assert not kept
        assert list(failed) == [0]
        weights = Message(RecordDict({"arrays": ArrayRecord(), **records}), reply_to=message)
        del weights.content["update"]
        assert wrapped.receive([weights]) == ([weights], {})

    server = ServerApp()
    server.main()(lambda grid, _context: main(grid))
    run_in_process(server, ClientApp(), 1)


@pytest.mark.parametrize(
    ("codec", "downlink", "less_up", "less_down"),
    [
        ("default", "", 80, 1),
        ("feedback(topk:fraction=0.05)", "half", 40, 1.5),
        ("vote:step=0.01", "qsgd:bits=4,norm=max", 30, 3),
    ],
)
def test_a_run_learns_as_well_with_far_fewer_bytes(
    codec, downlink, less_up, less_down, linear, digits, held_out, tmp_path
):
    settings = Settings(rounds=8, clients=4, lr=0.1, alpha=None, codec=codec, downlink=downlink)
    coded = federate(linear, digits, settings, test=held_out, out=tmp_path / "coded", progress=False)
    whole = federate(
        linear, digits, Settings(rounds=8, clients=4, lr=0.1, alpha=None), test=held_out, out=tmp_path / "whole",
        progress=False,
    )  # fmt: skip
    assert coded.rounds[-1].accuracy > whole.rounds[-1].accuracy - 0.05
    up, down = (
        sum(getattr(r, name) for r in whole.rounds) / sum(getattr(r, name) for r in coded.rounds)
        for name in ("bytes_up", "bytes_down")
    )
    assert up > less_up
    assert down > less_down - 0.01
    assert coded.settings["codec"] == codec


def test_an_interrupted_run_goes_on_to_the_same_model(linear, digits, held_out, tmp_path):
    settings = {"clients": 3, "codec": "default", "downlink": "qsgd:bits=4,norm=max"}
    whole = federate(
        linear, digits, Settings(rounds=4, **settings), test=held_out, out=tmp_path / "a", progress=False
    )
    federate(
        linear, digits, Settings(rounds=2, **settings), test=held_out, out=tmp_path / "b", progress=False
    )
    again = federate(
        linear, digits, Settings(rounds=4, **settings), test=held_out, out=tmp_path / "b", progress=False
    )
    assert [r.loss for r in again.rounds] == [r.loss for r in whole.rounds]


def test_settings_refuse_what_is_no_codec():
    with pytest.raises(InputError, match="did you mean 'qsgd'"):
        Settings(codec="qsdg")
    with pytest.raises(InputError, match="nothing is left to feed back"):
        Settings(downlink="feedback(topk)")


def test_messages_are_kept_while_they_are_smaller_than_the_model():
    found = Published(7, size=10).add(b"1234").add(b"5678")
    assert found.since(9) == ()
    assert found.since(8) == (b"5678",)
    assert found.since(7) == (b"1234", b"5678")
    assert found.since(6) is None
    assert found.since(10) is None
    assert found.since(None) is None
    assert found.add(b"9").since(7) == (b"1234", b"5678", b"9")
    assert found.add(b"90").since(7) is None
    assert found.add(bytes(10)).since(9) is None
    assert found.add(bytes(10)).since(10) == ()


def test_devices_follow_to_where_the_server_goes_on_from():
    rng = np.random.default_rng(0)
    codec = parse("qsgd:bits=2,norm=max")
    model = start = {"w": rng.standard_normal((30, 20)).astype(np.float32)}
    messages = []
    for number in range(1, 4):
        after = {"w": model["w"] + rng.standard_normal((30, 20)).astype(np.float32) / 100}
        message, model = publish(codec, model, after, 0, number)
        messages.append(message)
    np.testing.assert_array_equal(follow(start, messages, codec)["w"], model["w"])
    with pytest.raises(TransferError):
        follow(start, [messages[0][:-1]], codec)
    assert not np.array_equal(decode(messages[0], start)["w"], decode(messages[1], start)["w"])
