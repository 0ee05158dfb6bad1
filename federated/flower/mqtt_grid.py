"""A Flower Grid over the device link: its nodes are devices that hold a key, wherever they are.

The ServerApp, and Flower's own strategies, run over it unchanged. Like the in-process Grid it implements Flower's
public abstract class; what is private in Flower is touched in `federated.flower.grid` alone.

A piece of work is known by the digest of its request. The same request, as after a restart of the coordinator in the
middle of a round, is the same work: a device that has done it sends the reply that it kept.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import ServerApp

from edge_runtime.errors import TransferError
from federated.flower.arrays import from_record, to_record
from federated.flower.grid import RAISED, OwnGrid, run_over
from federated.link import chunks, wire
from federated.link.hub import Hub
from federated.link.keys import Key
from federated.link.mqtt import Address
from federated.link.traffic import Traffic
from federated.link.wire import Record
from federated.rounds.selection import Condition


@dataclass(slots=True)
class _Work:
    """A request that is out: the message it was made of, and the reply once it came."""

    device: str
    message: Message
    digest: bytes
    reply: Message | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Desk:
    """All that is out, shared with the network's thread."""

    out: dict[str, _Work] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)  # whose replies have come and nobody has looked at
    changed: threading.Condition = field(default_factory=threading.Condition)


class MqttGrid(OwnGrid):
    """A Grid whose nodes are the enrolled devices that are there; a node's id is its device's number.

    A context manager: it is connected inside.
    """

    def __init__(
        self,
        address: Address,
        keys: Mapping[str, Key],
        *,
        run: str = "",
        chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
        max_bytes: int = chunks.MAX_BYTES,
        folder: Path | None = None,
    ) -> None:
        """Make the grid.

        Args:
            address: of the broker, with the coordinator's user and password.
            keys: of the enrolled devices, by name.
            run: tells this run from others with the same requests; the same after a restart of the coordinator.
            chunk_bytes: the length of a chunk.
            max_bytes: the longest reply.
            folder: for transfers that should outlive the process.
        """
        self._keys, self._token = keys, run
        self._device = {key.number: device for device, key in keys.items()}
        self._desk = _Desk()
        self._asked: dict[bytes, int] = {}
        self._seconds: dict[int, float] = {}
        self.hub = Hub(address, keys, self._take, chunk_bytes=chunk_bytes, max_bytes=max_bytes, folder=folder)

    def __enter__(self) -> Self:
        self.hub.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self.hub.__exit__(*details)

    @property
    def names(self) -> dict[int, str]:
        """What the devices are called, by number."""
        return dict(self._device)

    def conditions(self) -> dict[int, Condition]:
        """What the devices last said of themselves, by number."""
        return {self._keys[device].number: Condition.read(said) for device, said in self.hub.about.items()}

    def seconds(self, node: int) -> float:
        """How long the device's last answer took; 0 before the first."""
        return self._seconds.get(node, 0.0)

    def traffic(self) -> Traffic:
        """Bytes at the coordinator's socket so far, with what the link, MQTT and TLS add."""
        return self.hub.socket_traffic()

    def get_node_ids(self) -> list[int]:
        """The numbers of the devices that are there."""
        return [self._keys[device].number for device in self.hub.here]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send the messages; the ids that are returned are the keys of `pull_messages`."""
        return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        device = self._device[message.metadata.dst_node_id]
        payload = self._request(message, device)
        digest = chunks.digest_of(payload)
        work = chunks.ticket(digest)
        with self._desk.changed:
            self._desk.out[work] = _Work(device, message, digest)
        self.hub.send(device, payload)
        return work

    def _request(self, message: Message, device: str) -> bytes:
        head = {
            "kind": message.metadata.message_type,
            "run": self._token,
            "client": self._keys[device].number,
            "group": message.metadata.group_id,
        }
        records = to_wire(message.content)
        # Asked a second time the same is asked anew; but the first time after a restart it is the same work.
        payload = wire.encode(wire.Message(head | {"repeat": 0}, records))
        first = chunks.digest_of(payload)
        repeat = self._asked[first] = self._asked.get(first, -1) + 1
        return wire.encode(wire.Message(head | {"repeat": repeat}, records)) if repeat else payload

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies that have come, each given out once."""
        found = []
        with self._desk.changed:
            for work in list(message_ids):
                entry = self._desk.out.get(work)
                if entry and entry.reply is not None:
                    found.append(entry.reply)
                    del self._desk.out[work]
            self._desk.fresh = [work for work in self._desk.fresh if work in self._desk.out]
        return found

    def abandon(self, message_ids: Sequence[str]) -> None:
        """Let go of these; what comes of them is not wanted any more."""
        for work in message_ids:
            with self._desk.changed:
                entry = self._desk.out.pop(work, None)
            if entry is not None:
                self.hub.forget(entry.device, entry.digest)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """The replies that come within `timeout` seconds; what comes later is not wanted any more."""
        ends = None if timeout is None else time.monotonic() + timeout
        waiting, replies = set(self.push_messages(messages)), []
        while waiting:
            with self._desk.changed:
                fresh, self._desk.fresh = self._desk.fresh, []
                ready = [work for work in fresh if work in waiting]
                if not ready:
                    left = None if ends is None else ends - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    self._desk.changed.wait(left)
                    continue
            replies += self.pull_messages(ready)
            waiting -= set(ready)
        self.abandon(list(waiting))
        return replies

    def _take(self, device: str, payload: bytes | bytearray) -> bool:
        """A reply, on the network's thread: it counts if this device was asked for it and has not answered yet.

        After a restart replies come that were meant for the process before; they are asked for again.
        """
        answer = wire.decode(payload)
        with self._desk.changed:
            work = self._desk.out.get(str(answer.head.get("work")))
            if work is None or work.device != device or work.reply is not None:
                return False
            work.reply = _reply(answer, work.message)
            self._seconds[self._keys[device].number] = time.monotonic() - work.since
            self._desk.fresh.append(str(answer.head["work"]))
            self._desk.changed.notify_all()
        self.hub.forget(device, work.digest)
        return True


def _reply(answer: wire.Message, message: Message) -> Message:
    try:
        if "error" in answer.head:
            return Message(Error(RAISED, str(answer.head["error"])), reply_to=message)
        return Message(from_wire(answer.records), reply_to=message)
    except (TypeError, ValueError, KeyError) as error:  # a record that Flower does not take
        return Message(Error(RAISED, f"its answer cannot be read: {error!r}"), reply_to=message)


def to_wire(content: RecordDict) -> dict[str, Record]:
    """Flower's records as the link carries them."""
    return {
        **{name: Record("arrays", from_record(each)) for name, each in content.array_records.items()},
        **{name: Record("metrics", dict(each)) for name, each in content.metric_records.items()},
        **{name: Record("config", dict(each)) for name, each in content.config_records.items()},
    }


def from_wire(records: Mapping[str, Record]) -> RecordDict:
    """Records of the link as Flower's.

    Raises:
        TypeError: one holds what Flower does not take.
    """
    make = {"metrics": MetricRecord, "config": ConfigRecord}
    return RecordDict(
        {
            name: to_record(each.items) if each.kind == "arrays" else make[each.kind](dict(each.items))
            for name, each in records.items()
        }
    )


def run_over_mqtt(server: ServerApp, grid: MqttGrid, patience_s: float = 30) -> None:
    """Run a ServerApp over the devices of the grid, in this thread, until it is done.

    Raises:
        TransferError: no broker answered within `patience_s`.
        LittoralError: what the server raises.
    """
    with grid:
        try:
            grid.hub.wait(patience_s)
        except TransferError as error:
            raise TransferError(f"the coordinator has no connection: {error}") from error
        run_over(server, grid)
