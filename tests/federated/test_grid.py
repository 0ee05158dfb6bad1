import logging

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

from edge_runtime.errors import FleetError, InputError
from federated.flower.grid import InProcessGrid, run_in_process


def counting(message, context):
    """Answers how often this node was asked; node 2 raises."""
    if context.node_id == 2:
        raise InputError("no data here\nand more")
    seen = context.state.metric_records.get("seen", MetricRecord({"n": 0}))
    context.state["seen"] = MetricRecord({"n": seen["n"] + 1})
    reply = RecordDict(
        {"metrics": MetricRecord({"n": seen["n"] + 1, "of": context.node_config["num-partitions"]})}
    )
    return Message(reply, reply_to=message)


def run(main, function=counting, clients=4):
    client, server = ClientApp(), ServerApp()
    client.train()(function)
    server.main()(main)
    run_in_process(server, client, clients)


def ask(nodes):
    return [Message(RecordDict({"config": ConfigRecord()}), node, "train") for node in nodes]


def test_nodes_answer_and_keep_their_state():
    found = {}

    def main(grid, context):
        assert grid.get_node_ids() == [0, 1, 2, 3]
        grid.send_and_receive(ask([0, 1]))
        for reply in grid.send_and_receive(ask([1, 3])):
            found[reply.metadata.src_node_id] = dict(reply.content["metrics"])

    run(main)
    assert found == {1: {"n": 2, "of": 4}, 3: {"n": 1, "of": 4}}


def test_a_client_that_raises_becomes_an_error_reply():
    replies = []
    run(lambda grid, _context: replies.extend(grid.send_and_receive(ask([1, 2]))))
    assert [reply.has_error() for reply in replies] == [False, True]
    assert replies[1].error.reason == "no data here"
    assert replies[1].metadata.src_node_id == 2


def test_an_exception_of_another_kind_says_which():
    replies = []

    def broken(message, context):
        raise ZeroDivisionError

    run(lambda grid, _context: replies.extend(grid.send_and_receive(ask([0]))), broken)
    assert replies[0].error.reason == "ZeroDivisionError: "


def test_push_and_pull():
    def main(grid, context):
        message = grid.create_message(RecordDict({"config": ConfigRecord()}), "train", 1, group_id="g")
        keys = grid.push_messages([message, *ask([3])])
        replies = grid.pull_messages(keys)
        assert [reply.metadata.src_node_id for reply in replies] == [1, 3]
        assert replies[0].metadata.group_id == "g"
        assert grid.pull_messages(keys) == []
        grid.set_run("a run")
        assert grid.run == "a run"

    run(main)


def test_a_timeout_leaves_the_rest_unasked():
    replies = []
    run(lambda grid, _context: replies.extend(grid.send_and_receive(ask([0, 1, 3]), timeout=-1)))
    assert replies == []


def test_the_process_is_left_as_it_was():
    before = (TaskIdentity._run_id, TaskIdentity._node_id, TaskIdentity._task_id)
    level = logging.getLogger("flwr").level

    def main(grid, context):
        raise FleetError("the server fails")

    with pytest.raises(FleetError, match="the server fails"):
        run(main)
    assert (TaskIdentity._run_id, TaskIdentity._node_id, TaskIdentity._task_id) == before
    assert logging.getLogger("flwr").level == level


def test_an_interrupt_is_not_a_clients_failure():
    def interrupted(message, context):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lambda grid, _context: grid.send_and_receive(ask([0])), interrupted)


def test_flowers_own_strategy_and_loop_run_over_it(capfd):
    import numpy as np
    from flwr.app import Array

    def plus_one(message, context):
        arrays = {"w": Array(message.content["arrays"]["w"].numpy() + 1)}
        metrics = MetricRecord({"num-examples": 1, "loss": 0.5})
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)

    results = []

    def main(grid, context):
        start = ArrayRecord({"w": Array(np.zeros(2, np.float32))})
        strategy = FedAvg(fraction_evaluate=0.0)
        results.append(strategy.start(grid=grid, initial_arrays=start, num_rounds=3))

    run(main, plus_one)
    np.testing.assert_array_equal(results[0].arrays["w"].numpy(), [3, 3])
    assert capfd.readouterr().err == ""  # Flower's log lines would break the progress lines


def test_is_a_grid():
    from flwr.serverapp import Grid

    assert issubclass(InProcessGrid, Grid)
