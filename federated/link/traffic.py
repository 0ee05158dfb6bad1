"""Bytes as they cross a socket, counted by the system's TCP: MQTT's framing, seals and TLS are in them.

Linux counts for each connection what it sent and took in, without the headers of TCP and IP; what was sent once more
because it was lost counts again (`tcp_info` of linux/tcp.h, fields `tcpi_bytes_sent` and `tcpi_bytes_received`). So a
figure is right whatever library speaks, and whether the connection is encrypted.
"""

import socket
import struct
from dataclasses import dataclass
from typing import Any, Protocol

_INFO = getattr(socket, "TCP_INFO", None)
_LENGTH = 256
_RECEIVED, _SENT = 128, 200  # where they stand in the structure, in bytes
_UINT64 = struct.Struct("=Q")


class Socket(Protocol):
    """What can be asked: a plain socket, one that speaks TLS, or that of an asyncio transport."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
        """An option's bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that one end sent and received; sums of them are sums of their parts."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        """The bytes of both."""
        return Traffic(self.sent + other.sent, self.received + other.received)

    def __sub__(self, other: "Traffic") -> "Traffic":
        """The bytes since `other`, an earlier reading."""
        return Traffic(self.sent - other.sent, self.received - other.received)


def of_socket(sock: Socket | Any) -> Traffic:
    """What the connection has sent and received so far; nothing where the system does not count, or it is closed."""
    if _INFO is None or sock is None:
        return Traffic()
    try:
        found = sock.getsockopt(socket.IPPROTO_TCP, _INFO, _LENGTH)
    except (OSError, AttributeError):
        return Traffic()
    if len(found) < _SENT + _UINT64.size:
        return Traffic()
    return Traffic(_UINT64.unpack_from(found, _SENT)[0], _UINT64.unpack_from(found, _RECEIVED)[0])


def counted() -> bool:
    """Whether this system counts."""
    with socket.socket() as probe:
        try:
            return (
                _INFO is not None
                and len(probe.getsockopt(socket.IPPROTO_TCP, _INFO, _LENGTH)) >= _SENT + _UINT64.size
            )
        except OSError:
            return False
