"""Many connections in one epoll loop: they connect through a window, come back after a break, and may speak TLS."""

import errno
import os
import random
import select
import socket
import ssl
import time
from collections.abc import Callable
from heapq import heappop, heappush

from benchmarks.fleet_load import wire

_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect, so one source address serves 28,000
_LONGEST = 60.0  # seconds between two tries
_HANDSHAKES = 64  # TLS handshakes under way at once: each costs the broker milliseconds


class Links:
    """`count` connections, numbered from 0.

    Args:
        count: how many.
        hello: the bytes that number `i` sends when its connection stands: CONNECT and what may come right behind.
        ready: called with a number when its SUBACK came.
        heard: called with number, topic and payload of each message; it is acknowledged already.
        address: the broker's host and port.
        sources: local addresses to connect from.
        tls: gives the client's context for a number, which may be the same each time, with that number's certificate
            in it: a connection keeps the one that its context had when it began. None for plain TCP.
        window: how many may be connecting at once.
        within: seconds over which the first connections are spread at random.
    """

    def __init__(
        self,
        count: int,
        hello: Callable[[int], bytes],
        ready: Callable[[int], None],
        heard: Callable[[int, bytes, bytes], None],
        address: tuple[str, int],
        sources: list[str],
        tls: Callable[[int], ssl.SSLContext] | None = None,
        window: int = 200,
        within: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._hello, self._ready, self._heard = hello, ready, heard
        self._address, self._sources, self._tls = address, sources, tls
        self._window = min(window, _HANDSHAKES) if tls else window
        self._sessions: dict[int, ssl.SSLSession] = {}  # to be resumed by the number's next connection
        self._epoll, self._random = select.epoll(), random.Random(seed)  # noqa: S311  (spreads load)
        self._sockets: list[socket.socket | None] = [None] * count
        self._number: dict[int, int] = {}
        self._part: dict[int, bytes] = {}
        self._left: dict[int, bytes] = {}  # what the socket would not take yet
        self._connecting: set[int] = set()
        self._tries = [0] * count
        self._subscribed = bytearray(count)
        begin = time.monotonic()
        self._due = sorted((begin + self._random.uniform(0, within), i) for i in range(count))
        self.wanted = [True] * count
        self.up = 0
        self.breaks = 0  # connections that ended without being told to
        self.reasons: dict[str, int] = {}
        self.connects = 0
        self.resumed = 0  # of these, connections that took up an earlier TLS session

    def send(self, number: int, data: bytes) -> bool:
        """Send, or say that the connection is not there."""
        link = self._sockets[number]
        if link is None or number in self._connecting:
            return False
        if number in self._left:
            self._left[number] += data
            return True
        try:
            sent = link.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        except OSError as error:
            self._drop(number, f"send: {error.strerror}")
            return False
        if sent < len(data):
            self._left[number] = data[sent:]
            self._epoll.modify(link.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return True

    def close(self, number: int, *, back_in: float | None = None, resume: bool = False) -> None:
        """Cut the connection without a word, as a device that loses power.

        Args:
            number: which.
            back_in: seconds until it comes again; None if it does not.
            resume: whether it will take its TLS session up again, by the ticket that the broker gave it.
        """
        self.wanted[number] = back_in is not None
        link = self._sockets[number]
        if resume and isinstance(link, ssl.SSLSocket) and link.session is not None:
            self._sessions[number] = link.session
        if self._sockets[number] is not None:
            self._forget(number)
        if back_in is not None:
            heappush(self._due, (time.monotonic() + back_in, number))

    def pump(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for something to happen, and see to it."""
        self._begin()
        for descriptor, event in self._epoll.poll(timeout, 4096):
            number = self._number.get(descriptor)
            if number is None:
                continue
            if number in self._connecting:
                self._connect(number, event)
            else:
                self._exchange(number, event)

    def _begin(self) -> None:
        now = time.monotonic()
        while self._due and len(self._connecting) < self._window and self._due[0][0] <= now:
            _, number = heappop(self._due)
            if self.wanted[number] and self._sockets[number] is None:
                self._open(number)

    def _open(self, number: int) -> None:
        try:
            link = socket.socket()
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_IP, _NO_PORT, 1)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.bind((self._sources[number % len(self._sources)], 0))
            code = link.connect_ex(self._address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except OSError as error:  # no files, or no ports, are left
            self._drop(number, f"socket: {error.strerror}")
            return
        self._sockets[number] = link
        self._number[link.fileno()] = number
        self._connecting.add(number)
        self._epoll.register(link.fileno(), select.EPOLLOUT)

    def _connect(self, number: int, event: int) -> None:
        link = self._sockets[number]
        assert link is not None
        error = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._drop(number, f"connect: {error}")
            return
        if self._tls is not None and not isinstance(link, ssl.SSLSocket):
            link = self._sockets[number] = self._tls(number).wrap_socket(  # of the same descriptor
                link, do_handshake_on_connect=False, server_hostname=self._address[0],
                session=self._sessions.pop(number, None),
            )  # fmt: skip
        try:
            if isinstance(link, ssl.SSLSocket):
                link.do_handshake()
                self.resumed += bool(link.session_reused)
            link.send(self._hello(number))
        except ssl.SSLWantReadError:
            self._epoll.modify(link.fileno(), select.EPOLLIN)
            return
        except ssl.SSLWantWriteError:
            self._epoll.modify(link.fileno(), select.EPOLLOUT)
            return
        except OSError as problem:
            self._drop(number, f"handshake: {problem}"[:60])
            return
        self._connecting.discard(number)
        self._epoll.modify(link.fileno(), select.EPOLLIN)

    def _exchange(self, number: int, event: int) -> None:
        link = self._sockets[number]
        assert link is not None
        if event & select.EPOLLOUT and number in self._left:
            left = self._left.pop(number)
            self._epoll.modify(link.fileno(), select.EPOLLIN)
            self.send(number, left)
        if not event & ~select.EPOLLOUT:
            return
        try:
            data = link.recv(65536)
            while isinstance(link, ssl.SSLSocket) and link.pending():
                data += link.recv(65536)  # decrypted already: epoll would not tell
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._drop(number, f"recv: {error.strerror}")
            return
        if not data:
            self._drop(number, "closed by the broker")
            return
        self._read(number, self._part.pop(number, b"") + data)

    def _read(self, number: int, data: bytes) -> None:
        end = 0
        for head, body, end in wire.packets(data):  # noqa: B007  (where the last whole one ended)
            kind = head >> 4
            if kind == wire.PUBLISH:
                topic, payload, packet_id = wire.read_publish(head, body)
                if packet_id:
                    self.send(number, wire.puback(packet_id))
                self._heard(number, topic, payload)
            elif kind == wire.SUBACK:
                self.up += 1
                self.connects += 1
                self._subscribed[number] = 1
                self._tries[number] = 0
                self._ready(number)
            elif kind == wire.CONNACK and body[1]:
                self.reasons[f"refused: {body[1]}"] = self.reasons.get(f"refused: {body[1]}", 0) + 1
            if self._sockets[number] is None:
                return
        if end < len(data):
            self._part[number] = data[end:]

    def _drop(self, number: int, why: str) -> None:
        """It broke: count it, and come back after a random time that doubles from try to try."""
        self.breaks += 1
        self.reasons[why] = self.reasons.get(why, 0) + 1
        if self._sockets[number] is not None:
            self._forget(number)
        self._tries[number] = tries = self._tries[number] + 1
        wait = self._random.uniform(0, min(_LONGEST, 5.0 * 2**tries))
        heappush(self._due, (time.monotonic() + wait, number))

    def _forget(self, number: int) -> None:
        link = self._sockets[number]
        assert link is not None
        self.up -= self._subscribed[number]
        self._subscribed[number] = 0
        self._connecting.discard(number)
        self._part.pop(number, None)
        self._left.pop(number, None)
        self._number.pop(link.fileno(), None)
        link.close()  # which takes it out of the epoll too
        self._sockets[number] = None
