"""The broker of a site: the one of the package, in the gateway's own process.

So a device's message is on the gateway's disk before the device hears that it was taken, and no other process can
lose it in between.
"""

import ssl
from collections.abc import Callable

from edge_runtime.messages import topics
from federated.link.broker import Broker
from federated.link.packets import Publish


class LocalBroker(Broker):
    """Hands what devices say to `hear`, and carries what they are told.

    Args:
        hear: told topic and payload; if it raises, the device's connection ends, and it says it again.
        certificates: whether devices are known by their certificates; else by the user's name, on the loopback alone.
    """

    def __init__(self, hear: Callable[[str, bytes], None], *, certificates: bool) -> None:
        super().__init__(certificates=certificates)
        self._hear = hear

    def route(self, message: Publish) -> None:
        """Take what is for the cloud; a federation's link goes to who subscribed."""
        if topics.device_of(message.topic) and topics.kind_of(message.topic) in topics.UP:
            self._hear(message.topic, message.payload)
        super().route(message)

    def tell(self, topic: str, payload: bytes) -> None:
        """Send to the device whose topic it is, if it is connected."""
        super().route(Publish(topic, payload, 1))


def server_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """TLS that shows the gateway's certificate and demands one of the same authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
