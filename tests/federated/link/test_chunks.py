import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import TransferError
from federated.link import chunks
from federated.link.chunks import About, Incoming, Receiver, Sending, pack, unpack, wanted

CHUNK = 1 << 10
KINDS = [chunks.WHOLE, chunks.CHUNK, chunks.ACK, chunks.OFFER, chunks.WANT, chunks.DONE]


def all_frames(sending, want=None):
    """The chunks, each after the one before was acknowledged."""
    found = list(sending.start() if want is None else sending.missing(wanted(want), want.index))
    while more := list(sending.next(unpack(found[-1]).index)):
        found += more
    return found


def take(receiver, data):
    return receiver.take(unpack(data))


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK + 7])
def test_whole(size):
    payload = random.Random(size).randbytes(size)
    receiver, sending = Receiver(), Sending(payload, CHUNK)
    frames = all_frames(sending)
    assert len(frames) == -(-size // CHUNK)
    taken = [take(receiver, frame) for frame in frames]
    assert [each.payload for each in taken[:-1]] == [None] * (len(frames) - 1)
    assert taken[-1].payload == payload
    assert unpack(taken[-1].answers[0]).kind == chunks.DONE


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.integers(1, 40 * CHUNK), st.sets(st.integers(0, 39)), st.randoms(use_true_random=False))
def test_only_what_is_lost_is_sent_again(size, lost, rng):
    payload = rng.randbytes(size)
    receiver, sending = Receiver(), Sending(payload, CHUNK)
    arrived = [frame for i, frame in enumerate(all_frames(sending)) if i not in lost]
    done = [take(receiver, frame).payload for frame in arrived]
    if len(arrived) == sending.about.chunks:
        assert done[-1] == payload
        return
    want = unpack(take(receiver, sending.offer()).answers[0])
    assert want.kind == chunks.WANT
    again = all_frames(sending, want)
    assert len(again) + len(arrived) == sending.about.chunks
    assert [take(receiver, frame).payload for frame in again][-1] == payload
    assert receiver.again == 0


def test_one_chunk_is_on_its_way_at_a_time():
    sending = Sending(b"x" * 4 * CHUNK, CHUNK)
    assert len(list(sending.start())) == 1
    assert list(sending.next(2)) == []  # of a break before
    assert len(list(sending.next(0))) == 1
    assert list(sending.next(0)) == []
    first, second = unpack(sending.offer()).index, unpack(sending.offer()).index
    assert list(sending.next(1)) == []  # an offer stands: only its answer goes on
    assert list(sending.missing([(3, 4)], first)) == []
    assert [unpack(each).index for each in sending.missing([(3, 4)], second)] == [3]
    assert list(sending.missing([(3, 4)], second)) == []
    assert list(sending.next(3)) == []


def test_it_outlives_the_process(tmp_path):
    payload = random.Random(0).randbytes(5 * CHUNK)
    sending = Sending(payload, CHUNK)
    frames = all_frames(sending)
    for frame in frames[:3]:
        take(Receiver(tmp_path), frame)  # a process for each
    receiver = Receiver(tmp_path)
    assert wanted(unpack(take(receiver, sending.offer()).answers[0])) == [(3, 5)]
    take(receiver, frames[3])
    assert take(receiver, frames[4]).payload == payload
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_found_out(tmp_path):
    sending = Sending(random.Random(0).randbytes(3 * CHUNK), CHUNK)
    frames = all_frames(sending)
    take(Receiver(tmp_path), frames[0])
    part = next(tmp_path.iterdir())
    content = bytearray(part.read_bytes())
    content[5] ^= 1
    part.write_bytes(content)
    receiver = Receiver(tmp_path)
    take(receiver, frames[1])
    with pytest.raises(TransferError, match="another SHA-256"):
        take(receiver, frames[2])
    assert wanted(unpack(take(receiver, sending.offer()).answers[0])) == [(0, 3)]
    part.write_bytes(b"short")
    assert Incoming(sending.about, tmp_path).missing() == [(0, 3)]


def test_it_arrives_once():
    receiver, sending = Receiver(), Sending(b"x" * 100, CHUNK)
    frame = next(sending.start())
    assert take(receiver, frame).payload == b"x" * 100
    for data in (frame, sending.offer()):
        taken = take(receiver, data)
        assert taken.payload is None
        assert taken.again == sending.about.digest
        assert unpack(taken.answers[0]).kind == chunks.DONE
    receiver.forget(sending.about.digest)
    assert take(receiver, frame).payload == b"x" * 100


def test_what_a_sender_can_fill_is_bounded(tmp_path):
    receiver = Receiver(tmp_path)
    for i in range(50):
        take(receiver, Sending(bytes([i]) * 3 * CHUNK, CHUNK).offer())
    assert len(receiver._open) <= 4
    assert len(list(tmp_path.iterdir())) <= 4


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_noise_is_refused_in_one_sentence(noise, data):
    frame = bytearray(pack(data.draw(st.sampled_from(KINDS)), About(b"d" * 16, 3000, CHUNK)))
    frame += noise
    for at in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=5)):
        frame[at] = data.draw(st.integers(0, 255))
    receiver = Receiver()
    for content in (bytes(frame), noise):
        try:
            found = unpack(content, 1 << 20)
            if found.kind == chunks.WANT:
                assert all(0 <= a < b <= found.about.chunks for a, b in wanted(found))
            elif found.kind in (chunks.WHOLE, chunks.CHUNK, chunks.OFFER):
                receiver.take(found)
        except TransferError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("about", "index"),
    [
        (About(b"d" * 16, 0, CHUNK), 0),
        (About(b"d" * 16, 1 << 40, CHUNK), 0),
        (About(b"d" * 16, 1 << 29, CHUNK), 0),  # half a million chunks
        (About(b"d" * 16, 100, 1), 0),
        (About(b"d" * 16, 100, CHUNK), 1),
        (About(b"d" * 16, 100, CHUNK), 0),  # with the wrong length
    ],
)
def test_impossible_chunks(about, index):
    with pytest.raises(TransferError):
        unpack(pack(chunks.CHUNK, about, index, b"abc"))


def test_ranges_are_checked():
    about = About(b"d" * 16, 3000, CHUNK)
    for ranges in ([(1, 1)], [(0, 4)], [(1, 2), (0, 1)], [(2, 1)]):
        payload = b"".join(chunks._PAIR.pack(*each) for each in ranges)
        with pytest.raises(TransferError, match="cannot be asked for"):
            wanted(unpack(pack(chunks.WANT, about, payload=payload)))


def test_the_digest_is_that_of_the_payload():
    assert Sending(b"abc").about.digest == hashlib.sha256(b"abc").digest()[:16]


def test_what_fits_into_a_chunk_is_one_frame_and_hardly_more():
    payload = b"x" * 500
    (frame,) = Sending(payload, CHUNK).start()
    assert len(frame) == 501
    assert unpack(frame).payload == payload
    done = Receiver().take(unpack(frame)).answers[0]
    assert len(done) == 17


def test_a_whole_after_an_offer_leaves_nothing_open(tmp_path):
    receiver, sending = Receiver(tmp_path), Sending(b"x" * 100, CHUNK)
    want = unpack(take(receiver, sending.offer()).answers[0])
    (frame,) = sending.missing(wanted(want), want.index)
    assert take(receiver, frame).payload == b"x" * 100
    assert not receiver._open
    assert receiver.again == 0


def test_a_whole_beyond_the_limit_is_refused():
    with pytest.raises(TransferError, match="100 bytes"):
        unpack(next(Sending(b"x" * 101, CHUNK).start()), 100)


def test_frames_of_another_version_are_named():
    frame = bytearray(next(Sending(b"x").start()))
    frame[0] += 16
    with pytest.raises(TransferError, match="a frame of version 3 of the link; this end speaks version 2"):
        unpack(bytes(frame))
