"""A device's end of the link: payloads to and from the coordinator."""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from edge_runtime.errors import TransferError
from federated.link import chunks, topics
from federated.link.channel import Channel, OnAgain, OnPayload, refuse
from federated.link.keys import Key
from federated.link.mqtt import Address, Connection
from federated.link.timer import TIMER
from federated.link.traffic import Traffic

_RETRY_S = 5.0
_HOLD_S = 3.0  # of the coordinator's own patience: an answer within it spares a frame


class Peer:
    """Says that the device is there, sends each payload until the coordinator has it, and takes its payloads in.

    A context manager: connected inside it, again and again if need be. What is not sealed with the device's key
    is refused and counted in `refused`.
    """

    def __init__(
        self,
        address: Address,
        key: Key,
        on_payload: OnPayload,
        *,
        on_again: OnAgain = lambda _digest: None,
        chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
        max_bytes: int = chunks.MAX_BYTES,
        folder: Path | None = None,
        about: Callable[[], Mapping[str, Any]] = dict,
        aside: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """Make the peer; it connects when it is entered.

        Args:
            address: of the broker.
            key: the device's.
            on_payload: called from the network's thread.
            on_again: called with the digest of a payload that is asked for once more.
            chunk_bytes: the length of a chunk.
            max_bytes: the longest payload that is taken.
            folder: for transfers that should outlive the process.
            about: what the device says of itself beside that it is there, as JSON has it; asked every second, and sent
                when it is not what it was.
            aside: what goes with that, and is not worth a message when it changes.
        """
        self._about, self._aside, self._said = about, aside, dict(about())
        self._key, self._state_topic = key, topics.up_state(key.device)
        self._process = secrets.token_hex(4)
        self.refused: dict[str, int] = {}
        self._connection = Connection(
            address, key.device, [topics.down_link(key.device), topics.ALL],
            on_message=self._message, on_connect=self._hello, will=(self._state_topic, self._state(here=False)),
        )  # fmt: skip
        self.channel = Channel(
            key,
            (topics.up_link(key.device), topics.down_link(key.device)),
            self._connection.send,
            on_payload,
            on_again=on_again,
            hold_s=_HOLD_S,
            chunk_bytes=chunk_bytes,
            max_bytes=max_bytes,
            folder=folder,
        )

    def __enter__(self) -> Self:
        self._connection.start()
        TIMER.add(self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        TIMER.remove(self._tick)
        self._connection.stop()

    def wait(self, timeout: float) -> None:
        """Return once the broker has answered.

        Raises:
            TransferError: it did not within `timeout` seconds.
        """
        self._connection.wait(timeout)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._connection.connected

    def socket_traffic(self) -> Traffic:
        """Bytes at the device's socket, to the broker and from it, with what MQTT and TLS add."""
        return self._connection.traffic()

    def leave(self) -> None:
        """Say that the device goes; what was sent before is on its way first."""
        self._connection.send(self._state_topic, [self._state(here=False)])

    def _state(self, *, here: bool) -> bytes:
        more = {**self._aside(), **self._said} if here else {}
        text = json.dumps({**more, "here": here, "process": self._process}, separators=(",", ":"))
        return self._key.seal(self._state_topic, text.encode())

    def _hello(self, _kept: bool) -> None:
        self._said = dict(self._about())
        self._connection.send(self._state_topic, [self._state(here=True)])
        self.channel.resume()

    def _tick(self) -> None:
        if self._connection.connected and dict(self._about()) != self._said:
            self._said = dict(self._about())
            self._connection.send(self._state_topic, [self._state(here=True)])
        self.channel.settle()
        if self.channel.stalled(_RETRY_S) and self._connection.idle(topics.up_link(self._key.device)):
            self.channel.resume()

    def _message(self, topic: str, payload: bytes) -> None:
        try:
            if topic == topics.ALL:
                self._hello(True)
            else:
                self.channel.feed(payload)
        except TransferError as error:
            refuse(error, self.refused)
