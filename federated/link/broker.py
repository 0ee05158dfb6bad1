"""An MQTT broker that comes with the package, for one coordinator and its devices; the standard library alone.

It serves MQTT 3.1.1 at quality of service 0 and 1: sessions that wait for who is away, last wills, keep-alive,
passwords, client certificates, and an access list by which a device reads and writes its own topics alone. It does
not retain messages and keeps nothing on disk: the link asks what was lost. Larger fleets take mosquitto, or any other
broker, without a change elsewhere.
"""

import asyncio
import hmac
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from edge_runtime.errors import TransferError
from federated.link import packets, topics
from federated.link.keys import COORDINATOR
from federated.link.packets import Connect, Publish
from federated.link.traffic import Traffic, of_socket

_MAX_PACKET = 8 << 20
_WINDOW_BYTES = 1 << 20  # on their way to one subscriber; a longer message travels alone
_WINDOW = 64
_QUEUE_BYTES = (
    256 << 20
)  # waiting for one subscriber; what comes then is dropped, and asked for again by the link
_SESSIONS = 100_000
_PATIENCE_S = 10  # until the first packet
_UINT16 = 1 << 16


@dataclass(slots=True)
class Session:
    """What the broker knows of one client, connected or not."""

    subscriptions: dict[str, int] = field(default_factory=dict)
    waiting: deque[Publish] = field(default_factory=deque)
    in_flight: dict[int, Publish] = field(default_factory=dict)
    flight_bytes: int = 0
    waiting_bytes: int = 0
    last_id: int = 0
    client: "Client | None" = None

    def put(self, message: Publish) -> None:
        """Send the message, now or when it is its turn."""
        if message.qos == 0:
            if self.client and self.client.ready:
                self.client.write(packets.publish(message))
        elif self.waiting_bytes + len(message.payload) <= _QUEUE_BYTES:
            self.waiting.append(message)
            self.waiting_bytes += len(message.payload)
            self.pump()

    def pump(self) -> None:
        """Send what the window lets through."""
        while self.client and self.waiting and len(self.in_flight) < _WINDOW:
            size = len(self.waiting[0].payload)
            if self.in_flight and self.flight_bytes + size > _WINDOW_BYTES:
                return
            message = replace(self.waiting.popleft(), packet_id=self._number())
            self.in_flight[message.packet_id] = message
            self.flight_bytes += size
            self.waiting_bytes -= size
            self.client.write(packets.publish(message))

    def acknowledge(self, packet_id: int) -> None:
        """The subscriber has it."""
        message = self.in_flight.pop(packet_id, None)
        if message is not None:
            self.flight_bytes -= len(message.payload)
            self.pump()

    def again(self) -> None:
        """Send what was on its way when the connection broke, in order."""
        if self.client:
            for message in self.in_flight.values():
                self.client.write(packets.publish(message, again=True))
            self.pump()

    def _number(self) -> int:
        while True:
            self.last_id = self.last_id % (_UINT16 - 1) + 1
            if self.last_id not in self.in_flight:
                return self.last_id


class Broker:
    """Routes messages between sessions.

    `passwords` are by user name; without them everybody is let in, and the access list goes by the client's id.
    `denied` is told who may not "PUBLISH" or "SUBSCRIBE" what.
    """

    def __init__(
        self,
        passwords: Mapping[str, str] | None = None,
        *,
        certificates: bool = False,
        denied: Callable[[str, str, str], None] = lambda _kind, _name, _topic: None,
    ) -> None:
        self._passwords, self._certificates, self.denied = passwords, certificates, denied
        self._sessions: dict[str, Session] = {}
        self._exact: dict[str, set[str]] = {}  # topic: the clients that subscribed to exactly it
        self._wild: dict[str, set[str]] = {}
        self._ended: dict[str, Traffic] = {}  # of connections that are no more, by name

    def traffic(self) -> dict[str, Traffic]:
        """Bytes at the broker's sockets, by the name of the client: sent to it, received from it, TLS included."""
        found = dict(self._ended)
        for name, session in self._sessions.items():
            if session.client:
                found[name] = found.get(name, Traffic()) + session.client.traffic()
        return found

    def admit(self, connect: Connect, certificate: Mapping[str, Any]) -> str | None:
        """The name of who connects, with this certificate as `ssl` tells it, or None if it cannot prove it."""
        if self._certificates:
            return _common_name(certificate) or None
        if self._passwords is None:
            return connect.user or connect.client_id
        known = self._passwords.get(connect.user)
        given = connect.password
        right = hmac.compare_digest((known or "").encode(), given) and known is not None
        return connect.user if right else None

    def open(self, client: "Client", connect: Connect) -> bool:
        """Give the client its session; whether it had one."""
        name = connect.client_id
        before = self._sessions.get(name)
        if before and before.client:
            before.client.close(will=True)
        if connect.clean or before is None:
            self._drop(name)
            if len(self._sessions) >= _SESSIONS:
                raise TransferError("there are too many sessions")
            self._sessions[name] = Session()
        self._sessions[name].client = client
        return self._sessions[name] is before

    def leave(self, client: "Client", connect: Connect) -> None:
        """The client is not connected any more."""
        name = connect.client_id
        self._ended[name] = self._ended.get(name, Traffic()) + client.traffic()
        session = self._sessions.get(name)
        if session and session.client is client:
            session.client = None
            if connect.clean:
                self._drop(name)

    def session(self, client_id: str) -> Session:
        """The client's session."""
        return self._sessions[client_id]

    def subscribe(self, client_id: str, pattern: str, qos: int) -> None:
        """Send the client what matches the filter."""
        self._sessions[client_id].subscriptions[pattern] = qos
        self._index(pattern).setdefault(pattern, set()).add(client_id)

    def unsubscribe(self, client_id: str, pattern: str) -> None:
        """Do not any more."""
        self._sessions[client_id].subscriptions.pop(pattern, None)
        index = self._index(pattern)
        index.get(pattern, set()).discard(client_id)
        if not index.get(pattern):
            index.pop(pattern, None)

    def route(self, message: Publish) -> None:
        """Hand the message to who subscribed to its topic."""
        found = dict.fromkeys(self._exact.get(message.topic, ()), message.topic)
        for pattern, names in self._wild.items():
            if topics.matches(pattern, message.topic):
                found.update(dict.fromkeys(names, pattern))
        for name, pattern in found.items():
            session = self._sessions[name]
            session.put(replace(message, qos=min(message.qos, session.subscriptions[pattern]), packet_id=0))

    def _index(self, pattern: str) -> dict[str, set[str]]:
        return self._wild if "+" in pattern or pattern.endswith("#") else self._exact

    def _drop(self, client_id: str) -> None:
        session = self._sessions.get(client_id)
        for pattern in list(session.subscriptions) if session else ():
            self.unsubscribe(client_id, pattern)
        self._sessions.pop(client_id, None)


def _common_name(certificate: Mapping[str, Any]) -> str:
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""


_EVERYWHERE = (COORDINATOR, "controller")  # of a federation, and of a fleet


def may_write(name: str, topic: str) -> bool:
    """Whether `name` may publish on the topic: a device or a site on its own way up, who coordinates on all."""
    if name in _EVERYWHERE:
        return topic.startswith(topics.ROOT + "/")
    return topic.startswith((f"{topics.ROOT}/d/{name}/up/", f"{topics.ROOT}/s/{name}/up/"))


def may_read(name: str, pattern: str) -> bool:
    """Whether `name` may subscribe to the filter."""
    if name in _EVERYWHERE:
        return pattern.startswith(topics.ROOT + "/")
    own = (f"{topics.ROOT}/d/{name}/down/", f"{topics.ROOT}/s/{name}/down/")
    return pattern == topics.ALL or (pattern.startswith(own) and "+" not in name)


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._reader = packets.Reader(_MAX_PACKET)
        self._transport: asyncio.Transport | None = None
        self._connect: Connect | None = None
        self._name = ""
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self.ready = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the CONNECT packet."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self.close)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the will, if the client did not take leave."""
        self.close(will=True)

    def pause_writing(self) -> None:
        """Messages of quality of service 0 are dropped from now on."""
        self.ready = False

    def resume_writing(self) -> None:
        """And sent again."""
        self.ready = True

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport:
            self._transport.write(data)

    def traffic(self) -> Traffic:
        """Bytes at the socket of this connection."""
        return of_socket(self._transport.get_extra_info("socket")) if self._transport else Traffic()

    def certificate(self) -> Mapping[str, Any]:
        """What the client proved by TLS, as `ssl` tells it; empty for nothing."""
        return (self._transport.get_extra_info("peercert") if self._transport else None) or {}

    def close(self, *, will: bool = False) -> None:
        """End the connection; `will` says that the client did not wish it."""
        connect, self._connect = self._connect, None
        if self._timer:
            self._timer.cancel()
        if connect:
            self._broker.leave(self, connect)  # while the socket still knows its bytes
        if self._transport:
            self._transport.close()
            self._transport = None
        if connect and will and connect.will and may_write(self._name, connect.will.topic):
            self._broker.route(connect.will)

    def data_received(self, data: bytes) -> None:
        """Act on the packets; one that breaks the protocol ends the connection."""
        self._heard = asyncio.get_running_loop().time()
        try:
            for kind, flags, body in self._reader.feed(data):
                if self._transport is None:
                    return
                if self._connect is None:
                    self._begin(kind, body)
                else:
                    self._act(kind, flags, body, self._connect)
        except TransferError:
            self.close(will=True)

    def _begin(self, kind: int, body: bytes) -> None:
        connect = packets.read_connect(body) if kind == packets.CONNECT else None
        if connect is None:
            self.write(packets.connack(packets.WRONG_VERSION))
            self.close()
            return
        name = self._broker.admit(connect, self.certificate())
        if name is None or connect.client_id != name:  # else one could take over another's session
            self.write(packets.connack(packets.NOT_AUTHORISED))
            self.close()
            return
        self._name = name
        session = self._broker.open(self, connect)
        self._connect = connect
        self.write(packets.connack(packets.ACCEPTED, session=session))
        if self._timer:
            self._timer.cancel()
        self._watch(connect.keep_alive_s * 1.5)
        self._broker.session(connect.client_id).again()

    def _watch(self, seconds: float) -> None:
        """Close when nothing was heard for so long (3.1.1, section 3.1.2.10)."""
        if not seconds:
            return
        loop = asyncio.get_running_loop()
        left = self._heard + seconds - loop.time()
        if left <= 0:
            self.close(will=True)
        else:
            self._timer = loop.call_later(left, self._watch, seconds)

    def _act(self, kind: int, flags: int, body: bytes, connect: Connect) -> None:
        broker, me = self._broker, connect.client_id
        if kind == packets.PUBLISH:
            message = packets.read_publish(flags, body)
            if may_write(self._name, message.topic):
                broker.route(message)
            else:  # dropped: 3.1.1 has no way to say no
                broker.denied("PUBLISH", self._name, message.topic)
            if message.qos:
                self.write(packets.answer(packets.PUBACK, message.packet_id))
        elif kind == packets.PUBACK:
            broker.session(me).acknowledge(packets.read_number(body))
        elif kind == packets.SUBSCRIBE:
            number, wanted = packets.read_subscribe(body, qos=True)
            codes = bytes(qos if may_read(self._name, pattern) else 128 for pattern, qos in wanted)
            for (pattern, qos), code in zip(wanted, codes, strict=True):
                if code < 128:
                    broker.subscribe(me, pattern, qos)
                else:
                    broker.denied("SUBSCRIBE", self._name, pattern)
            self.write(packets.answer(packets.SUBACK, number, codes))
        elif kind == packets.UNSUBSCRIBE:
            number, wanted = packets.read_subscribe(body, qos=False)
            for pattern, _ in wanted:
                broker.unsubscribe(me, pattern)
            self.write(packets.answer(packets.UNSUBACK, number))
        elif kind == packets.PINGREQ:
            self.write(packets.PINGRESP)
        elif kind == packets.DISCONNECT:
            self.close()
        else:
            raise TransferError(f"packet type {kind} is not a client's")


async def serve(
    broker: Broker,
    host: str,
    port: int,
    context: ssl.SSLContext | None = None,
    ready: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve until cancelled; `ready` is told the port, for 0 takes a free one."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(broker), host, port, ssl=context, backlog=1024)
    async with server:
        ready(server.sockets[0].getsockname()[1])
        with suppress(asyncio.CancelledError):
            await server.serve_forever()
