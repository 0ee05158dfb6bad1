"""The entropy coder: lossless, close to the entropy, and aware of damage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_runtime.entropy import decode, encode
from edge_runtime.errors import TransferError


@given(hnp.arrays(np.int64, st.integers(0, 3000), elements=st.integers(0, 300)))
def test_what_is_encoded_is_decoded(symbols):
    np.testing.assert_array_equal(decode(encode(symbols)), symbols)


@given(st.integers(1, 20_000), st.integers(1, 40), st.floats(0.05, 1.0))
def test_skewed_symbols_of_any_length(count, alphabet, share):
    weights = share ** np.arange(alphabet)
    symbols = np.random.default_rng(count).choice(alphabet, count, p=weights / weights.sum())
    np.testing.assert_array_equal(decode(encode(symbols)), symbols)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_size_is_that_of_the_entropy(share):
    weights = share ** np.arange(32)
    p = weights / weights.sum()
    symbols = np.random.default_rng(0).choice(32, 400_000, p=p)
    bits = -(p * np.log2(p)).sum() * len(symbols)
    assert len(encode(symbols)) * 8 < 1.01 * bits + 8 * 4 * 200  # the lanes' states come on top


def test_rare_symbols_survive_among_many():
    symbols = np.zeros(100_000, np.int64)
    symbols[::9973] = np.arange(1, 12)
    np.testing.assert_array_equal(decode(encode(symbols)), symbols)


@given(st.integers(0, 199), st.integers(1, 255))
def test_damage_is_an_error_or_shows(place, change):
    content = bytearray(encode(np.random.default_rng(0).integers(0, 5, 2000)))
    content[place] ^= change
    try:
        assert len(decode(bytes(content))) >= 0
    except TransferError as error:
        assert "damaged" in str(error)


def test_a_cut_is_noticed():
    content = encode(np.random.default_rng(0).integers(0, 5, 2000))
    for length in (0, 3, 10, len(content) // 2, len(content) - 1):
        with pytest.raises(TransferError, match="cut short or damaged"):
            decode(content[:length])


@pytest.mark.parametrize("symbol", [-1, 1 << 14])
def test_what_cannot_be_coded_is_refused(symbol):
    with pytest.raises(ValueError, match="can be coded"):
        encode(np.array([symbol]))
