"""MQTT 3.1.1 packets as the broker reads and writes them (OASIS standard, sections 2 and 3).

What a client may send: CONNECT, PUBLISH at quality of service 0 and 1, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ and
DISCONNECT. Anything else, and anything cut short, ends its connection.
"""

import struct
from dataclasses import dataclass, field

from edge_runtime.errors import TransferError

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, DISCONNECT = 10, 11, 12, 14
PINGRESP = b"\xd0\x00"
ACCEPTED, WRONG_VERSION, NOT_AUTHORISED = 0, 1, 5
_UINT16 = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Connect:
    """The first packet of a client."""

    client_id: str
    clean: bool
    keep_alive_s: int
    user: str = ""
    password: bytes = field(default=b"", repr=False)
    will: "Publish | None" = None


@dataclass(frozen=True, slots=True)
class Publish:
    """A message; `packet_id` is 0 at quality of service 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0


class Reader:
    """Divides a stream of bytes into packets of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._buffer = bytearray()
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Take bytes, and give (type, flags, body) of each packet that is complete.

        Raises:
            TransferError: a packet is too long, or its length is no number.
        """
        self._buffer += data
        found: list[tuple[int, int, bytes]] = []
        start = 0
        while True:
            front = _length(self._buffer, start)
            if front is None:
                break
            length, body = front
            if length > self._max_bytes:
                raise TransferError(f"a packet of {length} bytes; {self._max_bytes} are accepted")
            if body + length > len(self._buffer):
                break
            first = self._buffer[start]
            found.append((first >> 4, first & 15, bytes(self._buffer[body : body + length])))
            start = body + length
        del self._buffer[:start]
        return found


def _length(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """The packet's remaining length and where its body begins; None where that is not there yet."""
    value = 0
    for i in range(4):
        position = start + 1 + i
        if position >= len(buffer):
            return None
        byte = buffer[position]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, position + 1
    raise TransferError("a packet's length has more than four bytes")


def packet(kind: int, flags: int, *parts: bytes) -> bytes:
    """A packet of these parts."""
    length, front = sum(map(len, parts)), bytearray([kind << 4 | flags])
    while True:
        length, digit = divmod(length, 128)
        front.append(digit | (128 if length else 0))
        if not length:
            return b"".join([front, *parts])


def publish(message: Publish, *, again: bool = False) -> bytes:
    """A PUBLISH packet; `again` says that it may have been sent before."""
    topic = message.topic.encode()
    number = _UINT16.pack(message.packet_id) if message.qos else b""
    flags = message.qos << 1 | again << 3
    return packet(PUBLISH, flags, _UINT16.pack(len(topic)), topic, number, message.payload)


def answer(kind: int, packet_id: int, codes: bytes = b"") -> bytes:
    """PUBACK, SUBACK or UNSUBACK."""
    return packet(kind, 0, _UINT16.pack(packet_id), codes)


def connack(code: int, *, session: bool = False) -> bytes:
    """A CONNACK packet."""
    return packet(CONNACK, 0, bytes([session and code == ACCEPTED, code]))


class _Body:
    """The fields of a packet, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise TransferError("a packet is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        return int(_UINT16.unpack(self.take(2))[0])

    def blob(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            found = self.blob().decode()
        except UnicodeDecodeError as error:
            raise TransferError("a packet's text is not UTF-8") from error
        if "\0" in found:
            raise TransferError("a packet's text holds a zero")
        return found

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def read_connect(body: bytes) -> Connect | None:
    """A CONNECT packet; None if it is of another protocol version.

    Raises:
        TransferError: it is damaged.
    """
    data = _Body(body)
    protocol, level, flags = data.blob(), data.take(1)[0], data.take(1)[0]
    if protocol != b"MQTT" or level != 4:
        return None
    keep_alive_s, client_id = data.number(), data.text()
    will = None
    if flags & 4:
        will = Publish(_topic(data.text()), data.blob(), min(flags >> 3 & 3, 1))
    user = data.text() if flags & 128 else ""
    password = data.blob() if flags & 64 else b""
    if flags & 1 or data or not (client_id or flags & 2):
        raise TransferError("a CONNECT packet breaks the protocol")
    return Connect(client_id, bool(flags & 2), keep_alive_s, user, password, will)


def read_publish(flags: int, body: bytes) -> Publish:
    """A PUBLISH packet.

    Raises:
        TransferError: it is damaged, or of quality of service 2.
    """
    data = _Body(body)
    qos = flags >> 1 & 3
    if qos > 1:
        raise TransferError("quality of service 0 and 1 are served")
    topic, number = _topic(data.text()), 0
    if qos:
        number = data.number()
    return Publish(topic, data.rest(), qos, number)


def read_subscribe(body: bytes, *, qos: bool) -> tuple[int, list[tuple[str, int]]]:
    """A SUBSCRIBE (`qos`) or UNSUBSCRIBE packet: its id, and filters with the quality of service asked for.

    Raises:
        TransferError: it is damaged.
    """
    data = _Body(body)
    number, found = data.number(), []
    while data:
        pattern = data.text()
        levels = pattern.split("/")
        if (
            not pattern
            or "#" in levels[:-1]
            or any(len(each) > 1 and set(each) & {"#", "+"} for each in levels)
        ):
            raise TransferError(f"{pattern[:80]!r} is no topic filter")
        found.append((pattern, min(data.take(1)[0] & 3, 1) if qos else 0))
    return number, found


def read_number(body: bytes) -> int:
    """The packet id of a PUBACK.

    Raises:
        TransferError: it is damaged.
    """
    return _Body(body).number()


def _topic(text: str) -> str:
    if not text or "#" in text or "+" in text:
        raise TransferError(f"{text[:80]!r} is no topic")
    return text
