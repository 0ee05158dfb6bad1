"""What devices say, read and checked, one message after the other; nothing here waits for anything.

A message that is not what it should be is refused, counted, and entered in the audit log, that at a limited rate:
nobody can stop the controller, or fill the disk, by what they send.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cloud.control.known import Buffers, Known, Refusal, Told
from cloud.limits import Limiter
from edge_runtime.errors import FleetError
from edge_runtime.messages import Beat, Reported, Result, Stats, topics
from edge_runtime.messages.telemetry import batch, unbatch

_MAX_V = 1 << 52  # a version that no wish ever reaches, so that a device cannot count past the end
_MAX_BEAT = 2048  # bytes
_STRANGERS = 1000  # messages that wait until the database was asked who sent them
_FORGET_S = 10.0  # how long nobody asks again about a stranger
_FRONT = len(topics.ROOT) + 1


class Outbox(Protocol):
    """What the inbox tells the outbox."""

    def here(self, device: Known) -> None:
        """The device has come: what it shall be is sent at once."""
        ...

    def answered(self, device: Known) -> None:
        """The device has reported."""
        ...

    def resulted(self, device: str, command: str) -> None:
        """The device has answered a command."""
        ...


class Waiting(NamedTuple):
    """A message whose sender is not known yet."""

    shard: int
    sender: str
    topic: str
    payload: bytes


class Inbox:
    """Takes messages and fills the buffers.

    Args:
        known: the fleet, by name.
        outbox: is told who has come and who has answered.
        clock: seconds since 1970.
    """

    def __init__(
        self, known: dict[str, Known], outbox: Outbox, clock: Callable[[], float] = time.time
    ) -> None:
        self.known, self.buffers = known, Buffers()
        self.counts: Counter[str] = Counter()  # messages by kind, and what was refused by reason
        self.refused: Counter[str] = Counter()
        self.sites: dict[str, set[str]] = {}
        self.strangers: OrderedDict[str, float] = OrderedDict()  # asked about in vain, and when
        self.waiting: list[Waiting] = []
        self._outbox, self._clock = outbox, clock
        self._log = Limiter(2, 20)
        for device in known.values():
            self.settle(device)

    def settle(self, device: Known) -> None:
        """Take a device in, as the database knows it now; where it was heard stays known."""
        before = self.known.get(device.name)
        if before is not None and before is not device:
            device.shard, device.online, device.seen = before.shard, before.online, before.seen
            device.via = before.via if before.site == device.site else device.via
            self.sites.get(before.site, set()).discard(device.name)
        self.known[device.name] = device
        if device.site and device.site != device.name:
            self.sites.setdefault(device.site, set()).add(device.name)
        self._outbox.answered(device)

    def take(self, shard: int, messages: list[tuple[str, bytes]], *, again: bool = False) -> None:
        """Take messages from a shard: (topic, payload); `again` when their senders have been looked up."""
        now = self._clock()
        for topic, payload in messages:
            parts = topic[_FRONT:].split("/")
            if len(parts) != 4 or parts[2] != "up":
                self._refuse("", "topic", "a topic that nobody reads")
                continue
            what, name, _, kind = parts
            device = self.known.get(name)
            if device is None or not device.enrolled:
                self._stranger(Waiting(shard, name, topic, payload), "", again=again)
            elif what == "d":
                self._one(device, shard, "", kind, payload, now)
            elif kind == "batch":
                self._batch(device, shard, topic, payload, now, again=again)
            elif kind == "state":
                self._one(device, shard, "", kind, payload, now)
            else:
                self._refuse(name, kind, "a kind that sites do not send")

    def _batch(
        self, gateway: Known, shard: int, topic: str, payload: bytes, now: float, *, again: bool
    ) -> None:
        self.counts["batch"] += 1
        try:
            messages = unbatch(payload)
        except FleetError as error:
            self._refuse(gateway.name, "batch", str(error))
            return
        self._heard(gateway, shard, "", now)
        for name, kind, body in messages:
            device = self.known.get(name)
            if device is None or not device.enrolled or device.site != gateway.name:
                single = batch([(name, kind, body)])
                self._stranger(Waiting(shard, name, topic, single), gateway.name, again=again)
            else:
                self._one(device, shard, gateway.name, kind, body, now)

    def _one(self, device: Known, shard: int, via: str, kind: str, payload: bytes, now: float) -> None:
        """One message of one device; the order of these is that of how often they come."""
        name = device.name
        self.counts[kind if kind in topics.UP else "other"] += 1
        try:
            if kind == "beat":
                if len(payload) > _MAX_BEAT:
                    raise FleetError(f"a beat has {len(payload)} bytes; at most {_MAX_BEAT} are taken")
                self.buffers.beats[name] = Beat.read(payload)
            elif kind == "reported":
                self._reported(device, Reported.read(payload), now)
            elif kind == "stats":
                self.buffers.stats.append((name, now, Stats.read(payload)))
            elif kind == "result":
                result = Result.read(payload)
                self.buffers.results.append((name, now, result))
                self._outbox.resulted(name, result.id)
            elif kind == "state":
                self._state(device, shard, via, payload, now)
                return
            else:
                raise FleetError("a kind that devices do not send")
        except (FleetError, ValueError, RecursionError) as error:
            self._refuse(name, kind, str(error))
            return
        self._heard(device, shard, via, now)

    def _reported(self, device: Known, reported: Reported, now: float) -> None:
        if reported.v > _MAX_V:
            raise FleetError(f"reported: 'v' is {reported.v}; no wish had that version")
        # What cannot be written again (NaN deep inside) is refused here, not by the database.
        text = reported.to_bytes().decode()
        self.buffers.reports[device.name] = Told(now, reported.v, reported.state, reported.model, text)
        if reported.target and reported.target != device.target:
            device.target = self.buffers.targets[device.name] = reported.target
        device.reported_v = reported.v
        if reported.error:
            self._erred(device, reported)
        self._outbox.answered(device)

    def _erred(self, device: Known, reported: Reported) -> None:
        """What a device refuses, such as what is not signed, is entered once for a wish, and once at its end."""
        now = 2 * reported.v + (reported.state in ("failed", "reverted"))
        if now > device.erred:
            device.erred = now
            self._enter(Refusal(device.name, reported.state, reported.error[:200], "update-error"))

    def _state(self, device: Known, shard: int, via: str, payload: bytes, now: float) -> None:
        if payload == b"here":
            self._heard(device, shard, via, now)
            self._outbox.here(device)
            for name in self.sites.get(device.name, ()):
                self._outbox.here(self.known[name])
        elif payload == b"gone":
            if device.shard in (-1, shard) and device.via == via:  # not an old connection's last word
                self.away(device)
                for name in self.sites.get(device.name, ()):
                    if self.known[name].via == device.name:
                        self.away(self.known[name])
        else:
            raise FleetError('state: expected "here" or "gone"')

    def _heard(self, device: Known, shard: int, via: str, now: float) -> None:
        new = (
            not device.online or device.shard != shard
        )  # it came, or this is the first since the controller began
        device.seen, device.shard, device.via, device.online = now, shard, via, True
        self.buffers.touched.add(device.name)
        if new:
            self._outbox.here(device)

    def away(self, device: Known) -> None:
        """The device is not connected any more."""
        if device.online:
            device.online = False
            self.buffers.touched.add(device.name)

    def sweep(self, before: float) -> int:
        """Whoever was last heard before that time is away; how many those were."""
        silent = [each for each in self.known.values() if each.online and each.seen < before]
        for device in silent:
            self.away(device)
        return len(silent)

    def _stranger(self, message: Waiting, site: str, *, again: bool) -> None:
        """A message from who is not known, or not at this site: the database is asked once in a while."""
        now, name = self._clock(), message.sender
        if not again and now - self.strangers.get(name, 0.0) > _FORGET_S and len(self.waiting) < _STRANGERS:
            self.waiting.append(message)
            return
        if again:
            self.strangers[name] = now
            self.strangers.move_to_end(name)
            if len(self.strangers) > _STRANGERS:
                self.strangers.popitem(last=False)
        if site:
            self._refuse(site, "batch", f"'{name[:64]}' is no device of this site")
        else:
            self._refuse(name, topics.kind_of(message.topic), "the device is not enrolled")

    def ask(self) -> list[Waiting]:
        """The messages whose senders have to be looked up; `lookup` takes them again."""
        held, self.waiting = self.waiting, []
        return held

    def lookup(self, held: list[Waiting], found: dict[str, Known]) -> None:
        """Take the messages that waited, now that their senders were looked up."""
        for device in found.values():
            self.settle(device)
        for message in held:
            self.take(message.shard, [(message.topic, message.payload)], again=True)

    def _refuse(self, name: str, kind: str, reason: str) -> None:
        self.refused[kind if kind in (*topics.UP, "batch", "topic") else "other"] += 1
        self._enter(Refusal(name[:64], kind[:32], reason[:200]))

    def _enter(self, refusal: Refusal) -> None:
        """Into the audit log, if it is not too much."""
        missed = self._log.refused
        if self._log.allow():
            self._log.refused = 0
            self.buffers.refusals.append((refusal, missed))
