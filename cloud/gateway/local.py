"""The broker of a site: the one of the package, in the gateway's own process.

So a device's message is on the gateway's disk before the device hears that it was taken, and no other process can
lose it in between.
"""

import ssl
from collections.abc import Callable, Container, Mapping
from typing import Any

from cloud.limits import Limiter
from edge_runtime.errors import TransferError
from edge_runtime.messages import topics
from federated.link.broker import Broker
from federated.link.packets import Connect, Publish

_RATE, _BURST = (
    10.0,
    200.0,
)  # messages a second of one device, and at once: what is waiting when it comes back
_DEVICES = 10_000  # of whom it is remembered how much they said lately


class LocalBroker(Broker):
    """Hands what devices say to `hear`, and carries what they are told.

    Args:
        hear: told topic and payload; if it raises, the device's connection ends, and it says it again.
        certificates: whether devices are known by their certificates; else by the user's name, on the loopback alone.
        revoked: serial numbers of certificates that are let in no more.
    """

    def __init__(
        self,
        hear: Callable[[str, bytes], None],
        *,
        certificates: bool,
        revoked: Container[int] = frozenset(),
    ) -> None:
        super().__init__(certificates=certificates)
        self._hear, self._revoked = hear, revoked
        self._limits: dict[str, Limiter] = {}
        self.flooded = 0  # connections that ended because their device said too much

    def admit(self, connect: Connect, certificate: Mapping[str, Any]) -> str | None:
        """As `Broker.admit`; nobody whose certificate was revoked."""
        return None if self._taken_back(certificate) else super().admit(connect, certificate)

    def expel(self) -> None:
        """End the connections of those whose certificates have been revoked since."""
        clients = [session.client for session in self._sessions.values() if session.client]
        for client in clients:
            if self._taken_back(client.certificate()):
                client.close(will=True)

    def route(self, message: Publish) -> None:
        """Take what is for the cloud; a federation's link goes to who subscribed.

        Raises:
            TransferError: the device says more than it may, so that it is told to come back later.
        """
        device, kind = topics.device_of(message.topic), topics.kind_of(message.topic)
        if device and kind in topics.UP:
            if kind != "state":  # which comes once with a connection, and after its end
                self._bear(device)
            self._hear(message.topic, message.payload)
        super().route(message)

    def tell(self, topic: str, payload: bytes) -> None:
        """Send to the device whose topic it is, if it is connected."""
        super().route(Publish(topic, payload, 1))

    def _bear(self, device: str) -> None:
        limit = self._limits.pop(device, None) or Limiter(_RATE, _BURST)
        self._limits[device] = limit  # the last who spoke stands last
        if len(self._limits) > _DEVICES:
            del self._limits[next(iter(self._limits))]
        if not limit.allow():
            self.flooded += 1
            raise TransferError(f"{device} says more than {_RATE:.0f} messages a second")

    def _taken_back(self, certificate: Mapping[str, Any]) -> bool:
        return int(certificate.get("serialNumber", "0"), 16) in self._revoked


def server_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """TLS that shows the gateway's certificate and demands one of the same authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
