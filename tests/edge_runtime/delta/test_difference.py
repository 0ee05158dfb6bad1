import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.delta.difference import KINDS, decode, encode
from edge_runtime.errors import TransferError


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_any_bits_come_back(kind, data):
    width = KINDS[kind]
    count = data.draw(st.integers(0, 40))
    old, new = (data.draw(st.binary(min_size=count * width, max_size=count * width)) for _ in range(2))
    assert decode(old, encode(old, new, kind), kind) == new


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_large_tensors_of_many_exponents_come_back(kind):
    rng = np.random.default_rng(0)
    old = np.exp(rng.normal(0, 3, 30_000)) * rng.choice([-1, 1], 30_000)
    pair = [
        np.clip(values, -100, 100).astype(kind) for values in (old, old * (1 + rng.normal(0, 1e-3, 30_000)))
    ]
    old, new = (array.astype(array.dtype.newbyteorder("<")).tobytes() for array in pair)
    assert decode(old, encode(old, new, kind), kind) == new


def test_a_step_of_training_takes_about_half():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=100_000).astype(np.float32)
    tuned = (weights + 1e-3 * rng.normal(size=weights.size)).astype(np.float32)
    assert len(encode(weights.tobytes(), tuned.tobytes(), "float32")) < 0.53 * weights.nbytes


def test_special_values_and_both_zeros_are_kept():
    old = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38])
    new = old[::-1].copy()
    assert decode(old.tobytes(), encode(old.tobytes(), new.tobytes(), "float32"), "float32") == new.tobytes()


@given(st.sampled_from(["float32", "int16", "float16"]), st.data())
def test_damage_is_an_error_or_another_tensor_of_that_size(kind, data):
    rng = np.random.default_rng(1)
    old, new = (rng.integers(0, 100, 64).astype(kind).tobytes() for _ in range(2))
    coded = bytearray(encode(old, new, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        coded[data.draw(st.integers(0, len(coded) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(coded)))
    with contextlib.suppress(TransferError, ValueError, struct.error):
        assert len(decode(old, bytes(coded[:cut]), kind)) == len(old)
