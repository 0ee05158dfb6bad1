import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.delta.quantized import decode, difference, encode, stretch, undo
from edge_runtime.errors import TransferError


@given(st.binary(max_size=300), st.data())
def test_what_is_undone_is_the_new_tensor(old, data):
    new = data.draw(st.binary(min_size=len(old), max_size=len(old)))
    assert undo(old, difference(old, new)) == new


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=200), st.integers(1, 250)), max_size=5))
def test_any_tensors_with_any_stretches_come_back(tensors):
    steps = [(np.frombuffer(content, np.uint8), size) for content, size in tensors]
    found = decode(encode(steps), [(len(content), size) for content, size in tensors])
    assert [each.tobytes() for each in found] == [content for content, _ in tensors]


def weights(count=100_000):
    return np.random.default_rng(0).integers(-127, 128, count).astype(np.int8)


def coded(old, new, rows):
    steps = difference(old.tobytes(), new.tobytes())
    return len(encode([(steps, stretch(steps, rows)[0])]))


def test_few_changes_take_little():
    old = weights()
    new = np.where(np.random.default_rng(1).random(old.size) < 0.01, np.minimum(old, 126) + 1, old).astype(
        np.int8
    )
    assert coded(old, new, 100) < 0.015 * old.nbytes


def test_rows_that_change_more_do_not_cost_the_others():
    old = weights()
    new = old.copy()
    new[:1000] = np.random.default_rng(2).integers(-127, 128, 1000)  # one row of a hundred is another
    assert coded(old, new, 100) < 1000 + 600


def test_the_cost_that_is_told_is_what_it_takes():
    old = weights()
    new = np.clip(old + np.random.default_rng(3).normal(size=old.size), -127, 127).astype(np.int8)
    steps = difference(old.tobytes(), new.tobytes())
    size, cost = stretch(steps, 100)
    assert len(encode([(steps, size)])) == pytest.approx(cost, rel=0.05)


@given(st.data())
def test_damage_is_an_error_or_other_tensors_of_that_size(data):
    steps = np.random.default_rng(4).integers(0, 20, 300).astype(np.uint8)
    made = bytearray(encode([(steps, 50)]))
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(made)))
    with contextlib.suppress(TransferError, ValueError, struct.error):
        assert [len(each) for each in decode(bytes(made[:cut]), [(300, 50)])] == [300]


def test_stretches_of_nothing_are_refused():
    with pytest.raises(ValueError, match="no stretches"):
        decode(b"", [(10, 0)])
