"""What Littoral relies on in Flower beyond its public API: if one of these fails, look at flower/grid.py first."""

import inspect
import logging
import subprocess
import sys
from importlib import metadata

import pytest

LOOK = "Flower {version} changed this; adapt federated/flower/grid.py (and the bound on flwr in pyproject.toml)".format(
    version=metadata.version("flwr")
)


def test_task_identity_can_be_set_and_read():
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        pytest.fail(f"flwr.supercore.task_identity.TaskIdentity is gone: {LOOK}")
    for name in ("run_id", "node_id", "task_id"):
        assert hasattr(TaskIdentity, f"_{name}"), f"TaskIdentity._{name} is gone: {LOOK}"
        before = getattr(TaskIdentity, f"_{name}")
        setattr(TaskIdentity, name, 7)
        try:
            assert getattr(TaskIdentity, name) == getattr(TaskIdentity, f"_{name}") == 7, LOOK
        finally:
            setattr(TaskIdentity, name, before)


def test_a_message_still_needs_an_identity():
    from flwr.app import Message, RecordDict

    with pytest.raises(RuntimeError, match="TaskIdentity"):  # else federated.flower.grid._identity can go
        Message(RecordDict(), 1, "train")


def test_the_grid_asks_for_what_ours_implements():
    from flwr.serverapp import Grid

    from federated.flower.grid import InProcessGrid

    assert not InProcessGrid.__abstractmethods__, f"Grid has new abstract members: {LOOK}"
    wanted = {
        "set_run",
        "run",
        "create_message",
        "get_node_ids",
        "push_messages",
        "pull_messages",
        "send_and_receive",
    }
    assert set(Grid.__abstractmethods__) == wanted, LOOK


def test_a_strategy_is_called_as_ours_expects():
    from flwr.serverapp.strategy import FedAvg

    assert list(inspect.signature(FedAvg.configure_train).parameters) == [
        "self",
        "server_round",
        "arrays",
        "config",
        "grid",
    ], LOOK
    assert list(inspect.signature(FedAvg.aggregate_train).parameters) == [
        "self",
        "server_round",
        "replies",
    ], LOOK
    defaults = {name: p.default for name, p in inspect.signature(FedAvg.__init__).parameters.items()}
    from federated.flower import client as flower_client

    assert defaults["arrayrecord_key"] == flower_client.ARRAYS, LOOK
    assert defaults["configrecord_key"] == flower_client.CONFIG, LOOK
    assert defaults["weighted_by_key"] == flower_client.NUM_EXAMPLES, LOOK


def test_the_logger_and_the_error_code_have_their_names():
    from flwr.common.constant import ErrorCode
    from flwr.supercore.logger import FLOWER_LOGGER

    from federated.flower import grid

    assert logging.getLogger(grid._LOGGER) is FLOWER_LOGGER, LOOK
    assert ErrorCode.CLIENT_APP_RAISED_EXCEPTION == grid.RAISED, LOOK


def test_what_would_call_home_is_off_before_flower_is_imported():
    code = (
        "import federated, os, sys; assert 'flwr' not in sys.modules; federated.server_app; "
        "from flwr.supercore import telemetry; "
        "print(telemetry.FLWR_TELEMETRY_ENABLED, os.environ['FLWR_DISABLE_UPDATE_CHECK'], "
        "os.environ['RAY_USAGE_STATS_ENABLED'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "0"], LOOK


def test_flower_takes_our_arrays_for_its_own():
    """`federated.flower.arrays.Held` bears the name that Flower writes in front of an Array, and reads back."""
    import numpy as np
    from flwr.app import Array, ArrayRecord

    from federated.flower.arrays import to_record

    for value in (
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.array(3, np.int64),
        np.zeros((0, 2), bool),
    ):
        ours, theirs = to_record({"w": value})["w"], Array(np.ascontiguousarray(value).reshape(value.shape))
        assert (ours.dtype, ours.shape, ours.stype, ours.data) == (
            theirs.dtype, theirs.shape, theirs.stype, theirs.data,
        ), LOOK  # fmt: skip
        assert ours.object_id == theirs.object_id, LOOK
        back = Array.inflate(ours.deflate(), dict(ours.slice_array()))
        np.testing.assert_array_equal(back.numpy(), value)
    assert type(ArrayRecord({"w": ours})["w"]) is Array, (
        "ArrayRecord keeps what it is given: to_record can be shorter"
    )


def test_the_mqtt_grid_is_complete():
    from federated.flower.mqtt_grid import MqttGrid

    assert not MqttGrid.__abstractmethods__, f"Grid has new abstract members: {LOOK}"
