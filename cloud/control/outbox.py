"""What devices are sent: wishes and commands, at once when they are new or the device comes, else again and again.

A wish counts as answered when the device reports its version. Until then it is sent again after 10 s, 20 s, 40 s and
so on to ten minutes, drawn between half and one and a half of that. To who is away nothing is sent, for coming makes
it due at once. Only versions are kept here; what is due is read from the database when its turn comes.
"""

import heapq
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cloud.control.known import Known
from edge_runtime.messages import topics

_FIRST_S, _MOST_S = 10.0, 600.0
_SOONEST_S = 1.0  # between two sends of the same wish, whatever makes it due


class Wish(NamedTuple):
    """What a device shall be, as it goes out."""

    device: str
    v: int
    payload: bytes


class Ask(NamedTuple):
    """A command, as it goes out."""

    id: str
    device: str
    payload: bytes
    expires: float


@dataclass(slots=True)
class _Open:
    """Something that is not answered: how often it was sent, when last, and when it is due again."""

    tries: int = 0
    sent: float = 0.0
    due: float = 0.0


class Outbox:
    """Knows what is unanswered, and what of it is due.

    Args:
        known: the fleet, by name.
        publish: (shard, topic, payload) sends; what it cannot send now is due again later.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        known: dict[str, Known],
        publish: Callable[[int, str, bytes], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._known, self._publish, self._clock = known, publish, clock
        self._wishes: dict[str, _Open] = {}
        self._heap: list[tuple[float, str]] = []
        self._asks: dict[str, dict[str, tuple[Ask, _Open]]] = {}  # by device and id
        self.counts: Counter[str] = Counter()
        for device in known.values():
            self.answered(device)

    @property
    def unanswered(self) -> int:
        """Wishes that are not answered."""
        return len(self._wishes)

    @property
    def asked(self) -> int:
        """Commands that are not answered."""
        return sum(map(len, self._asks.values()))

    def here(self, device: Known) -> None:
        """The device has come: what it has not answered is due at once."""
        if device.name in self._wishes:
            self._again(device.name, self._wishes[device.name], 0.0, first=True)
        for _, each in self._asks.get(device.name, {}).values():
            each.tries, each.due = 0, 0.0

    def answered(self, device: Known) -> None:
        """The device has reported: either its wish is answered, or it is to be told (again)."""
        if device.reported_v >= device.desired_v:
            self._wishes.pop(device.name, None)
        elif device.name not in self._wishes:
            self._wishes[device.name] = _Open()
            self._again(device.name, self._wishes[device.name], 0.0)

    def resulted(self, device: str, command: str) -> None:
        """The device has answered a command."""
        held = self._asks.get(device)
        if held and held.pop(command, None) and not held:
            del self._asks[device]

    def due(self, most: int) -> list[str]:
        """Up to `most` devices that are connected and have to be told (again) what they shall be, by `send`."""
        now = self._clock()
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now and len(found) < most:
            due, name = heapq.heappop(self._heap)
            each = self._wishes.get(name)
            if each is None or each.due != due:
                continue  # answered, or due at another time by now
            if self._reachable(self._known[name]) is None:
                each.due = float("inf")  # until it comes
            else:
                self._again(name, each, now + self._pause(each))
                found.append(name)
        return found

    def send(self, wishes: Iterable[Wish]) -> int:
        """Send wishes to who is connected; how many went out."""
        now, sent = self._clock(), 0
        for wish in wishes:
            device = self._known.get(wish.device)
            if device is None or not device.enrolled or device.reported_v >= wish.v:
                continue
            each = self._wishes.setdefault(wish.device, _Open())
            if wish.v > device.desired_v:
                device.desired_v, each.tries, each.sent = wish.v, 0, 0.0
            way = self._reachable(device)
            if way is None:
                each.due = float("inf")
                continue
            each.tries, each.sent = each.tries + 1, now
            self._publish(way, _topic(device, "desired"), wish.payload)
            self._again(wish.device, each, now + self._pause(each))
            sent += 1
        self.counts["desired"] += sent
        return sent

    def ask(self, asks: Iterable[Ask]) -> None:
        """Take commands on; `remind` sends them."""
        for each in asks:
            self._asks.setdefault(each.device, {})[each.id] = (each, _Open())

    def remind(self) -> int:
        """Send the commands that are due, and forget those that have expired; how many went out."""
        now, sent = self._clock(), 0
        for name, held in list(self._asks.items()):
            device = self._known.get(name)
            way = self._reachable(device) if device else None
            for key, (ask, each) in list(held.items()):
                if ask.expires < now:
                    self.resulted(name, key)
                elif device and way is not None and each.due <= now:
                    each.tries, each.due = each.tries + 1, now + self._pause(each)
                    self._publish(way, _topic(device, "command"), ask.payload)
                    sent += 1
        self.counts["command"] += sent
        return sent

    def _reachable(self, device: Known) -> int | None:
        """The shard by which a connected device is reached, its own or its gateway's."""
        if not device.online or not device.enrolled:
            return None
        gateway = self._known.get(device.via) if device.via else device
        return gateway.shard if gateway and gateway.online and gateway.shard >= 0 else None

    def _again(self, name: str, each: _Open, due: float, *, first: bool = False) -> None:
        if first:
            each.tries = 0
        each.due = max(due, each.sent + _SOONEST_S)
        heapq.heappush(self._heap, (each.due, name))

    def _pause(self, each: _Open) -> float:
        most = min(_MOST_S, _FIRST_S * 2 ** min(max(each.tries - 1, 0), 16))
        return float(most * random.uniform(0.5, 1.5))  # noqa: S311  (so that they do not come in step)


def _topic(device: Known, kind: str) -> str:
    return topics.through(device.via, device.name, kind) if device.via else topics.down(device.name, kind)
