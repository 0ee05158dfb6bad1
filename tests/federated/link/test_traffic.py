"""Bytes at the socket: what TCP says that it carried, at both ends of the link and at the broker."""

import os
import socket

import pytest

from edge_runtime.errors import BackendError
from federated.link.brokers import Listener
from federated.link.hub import Hub
from federated.link.peer import Peer
from federated.link.traffic import Traffic, counted, of_socket
from tests.federated.link.conftest import Inbox, address_of, run
from tests.federated.link.test_link import cut, hub_at, peer_at, until
from tests.federated.link.test_tls import Authority

pytestmark = pytest.mark.skipif(not counted(), reason="this system does not count")
SIZE = 200_000


def test_a_socket_counts_what_was_sent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as one, server.accept()[0] as other:
            one.sendall(b"x" * SIZE)
            left = SIZE
            while left:
                left -= len(other.recv(left))
            other.sendall(b"y" * 7)
            assert one.recv(7, socket.MSG_WAITALL) == b"y" * 7
            assert of_socket(one) == Traffic(SIZE, 7)
            assert of_socket(other) == Traffic(7, SIZE)
        assert of_socket(one) == Traffic()  # closed


def test_sums_and_differences():
    assert Traffic(1, 2) + Traffic(3, 4) - Traffic(1, 1) == Traffic(3, 5)


def exchange(hub, peer, down, up):
    until(lambda: hub.here == ["ann"])
    hub.send("ann", os.urandom(SIZE))
    down.wait(1)
    peer.channel.send(os.urandom(SIZE // 2))
    up.wait(1)


def test_both_ends_and_the_broker_agree(ring):
    up, down = Inbox(), Inbox()
    with run("embedded", ring.passwords) as running, hub_at(running.port, ring, up) as hub:
        with peer_at(running.port, ring.devices["ann"], down) as peer:
            exchange(hub, peer, down, up)
            # "At least": what a busy machine's TCP sends twice counts twice where it is sent.
            until(lambda: SIZE < peer.socket_traffic().received <= running.traffic()["ann"].sent)
            until(lambda: SIZE // 2 < running.traffic()["ann"].received <= peer.socket_traffic().sent)
            at_broker = running.traffic()
            assert set(at_broker) == {"ann", "coordinator"}
            assert SIZE < peer.socket_traffic().received < SIZE * 1.01 + 2000
            assert SIZE // 2 < at_broker["ann"].received < SIZE // 2 * 1.01 + 2000
            sent, received = hub.traffic()  # payloads alone: less than crosses the socket
            assert sent < hub.socket_traffic().sent
            assert received < hub.socket_traffic().received < received + 3000
        until(
            lambda: running.traffic()["ann"].sent >= at_broker["ann"].sent
        )  # it stays counted when it has gone
        before = running.traffic()["ann"]
        with peer_at(running.port, ring.devices["ann"], down):
            until(lambda: running.traffic()["ann"].received > before.received)


def test_a_client_that_comes_back_goes_on_counting(ring):
    with run("embedded", ring.passwords) as running, hub_at(running.port, ring, Inbox()) as hub:
        hub.wait(10)
        before = hub.socket_traffic()
        cut(hub._connection)
        until(lambda: hub._connection._socket is not None and hub.socket_traffic().sent > before.sent + 50)


def test_tls_is_counted(ring, tmp_path):
    up, down = Inbox(), Inbox()
    authority = Authority(tmp_path)
    cert, cert_key = authority.certificate("broker")
    ann = ring.devices["ann"]
    with run("embedded", ring.passwords, Listener(cert=cert, cert_key=cert_key)) as running:
        tls = {"tls": True, "ca": authority.file}
        with (
            Hub(address_of(running.port, ring.own, **tls), ring.devices, up) as hub,
            Peer(address_of(running.port, ann, **tls), ann, down) as peer,
        ):
            exchange(hub, peer, down, up)
            plain = SIZE + 1500
            until(lambda: plain < peer.socket_traffic().received <= running.traffic()["ann"].sent)
            assert peer.socket_traffic().received < plain * 1.02 + 2000  # certificates and records are in it


def test_mosquitto_does_not_say_and_the_hub_does(ring):
    with run("mosquitto", ring.passwords) as running, hub_at(running.port, ring, Inbox()) as hub:
        hub.wait(10)
        assert hub.socket_traffic().sent > 0
        with pytest.raises(BackendError, match="embedded broker"):
            running.traffic()
