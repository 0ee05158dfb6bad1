"""A connection to one shard: MQTT 3.1.1 at quality of service 0 and 1, on asyncio, for many thousand messages a second.

What arrives is handed on in lists, one for what the socket had, and acknowledged after that with one write. What is
sent waits while the broker takes no more bytes. Nothing outlives the connection: wishes are sent again by the outbox.
"""

import asyncio
import random
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from edge_runtime.errors import TransferError
from edge_runtime.messages import topics
from edge_runtime.messages.address import Address
from federated.link import packets
from federated.link.packets import Publish

FILTERS = (
    *(topics.up("+", kind) for kind in topics.UP),
    topics.site_up("+", "batch"),
    topics.site_up("+", "state"),
)
_MAX_PACKET = 16 << 20
_KEEP_ALIVE_S = 30
_IN_FLIGHT = 30_000  # packet ids in use; below 65,535, so that none is taken twice
_UINT16 = struct.Struct(">H")
Messages = list[tuple[str, bytes]]
"""(topic, payload)."""


class Link(asyncio.Protocol):
    """One connection; `take` gets what arrives, `ready` is called once the subscriptions stand."""

    def __init__(self, name: str, take: Callable[[Messages], None], ready: Callable[["Link"], None]) -> None:
        self._name, self._take, self._ready = name, take, ready
        self._reader = packets.Reader(_MAX_PACKET)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._open: set[int] = set()
        self._last_id = 0
        self._writable = False
        self._heard = 0.0
        self.served = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def waiting(self) -> int:
        """Messages that are not on their way yet."""
        return len(self._waiting)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Send a message; at quality of service 0 only if the broker takes it now."""
        if not qos:
            if self._transport and self._writable:
                self._transport.write(packets.publish(Publish(topic, payload)))
            return
        self._waiting.append((topic, payload))
        self._pump()

    def close(self, reason: str = "") -> None:
        """End the connection."""
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._transport.close()
            self._transport = None
        self._writable = False
        if not self.closed.done():
            self.closed.set_result(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        transport.set_write_buffer_limits(1 << 20)
        name = self._name.encode()
        front = (
            _text(b"MQTT") + b"\x04\x82" + _UINT16.pack(_KEEP_ALIVE_S)
        )  # a clean session, with a user's name
        transport.write(packets.packet(packets.CONNECT, 0, front, _text(name), _text(name)))
        self._heard = asyncio.get_running_loop().time()
        self._ping()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        self.close(str(error or "the broker closed the connection"))

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable = False

    def resume_writing(self) -> None:
        """It is not any more."""
        self._writable = True
        self._pump()

    def data_received(self, data: bytes) -> None:
        """Hand on what arrived, then acknowledge it."""
        self._heard = asyncio.get_running_loop().time()
        found: Messages = []
        answers: list[bytes] = []
        try:
            for kind, flags, body in self._reader.feed(data):
                if kind == packets.PUBLISH:
                    end = 2 + (body[0] << 8 | body[1])
                    topic = body[2:end].decode()
                    if flags & 6:
                        answers.append(b"\x40\x02" + body[end : end + 2])
                        end += 2
                    found.append((topic, body[end:]))
                elif kind == packets.PUBACK:
                    self._open.discard(body[0] << 8 | body[1])
                else:
                    self._answered(kind, body)
        except (TransferError, ValueError, IndexError) as error:
            self.close(f"the broker breaks the protocol: {error}")
            return
        if found:
            self._take(found)
        if answers and self._transport:
            self._transport.write(b"".join(answers))
        if self._waiting:
            self._pump()

    def _answered(self, kind: int, body: bytes) -> None:
        if kind == packets.CONNACK:
            if body[1]:
                raise TransferError(f"it does not let us in (code {body[1]})")
            wanted = b"".join(_text(each.encode()) + b"\x01" for each in FILTERS)
            if self._transport:
                self._transport.write(packets.packet(packets.SUBSCRIBE, 2, b"\x00\x01", wanted))
        elif kind == packets.SUBACK:
            if any(code > 1 for code in body[2:]):
                raise TransferError("it does not let us read what devices say")
            self._writable = self.served = True
            self._ready(self)
            self._pump()

    def _pump(self) -> None:
        parts: list[bytes] = []
        while self._writable and self._waiting and len(self._open) < _IN_FLIGHT and len(parts) < 1000:
            self._last_id = self._last_id % 65_535 + 1
            if self._last_id in self._open:
                continue
            self._open.add(self._last_id)
            topic, payload = self._waiting.popleft()
            parts.append(packets.publish(Publish(topic, payload, 1, self._last_id)))
        if parts and self._transport:
            self._transport.write(b"".join(parts))
            if self._waiting and self._writable:
                asyncio.get_running_loop().call_soon(self._pump)

    def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard > 2 * _KEEP_ALIVE_S:
            self.close("the broker does not answer")
            return
        if self._writable and self._transport:
            self._transport.write(b"\xc0\x00")
        self._timer = loop.call_later(_KEEP_ALIVE_S / 2, self._ping)


async def keep(
    address: Address,
    name: str,
    context: ssl.SSLContext | None,
    take: Callable[[Messages], None],
    ready: Callable[[Link], None],
    lost: Callable[[str], None],
) -> None:
    """Hold a connection for good, and begin another whenever it breaks."""
    delay = 0.1
    while True:
        link: Link | None = None
        try:
            link = await _connect(address, name, context, take, ready)
            reason = await link.closed
            if link.served:
                delay = 0.1
        except (OSError, ssl.SSLError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        finally:
            if link:
                link.close()
        lost(reason)
        await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311  (so that shards are not asked in step)
        delay = min(delay * 2, 5)


async def _connect(
    address: Address,
    name: str,
    context: ssl.SSLContext | None,
    take: Callable[[Messages], None],
    ready: Callable[[Link], None],
) -> Link:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        transport, link = await loop.create_connection(
            lambda: Link(name, take, ready), address.host, address.port, ssl=context if address.tls else None
        )
    with suppress(OSError, AttributeError):  # bursts wait here rather than in the broker
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return link


def _text(content: bytes) -> bytes:
    return _UINT16.pack(len(content)) + content
