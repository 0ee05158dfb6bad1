"""Coded storage: the same bytes back, small where values repeat."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import TransferError
from edge_runtime.storage import code, restore


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 500), st.sampled_from([1, 2, 4, 8]))
def test_the_same_bytes_come_back(before, after, count, itemsize):
    tensor = np.random.default_rng(count).integers(0, 20, count).astype(f"<u{itemsize}").tobytes()
    content = before + tensor + after
    assert restore(code(content, [(len(before), len(tensor), itemsize)])) == content


def test_several_tensors_and_none():
    parts = [np.full(1000, k, np.float32).tobytes() for k in range(3)]
    content = b"a".join(parts)
    places = [(0, 4000, 4), (4001, 4000, 4), (8002, 4000, 4)]
    assert restore(code(content, places)) == content
    assert len(code(content, places)) < 300
    assert restore(code(content, [])) == content
    assert restore(code(b"", [])) == b""


def test_a_sparse_clustered_tensor_takes_its_entropy():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(400_000) < 0.08, rng.integers(1, 33, 400_000), 0).astype(np.float32)
    bits = 0.402 + 0.08 * 5  # of the zero mask, and of five-bit indices where it is set
    stored = code(values.tobytes(), [(0, values.nbytes, 4)])
    assert len(stored) * 8 < 1.03 * bits * values.size + 8 * 1000
    assert values.nbytes / len(stored) > 35


def test_values_that_do_not_repeat_are_deflated():
    content = np.random.default_rng(0).standard_normal(20_000).astype(np.float32).tobytes()
    stored = code(content, [(0, len(content), 4)])
    assert restore(stored) == content
    assert len(stored) < 1.01 * len(content)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damage_is_named_or_seen(place, change):
    content = np.random.default_rng(0).integers(0, 9, 4000).astype("<u1").tobytes()
    stored = bytearray(code(content, [(0, 4000, 1)]))
    stored[place % len(stored)] ^= change
    try:
        assert restore(bytes(stored)) != content or place % len(stored) < 20
    except TransferError as error:
        assert "damaged" in str(error)
