import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import TransferError
from federated.link import packets
from federated.link.packets import Publish, Reader
from federated.link.topics import matches


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=6), st.integers(1, 50))
def test_packets_come_whole_however_the_stream_is_cut(payloads, step):
    sent = [Publish("a/b", payload, 1, i + 1) for i, payload in enumerate(payloads)]
    stream = b"".join(map(packets.publish, sent))
    reader, found = Reader(1 << 20), []
    for start in range(0, len(stream), step):
        found += [
            packets.read_publish(flags, body) for _, flags, body in reader.feed(stream[start : start + step])
        ]
    assert found == sent


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.binary(max_size=120))
def test_noise_is_refused(noise):
    read = (
        packets.read_connect,
        lambda body: packets.read_publish(2, body),
        lambda body: packets.read_subscribe(body, qos=True),
        packets.read_number,
        lambda body: Reader(64).feed(body),
    )
    for each in read:
        try:
            each(noise)
        except TransferError as error:
            assert "\n" not in str(error)


def test_a_packet_that_is_too_long_is_refused_before_it_comes():
    with pytest.raises(TransferError, match="are accepted"):
        Reader(100).feed(b"\x30\xff\x7f")
    with pytest.raises(TransferError, match="more than four"):
        Reader(100).feed(b"\x30\xff\xff\xff\xff\x01")


@pytest.mark.parametrize(
    ("pattern", "topic", "found"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/b", "$SYS/b", False),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_filters(pattern, topic, found):
    assert matches(pattern, topic) is found


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a#", "+a", "a/b+"])
def test_bad_filters(pattern):
    body = b"\0\1" + len(pattern).to_bytes(2, "big") + pattern.encode() + b"\1"
    with pytest.raises(TransferError, match="no topic filter"):
        packets.read_subscribe(body, qos=True)
