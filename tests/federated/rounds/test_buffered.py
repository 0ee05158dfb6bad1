import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import FleetError, InputError
from federated import federated_average
from federated.rounds.buffered import Buffer
from federated.update import Update

ONE = {"w": np.float32([1.0, 2.0]), "n": np.int64([3])}


def learned(by, n=0):
    return {"w": ONE["w"] + np.float32(by), "n": ONE["n"] + n}


@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.integers(1, 50)), min_size=1, max_size=6))
def test_without_staleness_a_step_is_the_average(answers):
    buffer = Buffer(len(answers))
    for by, examples in answers:
        assert not buffer.full
        buffer.add(learned(by), ONE, examples, 0)
    assert buffer.full
    average = federated_average(Update.of(learned(by), examples) for by, examples in answers)
    stepped = buffer.step(ONE)
    np.testing.assert_allclose(stepped["w"], average["w"], rtol=1e-5, atol=1e-6)
    assert stepped["n"] == average["n"]
    assert {name: array.dtype for name, array in stepped.items()} == {"w": np.float32, "n": np.int64}


def test_what_is_stale_moves_the_model_less():
    buffer = Buffer(1)
    buffer.add(learned(1.0), ONE, 10, 3)
    now = {"w": np.float32([5.0, 5.0]), "n": ONE["n"]}
    np.testing.assert_allclose(buffer.step(now)["w"], [5.5, 5.5])


def test_a_step_empties_the_buffer():
    buffer = Buffer(2)
    for _ in range(2):
        buffer.add(learned(1.0), ONE, 1, 0)
    buffer.step(ONE)
    with pytest.raises(FleetError, match="no change"):
        buffer.step(ONE)


@pytest.mark.parametrize(
    ("answer", "examples", "staleness", "said"),
    [
        (learned(1.0), 1, 21, "21 versions old"),
        (learned(np.nan), 1, 0, "NaN"),
        (learned(1.0), 0, 0, "num_examples 0"),
        ({"w": ONE["w"]}, 1, 0, "another model"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_trace(answer, examples, staleness, said):
    buffer = Buffer(1)
    with pytest.raises(FleetError, match=said):
        buffer.add(answer, ONE, examples, staleness)
    assert not buffer.full
    buffer.add(learned(2.0), ONE, 1, 0)
    np.testing.assert_allclose(buffer.step(ONE)["w"], ONE["w"] + 2)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="size of 1 or more"):
        Buffer(0)
