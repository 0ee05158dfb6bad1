import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import TransferError
from federated.link import wire
from federated.link.wire import Message, Record

DTYPES = ["bool", "int8", "uint8", "int64", "float16", "float32", "float64"]


@st.composite
def arrays(draw):
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    content = draw(st.binary(min_size=256 * 8, max_size=256 * 8))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if dtype.kind == "b":
        return (np.frombuffer(content, np.uint8)[: int(np.prod(shape))] > 127).reshape(shape)
    return np.frombuffer(content, dtype)[: int(np.prod(shape))].reshape(shape)


NAMES = st.text(max_size=12)
PLAIN = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.text(max_size=9), st.booleans(), st.binary(max_size=9)
)
TABLES = st.dictionaries(NAMES, st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), max_size=4)
RECORDS = st.one_of(
    st.builds(
        Record, st.just("arrays"), st.dictionaries(NAMES, st.one_of(arrays(), st.binary()), max_size=4)
    ),
    st.builds(Record, st.sampled_from(["metrics", "config"]), TABLES),
)
HEADS = st.dictionaries(NAMES, st.one_of(st.integers(), st.text(max_size=9), st.none()), max_size=4)
MESSAGES = st.builds(Message, HEADS, st.dictionaries(NAMES, RECORDS, max_size=3))


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) is type(other) and one == other


@settings(derandomize=True, max_examples=150, deadline=None)
@given(MESSAGES)
def test_there_and_back(message):
    back = wire.decode(wire.encode(message))
    assert back.head == message.head
    assert list(back.records) == list(message.records)
    for name, record in message.records.items():
        assert back.records[name].kind == record.kind
        assert list(back.records[name].items) == list(record.items)
        for each, value in record.items.items():
            assert same(value, back.records[name].items[each])


@settings(derandomize=True, max_examples=400, deadline=None)
@given(MESSAGES, st.data())
def test_whatever_comes_is_a_message_or_one_sentence(message, data):
    content = bytearray(wire.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flip", "cut", "grow"]))
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        if kind == "flip" and content:
            content[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del content[at:]
        else:
            content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    refused_or_read(bytes(content))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_one_sentence(noise):
    refused_or_read(noise)
    refused_or_read(wire.MAGIC + struct.pack("<I", len(noise)) + noise)


def refused_or_read(content):
    try:
        wire.decode(content)
    except TransferError as error:
        assert str(error)
        assert "\n" not in str(error)


def headed(header, buffers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return wire.MAGIC + struct.pack("<I", len(text)) + text + buffers


def record(*items, kind="arrays"):
    return {"head": {}, "records": [["a", kind, list(items)]]}


@pytest.mark.parametrize(
    "content",
    [
        headed(record(["w", "float32", [1 << 40, 1 << 40]])),
        headed(record(["w", "float32", [1 << 62, 4]])),
        headed(record(["w", "float32", [-1, -4]]), b"1234567890123456"),
        headed(record(["w", "float32", [2.0]]), b"12345678"),
        headed(record(["w", "float32", [True]]), b"1234"),
        headed(record(["w", "object", [1]]), b"12345678"),
        headed(record(["w", ">f4", [1]]), b"1234"),
        headed(record(["w", "float32", [1]] * 2), b"12345678"),
        headed(record(["w", "float32", [1] * 33]), b"1234"),
        headed(record(["w", "float32", [1]], kind="pickle"), b"1234"),
        headed(record(["w", "float32", [1]]), b"123"),
        headed(record(["w", "float32", [1]]), b"12345"),
        headed(b"[" * 100_000),
        headed(b'{"head": {}, "records": ' + b"[" * 50_000),
        headed({"head": {"n": [1]}, "records": []}),
        headed({"head": {}, "records": [["a", "config", {"k": {"b64": "?"}}]]}),
        headed({"head": {}, "records": [["a", "config", {"k": {}}]]}),
        headed({"head": {}, "records": [["a", "config", 3]]}),
        headed({"head": {}}),
        headed(b'{"head": {"n": ' + b"9" * 5000 + b'}, "records": []}'),
        wire.MAGIC + b"\xff\xff\xff\xff",
        b"",
        b"PK\x03\x04",
    ],
)
def test_what_is_wrong_is_refused(content):
    with pytest.raises(TransferError, match="not a message"):
        wire.decode(content)


def test_memory_is_not_taken_before_it_is_there():
    import tracemalloc

    content = headed(record(["w", "float64", [1 << 34]]), b"12345678")
    tracemalloc.start()
    with pytest.raises(TransferError):
        wire.decode(content)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20


def test_what_no_message_can_carry():
    with pytest.raises(TransferError, match="'w' is of object"):
        wire.encode(Message({}, {"a": Record("arrays", {"w": np.array([{}])})}))
    with pytest.raises(TransferError, match="cannot carry"):
        wire.encode(Message({"x": object()}))


def test_arrays_are_views_and_read_only():
    content = wire.encode(Message({}, {"a": Record("arrays", {"w": np.arange(4.0)})}))
    found = wire.decode(content).records["a"].items["w"]
    assert not found.flags.owndata
    assert not found.flags.writeable


def test_numbers_of_numpy_and_memory_of_any_order():
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    records = {
        "m": Record("metrics", {"n": np.int64(3)}),
        "a": Record("arrays", {"w": turned, "s": np.float32(2)}),
    }
    back = wire.decode(wire.encode(Message({}, records))).records
    assert back["m"].items == {"n": 3}
    np.testing.assert_array_equal(back["a"].items["w"], turned)
    assert back["a"].items["s"].shape == ()
