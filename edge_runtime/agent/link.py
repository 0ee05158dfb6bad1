"""The agent's connection to its broker, by paho-mqtt: MQTT 3.1.1, quality of service 0 and 1, a last will, no session.

It tries the brokers in the order that the fleet gave, and waits between tries a time drawn at random from a span that
doubles: a fleet whose broker comes back does not come back in one moment. What was not acknowledged is not repeated
here: the agent reports again on every connection, and the queue of telemetry keeps what was not.
"""

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from edge_runtime.errors import BackendError, InputError
from edge_runtime.messages import topics
from edge_runtime.messages.address import Address

_log = logging.getLogger(__name__)
_FIRST_S, _LAST_S = 1.0, 300.0  # spans of the wait between tries
_KEEP_ALIVE_S = 60
_CONNECT_S = 20  # until a broker has let the device in
_STAYED_S = 60  # a connection that lasted so long makes the next wait short again


class Link:
    """One device's connection. The callbacks come from its thread.

    Args:
        device: its name, which is the client's id and, without TLS, the user.
        brokers: URLs, the first preferred.
        tls: gives the context for brokers that speak TLS, anew for each try, for certificates are renewed.
        on_message: told topic and content.
        on_state: told whether the device is connected now.
    """

    def __init__(
        self,
        device: str,
        brokers: Sequence[str],
        tls: Callable[[], ssl.SSLContext],
        *,
        on_message: Callable[[str, bytes], None],
        on_state: Callable[[bool], None],
    ) -> None:
        self._device, self._tls = device, tls
        self._on_message, self._on_state = on_message, on_state
        self._addresses = [Address.parse(url) for url in brokers]
        self._client: Any = None
        self._waits: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._ended, self._woken = threading.Event(), threading.Event()
        self._let_in = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self.refused = ""

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Take leave: the last will is not told, "gone" is."""
        self._ended.set()
        self._woken.set()
        if self._client is not None and self._let_in.is_set():
            told = self._client.publish(topics.up(self._device, "state"), b"gone", qos=1)
            with suppress(ValueError, RuntimeError):
                told.wait_for_publish(2)
        self._leave()
        if self._thread.is_alive():
            self._thread.join(5)

    def use(self, brokers: Sequence[str]) -> None:
        """Connect to these brokers from now on; those that cannot be read are left out."""
        found = []
        for url in brokers:
            with suppress(InputError):
                found.append(Address.parse(url))
        if found and found != self._addresses:
            self._addresses = found
            self._leave()
            self._woken.set()

    def again(self) -> None:
        """Connect anew, as when the certificate was renewed."""
        self._leave()
        self._woken.set()

    def send(
        self, kind: str, content: bytes, *, qos: int = 1, done: Callable[[], None] | None = None
    ) -> bool:
        """Say something of this kind; whether it is on its way. `done` is called when the broker has it."""
        client = self._client
        if client is None or not self._let_in.is_set():
            return False
        # Not under our lock: paho's own is held when it calls `_published`, and each would wait for the other.
        told = client.publish(topics.up(self._device, kind), content, qos=qos)
        if told.rc:
            return False
        if done is not None:
            with self._lock:
                self._waits[told.mid] = done
            if told.is_published():  # it may have been before that was noted; who takes it calls it
                self._published(client, None, told.mid, None, None)
        return True

    # -------------------------------------------------------------------------------------- the thread
    def _run(self) -> None:
        span, turn, said = _FIRST_S, 0, ""
        while not self._ended.is_set():
            addresses = self._addresses
            lasted = self._connection(addresses[turn % len(addresses)])
            if self.refused and self.refused != said:
                _log.warning("not connected: %s", self.refused)
            said = self.refused
            span = _FIRST_S if lasted >= _STAYED_S else min(2 * span, _LAST_S)
            turn = 0 if lasted >= _STAYED_S or addresses is not self._addresses else turn + 1
            self._woken.clear()
            if not self._ended.is_set():
                self._woken.wait(random.uniform(0, span))  # noqa: S311  (nobody gains by guessing it)

    def _connection(self, address: Address) -> float:
        """Be connected as long as it lasts; seconds."""
        lost = threading.Event()
        try:
            client = self._made(address, lost)
            client.connect(address.host, address.port, keepalive=_KEEP_ALIVE_S)
        except (OSError, ValueError, InputError) as error:
            self.refused = f"{address.host}:{address.port}: {error}"
            return 0.0
        began, self._client = time.monotonic(), client
        client.loop_start()
        if not self._let_in.wait(_CONNECT_S):
            lost.set()
        lost.wait()
        was, self._client = self._let_in.is_set(), None
        self._let_in.clear()
        with self._lock:
            self._waits.clear()
        with suppress(OSError, ValueError, RuntimeError):
            client.disconnect()
        client.loop_stop()
        if was:
            self._on_state(False)
        return time.monotonic() - began if was else 0.0

    def _made(self, address: Address, lost: threading.Event) -> Any:
        try:
            from paho.mqtt import client as paho
        except ImportError as error:
            raise BackendError("the agent needs paho-mqtt: pip install 'littoral[agent]'") from error
        made = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            self._device,
            clean_session=True,
            protocol=paho.MQTTv311,
            reconnect_on_failure=False,
        )
        made.connect_timeout = _CONNECT_S
        made.username_pw_set(self._device, None)
        if address.tls:
            made.tls_set_context(self._tls())
        made.will_set(topics.up(self._device, "state"), b"gone", qos=1)
        made.on_connect, made.on_message = self._connected, self._message
        made.on_disconnect = made.on_connect_fail = lambda *_: lost.set()
        made.on_subscribe, made.on_publish = self._subscribed, self._published
        return made

    def _leave(self) -> None:
        client = self._client
        if client is not None:
            with suppress(OSError, ValueError, RuntimeError):
                client.disconnect()

    def _connected(self, client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self.refused = f"the broker refused the connection: {code}"  # paho ends it, and it is tried again
            return
        client.subscribe([(f"{topics.ROOT}/d/{self._device}/down/#", 1), (topics.ALL, 0)])

    def _subscribed(self, client: Any, _data: Any, _mid: int, _codes: Any, _properties: Any) -> None:
        if not self._let_in.is_set():
            self.refused = ""
            self._let_in.set()
            client.publish(topics.up(self._device, "state"), b"here", qos=1)
            self._on_state(True)

    def _message(self, _client: Any, _data: Any, message: Any) -> None:
        self._on_message(message.topic, message.payload)

    def _published(self, _client: Any, _data: Any, mid: int, _code: Any, _properties: Any) -> None:
        with self._lock:
            done = self._waits.pop(mid, None)
        if done is not None:
            done()
