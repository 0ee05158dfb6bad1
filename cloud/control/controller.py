"""The controller: messages in, wishes out, what came into the database in batches; one loop, one thread beside it."""

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cloud import alerts
from cloud.control.inbox import Inbox
from cloud.control.known import Buffers, Known
from cloud.control.link import Link, keep
from cloud.control.metrics import Metric
from cloud.control.outbox import Outbox
from cloud.control.store import POLL, Store, Touch
from cloud.database import Database
from edge_runtime.errors import BackendError, LittoralError
from edge_runtime.messages import topics
from edge_runtime.messages.address import Address

_log = logging.getLogger("cloud.control")
_FLUSH_S, _FLUSH_ROWS = 0.5, 1000
_LOOK_S, _POLL_S, _RETIRED_S, _SWEEP_S, _TIDY_S = 0.05, 0.2, 2.0, 5.0, 10.0
_KEPT = 100_000  # results and stats that wait while the database is away
_LOST_S = 10.0  # until a shard that does not answer is an alert
_PAUSE_AT = 200_000  # messages to a shard that wait; no more are taken on before they went
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a controller may be told.

    Args:
        name: as whom it connects, where the broker does not go by certificates.
        beat_s: how often devices say that they live; who is silent two and a half times as long is away.
    """

    name: str = "controller"
    beat_s: float = 60.0


class Controller:
    """One for a database.

    Args:
        database: with its tables.
        brokers: the shards' URLs.
        context: for shards that speak TLS: our certificate, and the authority.
        settings: how it behaves.
        tick: is called once a second in a thread of its own; the rollouts.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        brokers: Sequence[str],
        context: ssl.SSLContext | None = None,
        settings: Settings = Settings(),
        tick: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._store = database, Store(database)
        self._addresses = [Address.parse(url) for url in brokers]
        self._context, self._settings, self._tick, self._clock = context, settings, tick, clock
        self._links: dict[int, Link] = {}
        self._lost: dict[int, float] = {}
        self._pool = ThreadPoolExecutor(1, "store")
        self._ticker = ThreadPoolExecutor(1, "rollouts")
        self._counts: Counter[str] = Counter()
        self._flush_s = 0.0
        self._began = self._flushed = clock()
        known, asks = self._store.begin()
        self._known: dict[str, Known] = known
        self._outbox = Outbox(known, self._publish, clock)
        self._inbox = Inbox(known, self._outbox, clock)
        self._outbox.ask(asks)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then write what has come, and end."""
        tasks = [
            asyncio.create_task(
                keep(
                    address, self._settings.name, self._context,
                    partial(self._inbox.take, shard), partial(self._ready, shard), partial(self._gone, shard),
                )
            )
            for shard, address in enumerate(self._addresses)
        ]  # fmt: skip
        every = {
            self._flush_due: _LOOK_S, self._poll: _POLL_S, self._remind: 1.0, self._retired: _RETIRED_S,
            self._sweep: _SWEEP_S, self._tidy: _TIDY_S, self._alert: 1.0,
        }  # fmt: skip
        tasks += [asyncio.create_task(self._every(seconds, step)) for step, seconds in every.items()]
        if self._tick:
            tasks.append(asyncio.create_task(self._every(1.0, self._roll)))
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, *tasks):
            task.cancel()
        for task in done - {stopping}:
            task.result()  # a part that ended is a mistake of ours: say it, and be started anew
        with suppress(BackendError):
            await self._flush()
        self._pool.shutdown()
        self._ticker.shutdown()

    def metrics(self) -> list[Metric]:
        """Its figures."""
        online = sum(each.online for each in self._known.values())
        count = {kind: float(n) for kind, n in self._inbox.counts.items()}
        return [
            Metric("littoral_devices", "gauge", "Devices that are enrolled or retired.", {"": len(self._known)}),
            Metric("littoral_devices_online", "gauge", "Devices that are connected.", {"": online}),
            Metric("littoral_messages_total", "counter", "Messages from devices.", count, "kind"),
            Metric(
                "littoral_messages_refused_total", "counter", "Messages that were not taken.",
                dict(self._inbox.refused), "kind",
            ),
            Metric("littoral_sent_total", "counter", "Messages to devices.", dict(self._outbox.counts), "kind"),
            Metric("littoral_unanswered_wishes", "gauge", "Wishes not answered.", {"": self._outbox.unanswered}),
            Metric("littoral_unanswered_commands", "gauge", "Commands not answered.", {"": self._outbox.asked}),
            Metric("littoral_shards_connected", "gauge", "Shards that answer.", {"": len(self._links)}),
            Metric("littoral_flush_seconds", "gauge", "How long the last flush took.", {"": self._flush_s}),
            Metric(
                "littoral_database_total", "counter", "Flushes, rows, and what failed.", dict(self._counts), "what"
            ),
            Metric("littoral_waiting_rows", "gauge", "Rows that wait for a flush.", {"": len(self._inbox.buffers)}),
        ]  # fmt: skip

    # -------------------------------------------------------------------------------- the shards
    def _ready(self, shard: int, link: Link) -> None:
        _log.info("shard %d answers", shard)
        self._links[shard] = link
        self._lost[shard] = 0.0
        link.publish(topics.ALL, b"who", 0)  # what was said while nobody listened is said again

    def _gone(self, shard: int, reason: str) -> None:
        if self._links.pop(shard, None):
            _log.warning("shard %d is lost: %s", shard, reason)
        if not self._lost.get(shard):
            self._lost[shard] = self._clock()

    def _publish(self, shard: int, topic: str, payload: bytes) -> None:
        link = self._links.get(shard)
        if link:
            link.publish(topic, payload)

    # -------------------------------------------------------------------------------- what is done again and again
    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except LittoralError as error:
                self._counts["failures"] += 1
                _log.error("%s: %s", step.__name__.strip("_"), error)
                await asyncio.sleep(1)
            await asyncio.sleep(seconds)

    async def _work(self, step: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, step, *args)

    async def _flush_due(self) -> None:
        waiting = len(self._inbox.buffers)
        if waiting >= _FLUSH_ROWS or (self._clock() - self._flushed >= _FLUSH_S):
            await self._flush()

    async def _flush(self) -> None:
        self._flushed = began = self._clock()
        buffers, self._inbox.buffers = self._inbox.buffers, Buffers()
        if not len(buffers) and not buffers.refusals:
            return
        held = (self._known[name] for name in buffers.touched)
        touched = [Touch(each.name, each.seen, each.online) for each in held]
        try:
            bad = await self._work(self._store.flush, buffers, touched)
        except BackendError:
            self._inbox.buffers = buffers.before(self._inbox.buffers, _KEPT)
            raise
        self._flush_s = self._clock() - began
        self._counts["flushes"] += 1
        self._counts["rows"] += len(buffers)
        self._counts["rows_refused"] += bad

    async def _poll(self) -> None:
        more = True
        while more and not any(link.waiting > _PAUSE_AT for link in self._links.values()):
            wishes, asks = await self._work(self._store.taken_on)
            self._outbox.send(wishes)
            if asks:
                self._outbox.ask(asks)
                self._outbox.remind()
            more = max(len(wishes), len(asks)) >= POLL
        while due := self._outbox.due(1000):
            self._outbox.send(await self._work(self._store.wishes, due))
        held = self._inbox.ask()
        if held:
            names = sorted({each.sender for each in held})
            self._inbox.lookup(held, await self._work(self._store.lookup, names))

    async def _remind(self) -> None:
        self._outbox.remind()

    async def _retired(self) -> None:
        gone = set(await self._work(self._store.retired))
        for name in gone:
            device = self._known.get(name)
            if device and device.enrolled:
                device.enrolled = False
                self._inbox.away(device)

    async def _sweep(self) -> None:
        patience = 2.5 * self._settings.beat_s
        now = self._clock()
        if now - self._began > patience:
            self._counts["silent"] += self._inbox.sweep(now - patience)

    async def _tidy(self) -> None:
        await self._work(self._store.tidy)

    async def _alert(self) -> None:
        for shard, since in list(self._lost.items()):
            subject = f"broker/{shard}"
            if since and self._clock() - since > _LOST_S and self._lost[shard] != float("inf"):
                self._lost[shard] = float("inf")
                host = self._addresses[shard]
                said = f"the broker at {host.host}:{host.port} does not answer"
                await self._work(self._raise, subject, said)
            elif not since:
                await self._work(self._end, subject)
                self._lost.pop(shard, None)

    def _raise(self, subject: str, said: str) -> None:
        with self._database.begin() as connection:
            alerts.raise_(connection, "critical", subject, said)

    def _end(self, subject: str) -> None:
        with self._database.begin() as connection:
            alerts.end(connection, subject)

    async def _roll(self) -> None:
        assert self._tick  # noqa: S101
        await asyncio.get_running_loop().run_in_executor(self._ticker, self._tick, self._clock())
