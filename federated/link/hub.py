"""The coordinator's end of the link: payloads to and from all enrolled devices."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from edge_runtime import console
from edge_runtime.errors import TransferError
from federated.link import chunks, topics
from federated.link.channel import Channel, refuse
from federated.link.keys import COORDINATOR, Key, OldPeerError
from federated.link.mqtt import Address, Connection
from federated.link.timer import TIMER
from federated.link.traffic import Traffic

_RETRY_S = 5.0
_MOST_STATE = 4096  # bytes; more is cut, and refused as what it then is

OnPayload = Callable[[str, bytes | bytearray], bool | None]
"""Takes (device, payload); False says that it is of no use now and is to be taken again if it comes again."""


class Hub:
    """Knows who is there, sends each payload until its device has it, and gives what devices send to `on_payload`.

    A context manager: connected inside it. Whatever is forged or damaged is refused and counted in `refused`.
    """

    def __init__(
        self,
        address: Address,
        keys: Mapping[str, Key],
        on_payload: OnPayload,
        *,
        chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
        max_bytes: int = chunks.MAX_BYTES,
        folder: Path | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the hub; it connects when it is entered.

        Args:
            address: of the broker.
            keys: of the enrolled devices, by name.
            on_payload: called from the network's thread.
            chunk_bytes: the length of a chunk.
            max_bytes: the longest payload that a device may send.
            folder: for transfers that should outlive the process.
            on_change: called when a device comes or goes.
        """
        self._keys, self._on_change = keys, on_change
        self._here: dict[str, str] = {}  # device: what it called its process
        self.about: dict[str, dict[str, Any]] = {}  # what each device last said of itself, as it came
        self.refused: dict[str, int] = {}
        filters = [topics.UP_LINK, topics.UP_STATE]
        self._connection = Connection(
            address, COORDINATOR, filters,
            on_message=self._message, on_connect=lambda _kept: self._ask(),
        )  # fmt: skip
        self._channels = {
            device: Channel(
                key,
                (topics.down_link(device), topics.up_link(device)),
                self._connection.send,
                lambda payload, device=device: on_payload(device, payload),  # type: ignore[misc]
                keep=True,
                chunk_bytes=chunk_bytes,
                max_bytes=max_bytes,
                folder=folder / device if folder else None,
            )
            for device, key in keys.items()
        }

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
    def here(self) -> list[str]:
        """The devices that are there, in the order of their numbers."""
        return [device for device in self._keys if device in self._here]

    def send(self, device: str, payload: bytes) -> bytes:
        """Send until `forget`, also to a device that comes back as another process; returns the payload's digest."""
        return self._channels[device].send(payload)

    def forget(self, device: str, digest: bytes) -> None:
        """Do not send this payload any more."""
        self._channels[device].forget(digest)

    def traffic(self) -> tuple[int, int]:
        """Bytes sent to devices and received from them, of sealed frames: what MQTT carries as payloads."""
        found = self._channels.values()
        return sum(each.bytes_out for each in found), sum(each.bytes_in for each in found)

    def socket_traffic(self) -> Traffic:
        """Bytes at the coordinator's socket, to the broker and from it, with what MQTT and TLS add."""
        return self._connection.traffic()

    def _ask(self) -> None:
        """Have devices say that they are there, and say what they lack."""
        self._connection.send(topics.ALL, [b"who"])
        for channel in self._channels.values():
            channel.resume()

    def _tick(self) -> None:
        for device in list(self._here):
            channel = self._channels[device]
            if channel.stalled(_RETRY_S) and self._connection.idle(topics.down_link(device)):
                channel.resume()

    def _message(self, topic: str, payload: bytes) -> None:
        device = topics.device_of(topic)
        try:
            if device not in self._keys:
                raise TransferError(f"'{device}' is not enrolled")
            if topic == topics.up_state(device):
                self._state(device, self._keys[device].open(topic, payload))
            elif topic == topics.up_link(device):
                self._channels[device].feed(payload)
        except TransferError as error:
            if isinstance(error, OldPeerError) and str(error) not in self.refused:
                console.say(str(error))  # it will never come: who waits for it has to know why
            refuse(error, self.refused)

    def _state(self, device: str, text: bytes) -> None:
        try:
            found = json.loads(text[:_MOST_STATE])
            process, here = str(found["process"]), bool(found["here"])
        except (ValueError, KeyError, TypeError) as error:
            raise TransferError(f"the state of '{device}' cannot be read") from error
        before = self._here.get(device)
        if here:
            self.about[device] = {
                name: each for name, each in found.items() if name not in ("here", "process")
            }
            self._here[device] = process
            self._channels[device].resume(everything=before != process)
        elif before == process:  # a late last will of a process before says nothing of this one
            del self._here[device]
        if (device in self._here) != (before is not None):
            self._on_change()
