"""Hostile bytes: whatever comes, a decoder gives arrays that fit, or one sentence; it takes neither long nor much."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import entropy
from edge_runtime.errors import FleetError, LittoralError, TransferError
from federated.codecs import Context, decode, encode, levels, parse, positions, spec, symbols
from federated.codecs.reader import Reader, varint
from tests.federated.test_codecs import SPECS, update

MESSAGES = {text: encode(parse(text), update(), Context()) for text in SPECS}
CAREFUL = settings(max_examples=30, derandomize=True, deadline=None)


def fits_or_is_refused(content, codec=None):
    like = update()
    try:
        got = decode(content, like, codec)
    except LittoralError as error:
        assert "\n" not in str(error)
        return False
    assert {n: (a.dtype, a.shape) for n, a in got.items()} == {n: (a.dtype, a.shape) for n, a in like.items()}
    assert all(np.isfinite(array).all() for array in got.values())
    return True


@pytest.mark.parametrize("text", SPECS)
@CAREFUL
@given(data=st.data())
def test_a_message_that_is_cut_short_is_refused(text, data):
    message = MESSAGES[text]
    assert fits_or_is_refused(message, parse(text))
    cut = data.draw(st.integers(0, len(message) - 1))
    assert not fits_or_is_refused(message[:cut], parse(text))
    assert not fits_or_is_refused(message + b"\0", parse(text))


@pytest.mark.parametrize("text", SPECS)
@CAREFUL
@given(data=st.data())
def test_any_bytes_and_any_changed_byte_do_no_harm(text, data):
    message = bytearray(MESSAGES[text])
    head = 3 + message[2]
    fits_or_is_refused(bytes(message[:head]) + data.draw(st.binary(max_size=300)), parse(text))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    fits_or_is_refused(bytes(message))


@CAREFUL
@given(st.binary(max_size=100))
def test_any_bytes_at_all(content):
    fits_or_is_refused(content)
    fits_or_is_refused(b"u\1" + content)


def test_what_was_not_agreed_on_is_refused():
    message, like = MESSAGES["half"], update()
    with pytest.raises(FleetError, match="written as 'half'; 'sign' was agreed on"):
        decode(message, like, parse("sign"))
    with pytest.raises(TransferError, match="version 9; 1 can be read"):
        decode(b"u\x09" + message[2:], like)
    with pytest.raises(TransferError, match="begins with other bytes"):
        decode(b"PK" + message[2:], like)
    with pytest.raises(TransferError):
        decode(message, {"w1": like["w1"]})
    with pytest.raises(TransferError, match="there are"):
        decode(b"u\1\4haif", like)


def bombs():
    """Messages of a few bytes that ask for much, for a model of 100,000 elements."""
    count = 100_000
    head = b"u\1" + bytes([len("lossless")]) + b"lossless"
    yield head + b"\1" + symbols.write_coded(entropy.encode(np.zeros(1 << 20, np.int64)))
    lanes = bytearray(entropy.encode(np.zeros(count, np.int64)))
    lanes[4:6] = (1).to_bytes(2, "little")
    yield head + b"\1" + symbols.write_coded(bytes(lanes))
    yield head + b"\2" + symbols.write_coded(__import__("zlib").compress(bytes(1 << 24)))
    qsgd = b"u\1" + bytes([len("qsgd")]) + b"qsgd" + np.float32(1).tobytes()
    yield qsgd + b"\1" + b"\2" + varint(1 << 34)
    yield qsgd + varint(127) + (b"\2" + varint(count) + bytes(count // 8)) * 8


@pytest.mark.parametrize("content", list(bombs()), ids=range(5))
def test_a_few_bytes_do_not_become_many(content):
    like = {"w": np.zeros(100_000, np.float32)}
    peaks, began = [], time.thread_time()
    for _ in range(3):  # other threads of the process may allocate meanwhile
        tracemalloc.start()
        with pytest.raises(TransferError):
            decode(content, like)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(peaks) < 16e6  # 160 bytes a parameter
    assert time.thread_time() - began < 15  # one lane would take minutes


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.sets(st.integers(0, 4999)), st.integers(5000, 9000))
def test_positions_come_back(chosen, size):
    places = np.array(sorted(chosen), np.int64)
    reader = Reader(positions.encode(places, size))
    np.testing.assert_array_equal(positions.decode(reader, size), places)
    reader.done()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("most", [1, 2, 7, 127])
def test_levels_come_back_in_little_more_than_their_entropy(share, most):
    rng = np.random.default_rng(int(1000 * share) + most)
    size = 50_000
    found = np.where(rng.random(size) < share, rng.integers(1, most + 1, size) * rng.choice([-1, 1], size), 0)
    content = levels.encode(found, most)
    reader = Reader(content)
    np.testing.assert_array_equal(levels.decode(reader, size, most), found)
    reader.done()
    counts = np.bincount(found + most) / size
    entropy_bytes = -size * (counts[counts > 0] * np.log2(counts[counts > 0])).sum() / 8
    assert len(content) < 1.06 * entropy_bytes + 2 * 2 * most + 150


def test_clumped_positions_cost_less_than_scattered_ones():
    rng = np.random.default_rng(0)
    dense = np.flatnonzero(rng.random(20_000) < 0.2)
    scattered = np.sort(rng.choice(1_000_000, len(dense), replace=False))
    assert len(positions.encode(dense, 1_000_000)) < 0.5 * len(positions.encode(scattered, 1_000_000))


def test_named_settings_are_short_on_the_wire():
    assert all(len(spec(parse(name))) <= 16 for name in ("default", "aggressive"))
