import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import TransferError
from federated.link import cbor, wire
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


NAMES = st.one_of(st.text(max_size=12), st.sampled_from(cbor.WORDS))
PLAIN = st.one_of(
    st.integers(-(1 << 64), (1 << 64) - 1),
    st.floats(allow_nan=False),
    st.text(max_size=9),
    st.booleans(),
    st.binary(max_size=9),
)
TABLES = st.dictionaries(NAMES, st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), max_size=4)
RECORDS = st.one_of(
    st.builds(
        Record, st.just("arrays"), st.dictionaries(NAMES, st.one_of(arrays(), st.binary()), max_size=4)
    ),
    st.builds(Record, st.sampled_from(["metrics", "config"]), TABLES),
)
FACTS = st.integers(-9, 1 << 63), st.text(max_size=9), st.none(), st.binary(max_size=9)
HEADS = st.dictionaries(NAMES, st.one_of(FACTS), max_size=4)
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
    refused_or_read(wire.MAGIC + noise)
    refused_or_read(wire.MAGIC + b"\x82\xa0\xa1" + noise)


def refused_or_read(content):
    try:
        wire.decode(content)
    except TransferError as error:
        assert str(error)
        assert "\n" not in str(error)


def packed(records, head=None):
    return wire.MAGIC + b"".join(cbor.encode([{} if head is None else head, records]))


def array(shape, content, tag=85):
    """An arrays record with one array, announced as one likes."""

    def item(value):
        return b"".join(cbor.encode(value))

    front = item(["?"])[:1].replace(b"\x81", b"\x82")
    one = b"\xd8\x28" + front + item(shape) + bytes((0xD8, tag)) + item(content)
    return wire.MAGIC + b"\x82\xa0\xa1" + item("a") + b"\x82" + item("arrays") + b"\xa1" + item("w") + one


EIGHT = b"12345678"


@pytest.mark.parametrize(
    "content",
    [
        array([1 << 40, 1 << 40], EIGHT),
        array([1 << 62, 4], EIGHT),
        array([-1, -4], EIGHT * 2),
        array([2.0], EIGHT),
        array([True], b"1234"),
        array("2", EIGHT),
        array([1], EIGHT, tag=99),
        array([1], EIGHT, tag=81),  # float32 as well, but the other way round
        array([1] * 33, b"1234"),
        array([1], b"123"),
        array([1], b"12345"),
        array([2], EIGHT)[:-1],
        array([2], EIGHT) + b"1",
        packed({"a": ["pickle", {}]}),
        packed({"a": ["arrays", {"w": 3}]}),
        packed({"a": ["metrics", {"w": np.zeros(2)}]}),
        packed({"a": ["config", {"k": {"x": 1}}]}),
        packed({"a": ["config", {"k": [[{}]]}]}),
        packed({"a": ["config", 3]}),
        packed({"a": ["config", {}, 3]}),
        packed({"a": 3}),
        packed([]),
        packed({}, head=[]),
        packed({}, head={"n": [1]}),
        packed({})[:-1],
        packed({}) + b"\0",
        wire.MAGIC + b"\x81" * 100_000,
        wire.MAGIC + b"\x9b" + b"\xff" * 8,  # a list of 2^64 - 1
        wire.MAGIC + b"\x5b" + b"\xff" * 8,
        wire.MAGIC + b"\x82\xa2\x61a\x01\x61a\x02\xa0",  # a name twice
        wire.MAGIC + b"\x82\xa1\x01\x01\xa0",  # a number for a name
        wire.MAGIC + b"\x82\xa1\x61\xff\x01\xa0",  # no UTF-8
        wire.MAGIC + b"\x82\xf8\xff\xa0",  # no such word
        wire.MAGIC + b"\x82\xf8\x20\xa0",  # a word of one byte in two
        wire.MAGIC + b"\x82\xa0\xbf\xff",  # of indefinite length
        wire.MAGIC + b"\x84" + b"\x60" * 3,
        wire.MAGIC,
        b"",
        b"PK\x03\x04",
    ],
)
def test_what_is_wrong_is_refused(content):
    with pytest.raises(TransferError, match="not a message"):
        wire.decode(content)


def test_memory_is_not_taken_before_it_is_there():
    import tracemalloc

    content = array([1 << 34], EIGHT, tag=86)
    tracemalloc.start()
    with pytest.raises(TransferError):
        wire.decode(content)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20


def test_what_no_message_can_carry():
    with pytest.raises(TransferError, match="'w' is of object"):
        wire.encode(Message({}, {"a": Record("arrays", {"w": np.array([{}])})}))
    with pytest.raises(TransferError, match="cannot carry"):
        wire.encode(Message({"x": object()}))
    with pytest.raises(TransferError, match="64 bits"):
        wire.encode(Message({"x": 1 << 64}))
    with pytest.raises(TransferError, match="a name"):
        wire.encode(Message({}, {"a": Record("config", {"k": {3: 4}})}))


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


def test_the_examples_of_the_rfc():
    """RFC 8949, appendix A."""
    for value, content in (
        (0, "00"), (23, "17"), (24, "1818"), (1000, "1903e8"), (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"),
        (18446744073709551615, "1bffffffffffffffff"), (-1, "20"), (-1000, "3903e7"), (1.1, "fb3ff199999999999a"),
        (100000.0, "fa47c35000"), (False, "f4"), (True, "f5"), (None, "f6"), (b"\1\2\3\4", "4401020304"),
        ("\u00fc", "62c3bc"),
        ([1, [2, 3], [4, 5]], "8301820203820405"), ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ):  # fmt: skip
        assert b"".join(cbor.encode(value)).hex() == content
        assert same(cbor.decode(memoryview(bytes.fromhex(content))), value)
    assert cbor.decode(memoryview(bytes.fromhex("f93c00"))) == 1.0


def test_an_array_as_the_rfc_writes_it():
    """RFC 8746, sections 2 and 3.1."""
    content = b"".join(cbor.encode(np.array([[1, 2], [3, 4]], "<u2")))
    assert content.hex() == "d828828202" + "02" + "d845" + "48" + "0100020003000400"


def test_a_reply_takes_few_bytes_beside_its_update():
    """Uplink is what federated learning is short of: words of the protocol take one byte each."""
    reply = Message(
        {"work": "QUJDREVGR0g"},
        {
            "update": Record("config", {"message": b"x" * 1000}),
            "metrics": Record("metrics", {"num-examples": 143, "loss": 0.12345678901234}),
        },
    )
    assert len(wire.encode(reply)) - 1000 < 50


def test_an_older_version_is_named():
    with pytest.raises(TransferError, match="of version 1 of the link, and this end speaks version 2"):
        wire.decode(b"LTW1" + bytes(20))
