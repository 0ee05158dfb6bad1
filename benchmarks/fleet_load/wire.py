"""MQTT 3.1.1 as a simulated device speaks it: packets are made and read without an object for each connection."""

import struct
from collections.abc import Iterator

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
PING = b"\xc0\x00"


def _text(content: bytes) -> bytes:
    return struct.pack("!H", len(content)) + content


def packet(head: int, body: bytes) -> bytes:
    """A packet of the first byte `head`."""
    length, left = bytearray(), len(body)
    while True:
        left, low = left >> 7, left & 127
        length.append(low | (128 if left else 0))
        if not left:
            return bytes((head,)) + bytes(length) + body


def connect(name: bytes, will_topic: bytes, keepalive: int) -> bytes:
    """CONNECT with a clean session, `name` as client and user, and "gone" as the last will at QoS 1."""
    flags = 0x80 | 0x08 | 0x04 | 0x02  # user name, will QoS 1, will, clean session
    head = _text(b"MQTT") + bytes((4, flags)) + struct.pack("!H", keepalive)
    return packet(0x10, head + _text(name) + _text(will_topic) + _text(b"gone") + _text(name))


def subscribe(*patterns: bytes) -> bytes:
    """SUBSCRIBE to the filters at QoS 1."""
    return packet(0x82, b"\x00\x01" + b"".join(_text(pattern) + b"\x01" for pattern in patterns))


def publish(topic: bytes, body: bytes, qos: int = 0, packet_id: int = 1) -> bytes:
    """PUBLISH; the packet id is used at QoS 1 only."""
    return packet(0x30 | qos << 1, _text(topic) + (struct.pack("!H", packet_id) if qos else b"") + body)


def puback(packet_id: bytes) -> bytes:
    """PUBACK of a packet id in two bytes."""
    return b"\x40\x02" + packet_id


def packets(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole packets in `data`: (first byte, body, where the next begins); what is left is for the next time."""
    place, size = 0, len(data)
    while place < size:
        at, length, shift = place + 1, 0, 0
        while at < size:
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        else:
            return
        if at + length > size:
            return
        head, place = data[place], at + length
        yield head, data[at:place], place


def read_publish(head: int, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Topic, payload, and the packet id in two bytes (empty at QoS 0)."""
    end = 2 + (body[0] << 8 | body[1])
    if head >> 1 & 3:
        return body[2:end], body[end + 2 :], body[end : end + 2]
    return body[2:end], body[end:], b""
