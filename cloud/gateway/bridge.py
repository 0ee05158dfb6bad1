"""What passes a gateway, in both directions: no sockets here, so that every rule can be tested as it stands.

Down: what the cloud wishes of a device is kept, and told to it again until it answers, whether the cloud is there or
not. Up: a report, a result or statistics are on the disk before the device hears that they were taken; they leave it
when the cloud's broker has them. Of beats only the last counts, in memory. A wish that comes again although it was
answered means that the cloud has lost the answer: it is given once more, and the device is left alone.
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from cloud.gateway.store import Store, Waiting
from edge_runtime.errors import FleetError
from edge_runtime.messages import Command, Desired, Reported, Result, topics
from edge_runtime.messages.fields import MAX_BYTES, dump
from edge_runtime.messages.telemetry import batch

BATCH_BYTES = 160 << 10  # of one batch's lines; the cloud's brokers take 256 KB, and zlib may add little
_LINE = 24  # bytes of a line beside the device's name and the message, at most
_FIRST_S, _MOST_S = 10.0, 600.0  # until a device is told again what it shall be
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(slots=True)
class Batch:
    """What goes up in one message, and what is done with once the cloud has it."""

    payload: bytes
    rows: list[Waiting]
    beats: dict[str, bytes]
    states: dict[str, bytes]


class Bridge:
    """The bridge of one site.

    Args:
        site: its name.
        store: what must not be lost.
        tell: (topic, payload) reaches a local device that is connected.
        clock: seconds since 1970.
        own: told what the cloud wishes of the gateway itself.
        run: the URL of the site's broker for a federated run, which wishes name as "".
    """

    def __init__(
        self,
        site: str,
        store: Store,
        tell: Callable[[str, bytes], None],
        clock: Callable[[], float] = time.time,
        own: Callable[[Desired], None] = lambda _wish: None,
        run: str = "",
    ) -> None:
        self.site, self._store, self._tell, self._clock = site, store, tell, clock
        self._own, self._run = own, run
        self.online: set[str] = set()
        self.refused = 0
        self.urgent = False  # something waits that should not wait long
        self._beats: dict[str, bytes] = {}
        self._states: dict[str, bytes] = {}
        self._due: dict[
            str, tuple[float, float]
        ] = {}  # by device: when it is told again, and the pause before

    # ------------------------------------------------------------------ from the site's devices
    def heard(self, topic: str, payload: bytes) -> None:
        """Take what a device says; when this returns, it will not be lost.

        Raises:
            BackendError: it cannot be kept, so the device must not be told that it was taken.
        """
        device, kind = topics.device_of(topic), topics.kind_of(topic)
        if not _NAME.fullmatch(device) or kind not in topics.UP:
            self.refused += 1
            return
        try:
            self._take(device, kind, payload)
        except (FleetError, ValueError, RecursionError):
            self.refused += 1  # the cloud would refuse it too, and the whole batch with it

    def _take(self, device: str, kind: str, payload: bytes) -> None:
        if kind == "state":
            if payload == b"here":
                self._come(device)
            elif payload == b"gone":
                self.online.discard(device)
                self._due.pop(device, None)
                self._said(device, payload)
            else:
                raise FleetError('state: expected "here" or "gone"')
            return
        body = _plain(payload)
        if device not in self.online:  # its "here" went to an earlier process of ours
            self._come(device)
        if kind == "beat":
            self._beats[device] = body
        elif kind == "reported":
            v = Reported.read(body).v
            self._store.report(device, v, body)
            if v >= self._store.twin(device).v:
                self._due.pop(device, None)
            self.urgent = True
        elif kind == "result":
            self._store.result(device, Result.read(body).id, body, self._clock())
            self.urgent = True
        else:
            self._store.queue(device, kind, "", body)

    def _come(self, device: str) -> None:
        self.online.add(device)
        self._said(device, b"here")
        self._due[device] = (self._clock(), _FIRST_S)
        self.again()
        for command in self._store.pending(device, self._clock()):
            self._tell(topics.down(device, "command"), command)

    def _said(self, device: str, payload: bytes) -> None:
        self._states[device] = payload
        self.urgent = True

    # ------------------------------------------------------------------ from the cloud
    def told(self, topic: str, payload: bytes) -> None:
        """Take what the cloud sends to a device of this site, or to all.

        Raises:
            BackendError: it cannot be kept.
        """
        if topic == topics.ALL:
            self.say_all()
            return
        parts = topic.split("/")
        through = f"{topics.ROOT}/s/{self.site}/down/d/"
        device = parts[6] if topic.startswith(through) and len(parts) == 8 else topics.device_of(topic)
        if not _NAME.fullmatch(device):
            self.refused += 1
            return
        try:
            if parts[-1] == "desired":
                self._wish(device, payload)
            elif parts[-1] == "command":
                self._ask(device, payload)
            else:  # of a federation, or newer than this gateway
                self._tell(topics.down(device, parts[-1]), payload)
        except FleetError:
            self.refused += 1

    def _wish(self, device: str, payload: bytes) -> None:
        # where to connect is the gateway's to say: the cloud's own brokers are not for its devices
        wish = replace(Desired.read(payload), brokers=())
        if device == self.site and wish.v >= self._store.twin(device).v:
            self._own(wish)
        self._store.desire(device, wish.v, self._local(device, wish).to_bytes())
        twin = self._store.twin(device)
        if twin.reported_v >= wish.v:
            self._store.report_again(device)
            self.urgent = True
        elif device in self.online and twin.v == wish.v:
            self._due[device] = (self._clock(), _FIRST_S)
            self.again()

    def _local(self, device: str, wish: Desired) -> Desired:
        """The wish as it is at this site: its devices learn with the gateway, which itself averages."""
        if wish.federated is None:
            return wish
        if device == self.site:
            return replace(wish, federated=None)
        return replace(
            wish, federated={**wish.federated, "broker": wish.federated.get("broker") or self._run}
        )

    def _ask(self, device: str, payload: bytes) -> None:
        command = Command.read(payload)
        known = self._store.command(device, command.id, payload, command.expires)
        if known is not None:
            self._store.queue(device, "result", command.id, known)
            self.urgent = True
        elif device in self.online:
            self._tell(topics.down(device, "command"), payload)

    def say_all(self) -> None:
        """Tell the cloud everything once more: who is here, and what each last reported."""
        for device in self.online:
            self._states[device] = b"here"
        for device in self._store.reporters():
            self._store.report_again(device)
        self.urgent = True

    # ------------------------------------------------------------------ what is due
    def again(self) -> None:
        """Tell who is connected, and has not answered, what it shall be, if its time has come."""
        now = self._clock()
        due = [device for device, (when, _) in self._due.items() if when <= now]
        for device in due:
            twin = self._store.twin(device)
            if device not in self.online or twin.desired is None or twin.reported_v >= twin.v:
                self._due.pop(device, None)
                continue
            pause = self._due[device][1]
            self._due[device] = (now + pause, min(2 * pause, _MOST_S))
            self._tell(topics.down(device, "desired"), twin.desired)

    def batch(self) -> Batch | None:
        """What should go up next, at most `BATCH_BYTES` of it; None when nothing waits."""
        size, rows = 0, list[Waiting]()
        beats, states = dict[str, bytes](), dict[str, bytes]()
        messages: list[tuple[str, str, bytes]] = []

        def fits(device: str, kind: str, body: bytes) -> bool:
            nonlocal size
            if size + len(device) + len(body) + _LINE > BATCH_BYTES:
                return False
            size += len(device) + len(body) + _LINE
            messages.append((device, kind, body))
            return True

        for device, body in self._states.items():
            if fits(device, "state", body):
                states[device] = body
        for row in self._store.waiting():
            if not fits(row.device, row.kind, row.body):
                break  # their order is kept
            rows.append(row)
        for device, body in self._beats.items():
            if fits(device, "beat", body):
                beats[device] = body
        self.urgent = False
        return Batch(batch(messages), rows, beats, states) if messages else None

    def sent(self, done: Batch) -> None:
        """The cloud's broker has the batch."""
        self._store.sent(done.rows)
        _without(self._beats, done.beats.items())
        _without(self._states, done.states.items())


def _without(held: dict[str, bytes], done: Iterable[tuple[str, bytes]]) -> None:
    for device, body in done:
        if held.get(device) == body:
            del held[device]


def _plain(payload: bytes) -> bytes:
    """The message as one line of JSON; raises ValueError or FleetError where it is none."""
    if len(payload) > MAX_BYTES:
        raise FleetError(f"a message has {len(payload)} bytes; at most {MAX_BYTES} are taken")
    found: Any = json.loads(payload)
    if not isinstance(found, dict):
        raise FleetError("a message is no object")
    return dump(found)
