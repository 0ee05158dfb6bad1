"""Every strategy of Flower by name, behind our round loop."""

import json

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp, strategy

from edge_runtime.errors import InputError
from federated import Settings, federate
from federated.checkpoint import load
from federated.flower import strategies
from federated.flower.arrays import from_record, to_record
from federated.flower.grid import run_in_process
from federated.flower.strategies import AROUND, STRATEGIES, named

MODEL = {"w": np.array([1, 2, 3], np.float32), "n": np.array([4], np.float16)}
NEEDS = {
    "dp-server-fixed": ":noise_multiplier=0,clipping_norm=100",
    "dp-client-fixed": ":noise_multiplier=0,clipping_norm=100",
    "dp-server-adaptive": ":noise_multiplier=0",
    "dp-client-adaptive": ":noise_multiplier=0",
}
FOR_MODELS = sorted(STRATEGIES.keys() - {"fedxgbbagging"})


def inside(main, clients=6):
    server = ServerApp()
    server.main()(lambda grid, _context: main(grid))
    run_in_process(server, ClientApp(), clients)


def answers(messages, move=0.5):
    found = []
    for i, message in enumerate(messages):
        weights = {name: (a + (move * (i + 1)) * (name == "w")).astype(a.dtype) for name, a in MODEL.items()}
        metrics = {"num-examples": 10 * (i + 1), "loss": 0.5, "norm_bit": 1}
        found.append(
            Message(
                RecordDict({"arrays": to_record(weights), "metrics": MetricRecord(metrics)}), reply_to=message
            )
        )
    return found


def test_flowers_strategies_are_all_there():
    """A new one in Flower makes this fail until it has a name."""
    made = {kind.__name__ for kind in (*STRATEGIES.values(), *AROUND.values())}
    assert made == set(strategy.__all__) - {"Result", "Strategy"}


@pytest.mark.parametrize("name", [*FOR_MODELS, *AROUND])
def test_by_name_it_aggregates_what_our_clients_send(name):
    def main(grid):
        ours = named(name + NEEDS.get(name, ""), 5, 0, 0.1)
        messages = list(ours.configure_train(1, to_record(MODEL), ConfigRecord({"lr": 0.1}), grid))
        assert len(messages) == (1 if name == "fedxgbcyclic" else 5)
        assert messages[0].content["config"]["server-round"] == 1
        arrays, metrics = ours.aggregate_train(1, answers(messages))
        found = from_record(arrays)
        assert {each: array.dtype for each, array in found.items()} == {
            each: a.dtype for each, a in MODEL.items()
        }
        assert (found["w"] > MODEL["w"]).all()
        assert metrics["loss"] == pytest.approx(0.5)

    inside(main)


def test_takes_the_same_clients_each_time_and_records_of_their_own():
    def main(grid):
        one, again = (
            list(named("fedavg", 3, 7, 0.1).configure_train(4, to_record(MODEL), ConfigRecord(), grid))
            for _ in "ab"
        )
        nodes = [message.metadata.dst_node_id for message in one]
        assert nodes == [message.metadata.dst_node_id for message in again] == sorted(nodes)
        one[0].content["config"]["server-round"] = 99
        assert one[1].content["config"]["server-round"] == 4
        del one[0].content["arrays"]
        assert "arrays" in one[1].content

    inside(main)


@pytest.mark.parametrize(
    "text",
    [
        "fedadam:eta=0.3",
        "fedyogi",
        "fedadagrad",
        "fedavgm:server_momentum=0.9",
        "dp-server-adaptive:noise_multiplier=0(fedadam)",
    ],
)
def test_goes_on_from_its_state(text):
    def rounds(grid, ours, numbers, model):
        for number in numbers:
            messages = list(ours.configure_train(number, to_record(model), ConfigRecord(), grid))
            model = from_record(ours.aggregate_train(number, answers(messages, 0.1 * number))[0])
        return model

    def main(grid):
        whole = rounds(grid, named(text, 4, 0, 0.1), (1, 2, 3), MODEL)
        first, second = named(text, 4, 0, 0.1), named(text, 4, 0, 0.1)
        half = rounds(grid, first, (1,), MODEL)
        state = first.state()
        assert state
        second.restore(state)
        parts = rounds(grid, second, (2, 3), half)
        np.testing.assert_array_equal(whole["w"], parts["w"])
        other = rounds(grid, named(text, 4, 0, 0.1), (2, 3), half)
        assert (other["w"] != whole["w"]).any()

    inside(main)


def test_bagging_adds_trees():
    """Flower's own form of a forest: one array of JSON bytes named "0"."""

    def forest(trees):
        params = {"num_trees": str(len(trees)), "num_parallel_tree": "1"}
        booster = {"gbtree_model_param": params, "trees": trees, "iteration_indptr": [0], "tree_info": []}
        text = json.dumps({"learner": {"gradient_booster": {"model": booster}}})
        return {"0": np.frombuffer(text.encode(), np.uint8)}

    def main(grid):
        ours = named("fedxgbbagging", 2, 0, 0.1)
        messages = list(ours.configure_train(1, to_record(forest([])), ConfigRecord(), grid))
        replies = [
            Message(
                RecordDict(
                    {
                        "arrays": to_record(forest([{"depth": i}])),
                        "metrics": MetricRecord({"num-examples": 1}),
                    }
                ),
                reply_to=message,
            )
            for i, message in enumerate(messages)
        ]
        arrays, _ = ours.aggregate_train(1, replies)
        model = json.loads(bytes(from_record(arrays)["0"]))["learner"]["gradient_booster"]["model"]
        assert [tree["depth"] for tree in model["trees"]] == [0, 1]
        assert ours.state()

    inside(main, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fedadm", "did you mean 'fedadam'"),
        ("krum:f=2", "no parameter 'f'; it takes num_malicious_nodes"),
        ("fedavg:fraction_train=0.5", "no parameter 'fraction_train'"),
        ("fedtrimmedavg:beta=0.9", "must be in the range"),
        ("fedadam:eta=fast", "expected a number"),
        ("dp-server-fixed", "needs noise_multiplier=..., clipping_norm=..."),
        ("fedavg(krum)", "stands around no other"),
        ("dp-server-fixed:noise_multiplier=1,clipping_norm=1(krum", "bracket is not closed"),
    ],
)
def test_what_is_none(text, says):
    with pytest.raises(InputError, match=says.replace("(", r"\(").replace(".", r"\.")):
        named(text, 3, 0, 0.1)


def test_one_around_another():
    inner = named("dp-server-fixed:noise_multiplier=1,clipping_norm=0.5(fedadam:eta=0.3)", 3, 0, 0.1).inner
    assert (inner.num_sampled_clients, inner.clipping_norm, inner.strategy.eta) == (3, 0.5, 0.3)
    assert [type(each) for each in strategies._nested(inner)] == [
        AROUND["dp-server-fixed"],
        STRATEGIES["fedadam"],
    ]


def test_without_replies_there_is_no_aggregate():
    assert named("fedavg", 3, 0, 0.1).aggregate_train(1, []) == (None, None)


def test_fedprox_pulls_devices_back_as_the_method_does(linear, digits, held_out, tmp_path):
    """Flower's FedProx says no more than its mu; the devices act on it."""

    def learned(name, **more):
        settings = Settings(rounds=2, clients=3, **more)
        federate(linear, digits, settings, out=tmp_path / name, test=held_out, progress=False)
        return load(tmp_path / name / "checkpoint.npz").parameters

    by_strategy = learned("strategy", strategy="fedprox:proximal_mu=0.5")
    by_method, plain = learned("method", method="fedprox:mu=0.5"), learned("plain")
    for name, array in by_strategy.items():
        np.testing.assert_allclose(array, by_method[name], atol=1e-6)
    assert any(not np.allclose(array, plain[name], atol=1e-4) for name, array in by_strategy.items())
    assert named("fedprox", 3, 0, 0.05).inner.proximal_mu == 0.01
    with pytest.raises(InputError, match="leave one away"):
        Settings(strategy="fedprox", method="reptile")
