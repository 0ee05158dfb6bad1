from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.errors import InputError
from federated import Settings, checkpoint
from federated.checkpoint import State
from tests.federated.test_history import a_history, a_round

WEIGHTS = {
    "w/kernel:0": np.arange(6, dtype=np.float32).reshape(2, 3),
    "history": np.array(3, np.int64),
    "": np.zeros((0, 2), np.float16),
}


@pytest.fixture
def saved(tmp_path):
    state = State(WEIGHTS, a_history().add(a_round(1)).add(a_round(2)))
    return checkpoint.save(tmp_path / "checkpoint.npz", state), state


def test_round_trip(saved):
    path, state = saved
    loaded = checkpoint.load(path)
    assert loaded.round == 2
    assert loaded.history == state.history
    assert loaded.parameters.keys() == WEIGHTS.keys()
    for name, array in loaded.parameters.items():
        assert array.dtype == WEIGHTS[name].dtype
        np.testing.assert_array_equal(array, WEIGHTS[name])


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_one_that_was_cut_short_is_refused(saved, keep):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"checkpoint\.npz: not a checkpoint, or cut short"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "content",
    [{"x": np.zeros(3)}, {"history": np.zeros(3)}, {"history": np.array([{"a": 1}], object)}],
    ids=["no history", "not json", "a pickle"],
)
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    np.savez(path, **content)
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.load(path)


def test_a_failed_write_leaves_the_one_before(saved):
    path, state = saved
    before = path.read_bytes()
    with pytest.raises(ValueError):
        checkpoint.save(path, State(state.parameters, a_history(settings={"lr": float("nan")})))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["checkpoint.npz"]


def check(state, settings=(), inputs=None):
    settings = dict(state.history.settings) | dict(settings)
    checkpoint.check_same("c.npz", state, settings, inputs or state.history.inputs)


def test_the_same_run_may_go_on_and_grow(saved):
    _, state = saved
    check(state)
    check(state, {"rounds": 99})
    check(state, {"rounds": 2})


@pytest.mark.parametrize(
    ("settings", "inputs", "says"),
    [
        ({"lr": 0.1}, None, r"c\.npz: is of a run with lr 0\.05, not 0\.1; .*--restart"),
        ({"alpha": None}, None, r"with alpha 0\.5, not None"),
        ({}, {"data": "cd"}, "where the data was another"),
        ({"seed": 1}, {"data": "cd"}, "with seed 0, not 1"),  # which changed the data held out
        ({"rounds": 1}, None, "has finished round 2, beyond rounds 1"),
    ],
)
def test_another_run_may_not(saved, settings, inputs, says):
    with pytest.raises(InputError, match=says):
        check(saved[1], settings, inputs)


def test_a_setting_that_is_newer_than_the_checkpoint_counts_as_its_default(saved):
    _, state = saved
    older = {name: value for name, value in Settings().to_json().items() if name != "select"}
    old = replace(state, history=replace(state.history, settings=older))
    checkpoint.check_same("c.npz", old, Settings().to_json(), old.history.inputs)
    with pytest.raises(InputError, match="with select none, not ready"):
        checkpoint.check_same("c.npz", old, Settings(select="ready").to_json(), old.history.inputs)
