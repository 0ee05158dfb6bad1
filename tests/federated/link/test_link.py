"""Hub and peers over real brokers, and what forged messages come to."""

import hashlib
import hmac
import json
import os
import socket
import time

import pytest

from edge_runtime.errors import InputError, TransferError
from federated.link import chunks, topics
from federated.link.chunks import Sending
from federated.link.hub import Hub
from federated.link.mqtt import Address, Connection
from federated.link.peer import Peer
from tests.federated.link.conftest import Inbox, address_of, key, run


def until(true, timeout=60):
    ends = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


def hub_at(port, ring, inbox, **more):
    return Hub(address_of(port, ring.own), ring.devices, inbox, **more)


def peer_at(port, device, inbox, **more):
    return Peer(address_of(port, device), device, inbox, **more)


def test_payloads_both_ways(port, ring):
    up, down = Inbox(), Inbox()
    ann = ring.devices["ann"]
    with (
        hub_at(port, ring, up, chunk_bytes=1 << 12) as hub,
        peer_at(port, ann, down, chunk_bytes=1 << 12) as peer,
    ):
        until(lambda: hub.here == ["ann"])
        sent = os.urandom(100_000)
        digest = hub.send("ann", sent)
        assert bytes(down.wait(1)[0][0]) == sent
        answer = os.urandom(50_001)
        peer.channel.send(answer)
        assert up.wait(1)[0][0] == "ann"
        assert bytes(up.found[0][1]) == answer
        hub.send("ann", sent)  # once more: it is told that it was there
        until(lambda: not hub._channels["ann"].waits(digest))
        assert len(down.found) == 1
        assert hub.refused == {} == peer.refused
        out, back = hub.traffic()
        assert 100_000 < out < 110_000
        assert 50_001 < back < 55_000
    peer_gone = hub.here
    assert peer_gone in ([], ["ann"])


def cut(connection):
    """Break the connection, as a cable that is pulled; it comes back by itself."""
    connection._socket.shutdown(socket.SHUT_RDWR)


def test_a_device_that_goes_is_not_here_any_more(port, ring):
    changes = Inbox()
    with hub_at(port, ring, Inbox(), on_change=changes) as hub:
        with peer_at(port, ring.devices["ann"], Inbox()) as peer:
            until(lambda: hub.here == ["ann"])
            peer.leave()
            until(lambda: hub.here == [])
        with peer_at(port, ring.devices["ann"], Inbox()) as peer:
            changes.wait(3)
            cut(peer._connection)
            changes.wait(5)  # the last will says that it is gone, and then it is here again
            assert hub.here == ["ann"]


def test_what_is_sent_before_a_device_comes_waits_for_it(port, ring):
    down = Inbox()
    bob = ring.devices["bob"]
    with hub_at(port, ring, Inbox()) as hub:
        hub.wait(10)
        hub.send("bob", b"early" * 100)
        with peer_at(port, bob, down):
            assert bytes(down.wait(1)[0][0]) == b"early" * 100


def test_a_device_cannot_speak_for_another(port, ring):
    """Eve has a key and a password of her own; she publishes what Ann would, sealed as well as she can."""
    up = Inbox()
    ann, eve = ring.devices["ann"], ring.devices["eve"]
    frame = next(Sending(b"poison").start())
    state = json.dumps({"here": True, "process": "x"}).encode()
    with hub_at(port, ring, up) as hub:
        hub.wait(10)
        forger = Connection(
            address_of(port, eve), "eve", [topics.up_link("ann"), topics.down_link("ann")],
            on_message=Inbox(), on_connect=lambda _: None,
        )  # fmt: skip
        forger.start()
        forger.wait(10)
        for signer in (eve, key("ann")):
            for topic, content in ((topics.up_link("ann"), frame), (topics.up_state("ann"), state)):
                forger.send(topic, [signer.seal(topic, content)])
        mine = topics.up_link("eve")
        forger.send(mine, [eve.seal(mine, frame)])  # sent last, so the forged ones are through when it comes
        assert up.wait(1)[0][0] == "eve"
        assert "ann" not in hub.here
        time.sleep(0.2)
        assert [device for device, _ in up.found] == ["eve"]
        forger.stop()
        with peer_at(port, ann, Inbox()) as peer:
            until(lambda: "ann" in hub.here)
            assert peer.refused == {}


def test_the_seal_holds_where_the_broker_lets_everything_through(ring):
    up, down = Inbox(), Inbox()
    ann, eve = ring.devices["ann"], ring.devices["eve"]
    with run("embedded", None) as open_to_all:
        address = Address("127.0.0.1", open_to_all.port, user="coordinator")  # Eve says that she coordinates
        with hub_at(open_to_all.port, ring, up) as hub, peer_at(open_to_all.port, ann, down) as peer:
            until(lambda: hub.here == ["ann"])
            hub.__exit__()
            forger = Connection(
                address, "coordinator", [topics.UP_LINK], on_message=Inbox(), on_connect=lambda _: None
            )
            forger.start()
            forger.wait(10)
            topic = topics.down_link("ann")
            forger.send(topic, [eve.seal(topic, next(Sending(b"train on this").start())), b"", b"x" * 15])
            until(lambda: sum(peer.refused.values()) == 3)
            assert down.found == []
            forger.stop()


def test_a_wrong_password_is_refused(port, ring):
    ann = ring.devices["ann"]
    stranger = Peer(Address("127.0.0.1", port, user="ann", password="".join("guess")), ann, Inbox())
    with stranger, pytest.raises(TransferError, match=r"mqtt://127\.0\.0\.1:\d+: the broker refused"):
        stranger.wait(3)


def test_nobody_takes_the_session_of_another(ring):
    ann, eve = ring.devices["ann"], ring.devices["eve"]
    with run("embedded", ring.passwords) as running:
        thief = Connection(
            address_of(running.port, eve), ann.device, [], on_message=Inbox(), on_connect=lambda _: None
        )
        thief.start()
        with pytest.raises(TransferError, match="refused"):
            thief.wait(3)
        thief.stop()


def test_no_broker_is_one_sentence(ring):
    peer = Peer(address_of(1, ring.own), ring.devices["ann"], Inbox())
    with peer, pytest.raises(TransferError, match=r"no broker answered within 0\.5 s"):
        peer.wait(0.5)


@pytest.mark.parametrize(
    "url",
    ["", "host", "http://h", "mqtt://", "mqtt://u:p@h", "mqtt://h:port", "mqtt://h/x", "mqtt://h:99999"],
)
def test_addresses(url):
    with pytest.raises(InputError, match="--broker"):
        Address.parse(url)


def test_good_addresses():
    assert Address.parse("mqtts://h").port == 8883
    assert str(Address.parse("mqtt://h:7")) == "mqtt://h:7"
    with pytest.raises(InputError, match="mqtts"):
        Address.parse("mqtt://h", ca="ca.pem")


def test_a_port_that_is_taken_is_one_sentence(ring):
    from federated.link.brokers import Listener, embedded

    with embedded(Listener(), None) as first:  # noqa: SIM117
        with pytest.raises(InputError, match="cannot listen"), embedded(Listener(port=first.port), None):
            pass


def test_a_payload_beyond_the_limit_is_refused(port, ring):
    up = Inbox()
    with hub_at(port, ring, up, max_bytes=1000) as hub, peer_at(port, ring.devices["ann"], Inbox()) as peer:
        until(lambda: hub.here == ["ann"])
        peer.channel.send(b"x" * 1001)
        until(lambda: any("1000 bytes are accepted" in text for text in hub.refused))
        assert up.found == []


def test_the_chunk_bounds_are_those_of_the_brokers():
    from federated.link.broker import _MAX_PACKET

    assert chunks.CHUNK_BYTES[1] + 1000 < _MAX_PACKET


def test_an_answer_says_that_its_request_has_come(ring):
    """What comes back at once spares a frame; without an answer the other end says it by itself, a little later."""
    up, frames, hubs = Inbox(), [], []

    def took(device, payload):  # who asked knows by the answer, as the Grid does
        hubs[0].forget(device, chunks.digest_of(bytes(payload).removeprefix(b"reply to ")))
        up(device, bytes(payload))

    def reply(payload):
        if payload != b"silence":
            peer.channel.send(b"reply to " + payload, chunks.digest_of(payload))

    with run("embedded", ring.passwords) as running, hub_at(running.port, ring, took) as hub:
        hubs.append(hub)
        with peer_at(running.port, ring.devices["ann"], reply) as peer:
            feed = hub._channels["ann"].feed
            hub._channels["ann"].feed = lambda sealed: (frames.append(sealed), feed(sealed))
            until(lambda: hub.here == ["ann"])
            # a device that says twice that it is there is asked what it lacks: frames that are not counted here
            hub._channels["ann"].resume = lambda **_: None
            for number in range(5):
                hub.send("ann", b"request %d" % number)
            found = {payload for _, payload in up.wait(5)}
            assert found == {b"reply to request %d" % number for number in range(5)}
            digest = hub.send("ann", b"silence")
            until(lambda: not hub._channels["ann"].waits(digest))
            assert len(frames) == 6  # five answers, and one that says that the last request has come
            assert hub.refused == {} == peer.refused


def test_what_a_device_says_aside_goes_with_what_it_says_anyhow(port, ring):
    told, about = {"loss": 1.0}, {"idle": True}
    ann = ring.devices["ann"]
    with (
        hub_at(port, ring, Inbox()) as hub,
        peer_at(port, ann, Inbox(), about=lambda: about, aside=lambda: told) as peer,
    ):
        until(lambda: hub.about.get("ann") == {"idle": True, "loss": 1.0})
        said, state = [], peer._state
        peer._state = lambda here: (said.append(here), state(here=here))[1]
        told["loss"] = 0.5
        peer._tick()
        assert said == []
        about["idle"] = False
        peer._tick()
        until(lambda: hub.about["ann"] == {"idle": False, "loss": 0.5})


def test_a_device_of_the_version_before_is_named(port, ring, capsys):
    ann = ring.devices["ann"]
    topic = topics.up_state("ann")
    state = json.dumps({"here": True, "process": "x"}).encode()
    tag = hmac.new(ann.secret, topic.encode() + b"\0" + state, hashlib.sha256).digest()
    with hub_at(port, ring, Inbox()) as hub:
        hub.wait(10)
        old = Connection(
            address_of(port, ann), "ann", [topics.down_link("ann")], on_message=Inbox(), on_connect=lambda _: None
        )  # fmt: skip
        old.start()
        old.wait(10)
        old.send(topic, [state + tag] * 2)
        until(lambda: sum(hub.refused.values()) == 2)
        assert hub.here == []
        old.stop()
    assert capsys.readouterr().err.count("'ann' speaks version 1 of the device link") == 1
