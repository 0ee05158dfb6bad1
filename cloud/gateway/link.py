"""The gateway's connection to the cloud: MQTT 3.1.1 on asyncio; what is sent is done when it is acknowledged."""

import asyncio
import random
import ssl
import struct
from collections.abc import Callable, Sequence

from edge_runtime.errors import TransferError
from edge_runtime.messages import topics
from edge_runtime.messages.address import Address
from federated.link import packets
from federated.link.packets import Publish

_MAX_PACKET = 1 << 20
_KEEP_ALIVE_S = 30
_CONNECT_S = 20
_UINT16 = struct.Struct(">H")
_SPAN_S = (1.0, 60.0)  # a pause before another try is drawn up to this, which doubles


class Uplink(asyncio.Protocol):
    """One connection.

    Args:
        site: the gateway's name, which its certificate proves.
        take: told topic and payload of what comes; it is acknowledged when this returns.
        ready: called once the subscriptions stand.
    """

    def __init__(self, site: str, take: Callable[[str, bytes], None], ready: Callable[[], None]) -> None:
        self._site, self._take, self._ready = site, take, ready
        self._reader = packets.Reader(_MAX_PACKET)
        self._transport: asyncio.Transport | None = None
        self._sent: dict[int, asyncio.Future[None]] = {}
        self._last_id = 0
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.served = False
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def publish(self, topic: str, payload: bytes, seconds: float = 30) -> None:
        """Send a message at quality of service 1, and return when the broker has it.

        Raises:
            TransferError: the connection broke before, or it took too long.
        """
        if self._transport is None or not self.served:
            raise TransferError("there is no connection to the cloud")
        self._last_id = self._last_id % 65_535 + 1
        done = self._sent[self._last_id] = asyncio.get_running_loop().create_future()
        self._transport.write(packets.publish(Publish(topic, payload, 1, self._last_id)))
        try:
            await asyncio.wait_for(done, seconds)
        except TimeoutError as error:
            self.close("the broker does not acknowledge")
            raise TransferError("the cloud's broker does not acknowledge") from error

    def close(self, reason: str = "") -> None:
        """End the connection."""
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._transport.close()
            self._transport = None
        self.served = False
        sent, self._sent = self._sent, {}
        for each in sent.values():
            if not each.done():
                each.set_exception(TransferError(f"the connection to the cloud broke: {reason}"))
        if not self.closed.done():
            self.closed.set_result(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are, and what is to be said should we vanish."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        will = _text(topics.site_up(self._site, "state").encode()) + _text(b"gone")
        flags = 0x80 | 0x02 | 0x04 | 0x08  # a user's name, a clean session, a will at quality of service 1
        front = _text(b"MQTT") + b"\x04" + bytes([flags]) + _UINT16.pack(_KEEP_ALIVE_S)
        name = _text(self._site.encode())
        transport.write(packets.packet(packets.CONNECT, 0, front, name, will, name))
        self._heard = asyncio.get_running_loop().time()
        self._ping()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        self.close(str(error or "the broker closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Act on the packets."""
        self._heard = asyncio.get_running_loop().time()
        try:
            for kind, flags, body in self._reader.feed(data):
                self._act(kind, flags, body)
        except (TransferError, IndexError) as error:
            self.close(f"the broker breaks the protocol: {error}")

    def _act(self, kind: int, flags: int, body: bytes) -> None:
        if kind == packets.PUBLISH:
            message = packets.read_publish(flags, body)
            self._take(message.topic, message.payload)
            if message.qos and self._transport:
                self._transport.write(packets.answer(packets.PUBACK, message.packet_id))
        elif kind == packets.PUBACK:
            done = self._sent.pop(packets.read_number(body), None)
            if done and not done.done():
                done.set_result(None)
        elif kind == packets.CONNACK:
            if body[1]:
                raise TransferError(f"it does not let us in (code {body[1]})")
            filters = (
                *(topics.down(self._site, each) for each in topics.DOWN),
                topics.through(self._site, "+", "+"),
                topics.ALL,
            )
            wanted = b"".join(_text(each.encode()) + b"\x01" for each in filters)
            if self._transport:
                self._transport.write(packets.packet(packets.SUBSCRIBE, 2, b"\x00\x01", wanted))
        elif kind == packets.SUBACK:
            self.served = True
            self._ready()

    def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard > 2 * _KEEP_ALIVE_S:
            self.close("the broker does not answer")
        elif self._transport:
            self._transport.write(b"\xc0\x00")
            self._timer = loop.call_later(_KEEP_ALIVE_S / 2, self._ping)


async def keep(
    urls: Callable[[], Sequence[str]],
    context: Callable[[], ssl.SSLContext | None],
    make: Callable[[], Uplink],
    use: Callable[[Uplink | None, str], None],
) -> None:
    """Be connected for good, to one broker after the other; a fleet that lost its cloud does not come back at once.

    Args:
        urls: where the brokers are now.
        context: TLS, anew for each try, for certificates are renewed.
        make: gives the protocol of a new connection.
        use: told the connection when it is made, and None with the reason when it has ended.
    """
    loop, span, turn = asyncio.get_running_loop(), _SPAN_S[0], 0
    while True:
        known = urls()
        link: Uplink | None = None
        try:
            address = Address.parse(known[turn % len(known)])
            async with asyncio.timeout(_CONNECT_S):
                _, link = await loop.create_connection(
                    make, address.host, address.port, ssl=context() if address.tls else None
                )
            use(link, "")
            reason = await link.closed
        except (OSError, TimeoutError) as error:  # ssl.SSLError is one
            reason = str(error) or type(error).__name__
        finally:
            if link:
                link.close()
        use(None, reason)
        began = link is not None and link.served
        turn, span = (0, _SPAN_S[0]) if began else (turn + 1, min(2 * span, _SPAN_S[1]))
        await asyncio.sleep(random.uniform(0, span))  # noqa: S311  (nobody gains by guessing it)


def _text(content: bytes) -> bytes:
    return _UINT16.pack(len(content)) + content
