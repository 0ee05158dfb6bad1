"""Connections that break in the middle, and brokers that are killed: nothing is lost, hardly anything is sent twice."""

import os
import random
import socket
import threading
import time
from contextlib import suppress

import pytest

from federated.link.brokers import Listener
from federated.link.hub import Hub
from federated.link.peer import Peer
from tests.federated.link.conftest import KINDS, Inbox, address_of, run
from tests.federated.link.test_link import until

CHUNK = 1 << 12


class Wire:
    """A cable between a client and the broker that can be cut: all that passes through it is lost at that moment."""

    def __init__(self, port, every):
        self.every, self.passed, self.cuts, self._live = every, 0, 0, []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port, self._to = self._server.getsockname()[1], port
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            pair = (near, far)
            self._live.append(pair)
            for a, b in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(a, b, pair), daemon=True).start()

    def _pump(self, source, sink, pair):
        left = self.every()
        try:
            while data := source.recv(1 << 12):
                sink.sendall(data)
                self.passed += len(data)
                left -= len(data)
                if left < 0:
                    self.cuts += 1
                    break
        except OSError:
            pass
        for each in pair:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self):
        self._server.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_breaks_all_the_time(kind, ring):
    rng = random.Random(3)
    up, down, ann = Inbox(), Inbox(), ring.devices["ann"]
    sent, answer = os.urandom(60 * CHUNK), os.urandom(60 * CHUNK + 5)
    with run(kind, ring.passwords) as running:
        cable = Wire(running.port, lambda: rng.randrange(5 * CHUNK, 40 * CHUNK))
        peer = Peer(address_of(cable.port, ann), ann, down, chunk_bytes=CHUNK)
        peer._connection._client.reconnect_delay_set(0.05, 0.1)
        with Hub(address_of(running.port, ring.own), ring.devices, up, chunk_bytes=CHUNK) as hub, peer:
            hub.send("ann", sent)
            assert bytes(down.wait(1, 60)[0][0]) == sent
            peer.channel.send(answer)
            assert bytes(up.wait(1, 60)[0][1]) == answer
            again = peer.channel.receiver.again + hub._channels["ann"].receiver.again
            assert cable.cuts >= 3
            assert again <= cable.cuts
            assert len(down.found) == len(up.found) == 1
        cable.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_broker_is_killed_in_the_middle(kind, ring):
    up, down, ann = Inbox(), Inbox(), ring.devices["ann"]
    sent = os.urandom(400 * CHUNK)
    with run(kind, ring.passwords) as first:
        listener = Listener(port=first.port)
        peer = Peer(address_of(first.port, ann), ann, down, chunk_bytes=CHUNK)
        hub = Hub(address_of(first.port, ring.own), ring.devices, up, chunk_bytes=CHUNK)
        with hub, peer:
            until(lambda: hub.here == ["ann"])
            hub.send("ann", sent)
            until(lambda: peer.channel.bytes_in > 40 * CHUNK)
            first.process.kill()
            first.process.wait()
            time.sleep(0.3)
            before = peer.channel.bytes_in
            assert before < 400 * CHUNK
            with run(kind, ring.passwords, listener):
                assert bytes(down.wait(1, 60)[0][0]) == sent
                again = peer.channel.receiver.again
                assert again <= 1
                peer.channel.send(b"done")
                assert bytes(up.wait(1)[0][1]) == b"done"
