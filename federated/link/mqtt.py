"""A connection to an MQTT broker by paho-mqtt: it comes back by itself, and sends in order, one frame after the other.

The only module that imports paho. The protocol is MQTT 3.1.1, which every broker speaks, at quality of service 1.
A session persists at the broker, so what a device misses while it is away for a moment waits for it. A lane has one
frame on its way at a time: when the connection breaks, at most one chunk travels again.
"""

import random
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from edge_runtime.errors import BackendError, InputError, TransferError
from federated.link.traffic import Traffic, of_socket

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEP_ALIVE_S = 30
_FIRST_RETRY_S = (
    0.2,
    1.0,
)  # drawn for each connection, then doubled: a fleet does not come back in one moment
_LAST_RETRY_S = (15.0, 45.0)
_IN_FLIGHT = 10_000  # lanes hold back, not paho

OnMessage = Callable[[str, bytes], None]
OnConnect = Callable[[bool], None]
"""Called after each connection; whether the broker has kept the session."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and how one proves to be oneself; secrets are in no representation of it."""

    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str | None = None  # a file of certificates to trust; None: those of the system
    cert: str | None = None
    cert_key: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, **more: Any) -> "Address":
        """Read ``mqtt://host:1883`` or ``mqtts://host:8883``.

        Raises:
            InputError: it is neither.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.path.strip("/"):
            raise InputError(
                "--broker: expected mqtt://HOST:PORT or mqtts://HOST:PORT, without user or password"
            )
        tls = parts.scheme == "mqtts"
        if not tls and (more.get("ca") or more.get("cert")):
            raise InputError(f"--broker {url}: certificates are for mqtts://")
        return cls(parts.hostname, port or _PORTS[parts.scheme], tls, **more)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


class Connection:
    """One client of the broker. Callbacks come from its network thread, one at a time."""

    def __init__(
        self,
        address: Address,
        client_id: str,
        subscriptions: Sequence[str],
        *,
        on_message: OnMessage,
        on_connect: OnConnect,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self._address, self._subscriptions = address, subscriptions
        self._on_connect, self._on_message = on_connect, on_message
        self._lock = threading.RLock()
        self._lanes: dict[str, _Lane] = {}
        self._sent: dict[int, _Lane] = {}
        self._early: set[int] = set()  # acknowledged before `publish` had returned
        self._asked: dict[int, bool] = {}
        self.refused = ""
        self._socket: Any = None
        self._before = Traffic()  # of connections that have ended
        self._connected = threading.Event()
        self._client = self._make(client_id)
        if will:
            self._client.will_set(*will, qos=1)

    def _make(self, client_id: str) -> Any:
        try:
            from paho.mqtt import client as paho
        except ImportError as error:
            raise BackendError("the device link needs paho-mqtt: pip install 'littoral[link]'") from error
        address = self._address
        made = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=paho.MQTTv311
        )
        made.max_inflight_messages_set(_IN_FLIGHT)
        made.reconnect_delay_set(random.uniform(*_FIRST_RETRY_S), random.uniform(*_LAST_RETRY_S))  # noqa: S311
        if address.user:
            made.username_pw_set(address.user, address.password or None)
        if address.tls:
            made.tls_set_context(_tls(address))
        made.on_connect, made.on_message = self._connect, self._message
        made.on_publish, made.on_subscribe = self._published, self._subscribed
        made.on_disconnect = lambda *_: self._connected.clear()
        made.on_socket_open, made.on_socket_close = self._opened, self._closing
        return made

    def start(self) -> None:
        """Connect, now or as soon as the broker is there."""
        self._client.connect_async(self._address.host, self._address.port, _KEEP_ALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Take leave of the broker: the last will is not sent."""
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self, timeout: float) -> None:
        """Return once connected and subscribed.

        Raises:
            TransferError: it took more than `timeout` seconds, or the broker refused.
        """
        if not self._connected.wait(timeout):
            raise TransferError(
                f"{self._address}: {self.refused or f'no broker answered within {timeout:g} s'}"
            )

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connected.is_set()

    def traffic(self) -> Traffic:
        """Bytes that this client sent and received at its socket, over all its connections, TLS and MQTT included."""
        with self._lock:
            return self._before + of_socket(self._socket)

    def send(self, topic: str, frames: Iterable[bytes]) -> None:
        """Send the frames on the topic, behind what waits there, each when the one before has arrived."""
        with self._lock:
            lane = self._lanes.setdefault(topic, _Lane(topic))
            lane.waiting.append(iter(frames))
        self._next(lane)

    def idle(self, topic: str) -> bool:
        """Whether nothing waits on the topic."""
        with self._lock:
            lane = self._lanes.get(topic)
            return lane is None or not (lane.busy or lane.waiting)

    def _next(self, lane: "_Lane") -> None:
        # paho holds a lock of its own while it calls `_published`: it must not be called under ours
        with self._lock:
            frame = None if lane.busy else lane.take()
            if frame is None:
                return
            lane.busy = True
        mid = self._client.publish(lane.topic, frame, qos=1).mid
        with self._lock:
            early = mid in self._early
            self._early.discard(mid)
            if not early:
                self._sent[mid] = lane
            else:
                lane.busy = False
        if early:
            self._next(lane)

    def _published(self, _client: Any, _data: Any, mid: int, _code: Any, _properties: Any) -> None:
        with self._lock:
            lane = self._sent.pop(mid, None)
            if lane is None:
                self._early.add(mid)
                return
            lane.busy = False
        self._next(lane)

    def _opened(self, _client: Any, _data: Any, sock: Any) -> None:
        with self._lock:
            self._socket = sock

    def _closing(self, _client: Any, _data: Any, sock: Any) -> None:
        with self._lock:
            if sock is self._socket:
                self._before, self._socket = self._before + of_socket(sock), None

    def _connect(self, client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self.refused = f"the broker refused the connection: {code}"
            return
        _, mid = client.subscribe([(topic, 1) for topic in self._subscriptions])
        self._asked[mid] = bool(flags.session_present)

    def _subscribed(self, _client: Any, _data: Any, mid: int, _codes: Any, _properties: Any) -> None:
        session = self._asked.pop(mid, False)
        self._connected.set()
        self._on_connect(session)

    def _message(self, _client: Any, _data: Any, message: Any) -> None:
        self._on_message(message.topic, message.payload)


class _Lane:
    """What waits to be sent on one topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.busy = False
        self.waiting: deque[Iterator[bytes]] = deque()

    def take(self) -> bytes | None:
        """The next frame; it is made only now."""
        while self.waiting:
            frame = next(self.waiting[0], None)
            if frame is not None:
                return frame
            self.waiting.popleft()
        return None


def _tls(address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if address.cert:
            context.load_cert_chain(address.cert, address.cert_key)
    except OSError as error:  # SSLError is one
        raise InputError(f"the certificates cannot be read: {error}; expected PEM files") from error
    return context
