"""What the controller reads from the database and writes to it, in bulk; it runs beside the loop, in one thread."""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from cloud.audit import Audit
from cloud.control.known import Buffers, Known, load
from cloud.control.outbox import Ask, Wish
from cloud.database import Database, Stored, tables
from edge_runtime.messages.fields import dump

POLL = 2000  # wishes taken on at once
_STATS_DAYS = 30
_PRUNE = 20_000  # rows of stats deleted at once

Rows = list[dict[str, Any]]


class Touch(NamedTuple):
    """Whether a device is connected, and when it was last heard."""

    name: str
    seen: float
    online: bool


class Store:
    """The controller's side of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._audit = Audit(database)
        devices, twins, commands = tables.devices, tables.twins, tables.commands
        one = devices.update().where(devices.c.name == sa.bindparam("b_name"))
        heard: dict[str, Any] = {name: sa.bindparam(name) for name in ("seen", "online")}
        self._touch = one.values(**heard)
        self._beat = one.values(**heard, beat=sa.bindparam("beat"))
        self._target = one.values(target=sa.bindparam("target"))
        names = ("reported", "reported_v", "reported_at", "state", "model")
        told: dict[str, Any] = {name: sa.bindparam(name) for name in names}
        self._report = twins.update().where(twins.c.device == sa.bindparam("b_name")).values(**told)
        ended: dict[str, Any] = {name: sa.bindparam(name) for name in ("status", "text", "ended")}
        self._result = (
            commands.update()
            .where(
                commands.c.id == sa.bindparam("b_id"),
                commands.c.device == sa.bindparam("b_name"),
                commands.c.status == "pending",  # so that an answer that comes twice changes nothing
            )
            .values(**ended)
        )

    # -------------------------------------------------------------------------------- what came
    def flush(self, buffers: Buffers, touched: Iterable[Touch]) -> int:
        """Write what came, in one transaction; how many rows could not be written at all.

        Raises:
            BackendError: the database is away, full or locked: nothing was written, and all can be tried again.
        """
        steps = _steps(self, buffers, touched)
        try:
            with self._database.begin() as connection:
                for statement, rows in steps:
                    connection.execute(statement, rows)
                self._refused(connection, buffers)
        except (SQLAlchemyError, ValueError):  # not the database's state, but a row that it does not take
            return self._singly(steps, buffers)
        return 0

    def _singly(self, steps: list[tuple[Any, Rows]], buffers: Buffers) -> int:
        bad = 0
        with self._database.begin() as connection:
            for statement, rows in steps:
                for row in rows:
                    try:
                        with connection.begin_nested():
                            connection.execute(statement, [row])
                    except (SQLAlchemyError, ValueError):
                        bad += 1
            self._refused(connection, buffers)
        return bad

    def _refused(self, connection: Connection, buffers: Buffers) -> None:
        for refusal, missed in buffers.refusals:
            detail = {"kind": refusal.kind, "reason": refusal.reason, "not_written_before": missed}
            self._audit.add(connection, "controller", refusal.action, refusal.device, detail)

    # -------------------------------------------------------------------------------- what goes out
    def taken_on(self) -> tuple[list[Wish], list[Ask]]:
        """New wishes and commands; they are marked as taken on."""
        twins, commands, now = tables.twins, tables.commands, time.time()
        wished = _WISHES.where(sa.text("desired_at > sent_at")).limit(POLL)
        asked = _ASKS.where(sa.text("status = 'pending' AND sent_at = 0")).limit(POLL)
        with self._database.read() as connection:
            rows = connection.execute(wished).all()
            asks = [_ask(row) for row in connection.execute(asked)]
        if rows or asks:
            with self._database.begin() as connection:
                if rows:  # by version, for a newer wish may have come between
                    marked = twins.update().where(
                        twins.c.device == sa.bindparam("b_name"), twins.c.desired_v == sa.bindparam("b_v")
                    )
                    # Whose clock wrote `desired_at` need not be ours.
                    update = marked.values(
                        sent_at=sa.case((twins.c.desired_at > now, twins.c.desired_at), else_=now)
                    )
                    held = sorted((row[0], row[1]) for row in rows)
                    connection.execute(update, [{"b_name": name, "b_v": v} for name, v in held])
                if asks:
                    update = commands.update().where(commands.c.id == sa.bindparam("b_id"))
                    connection.execute(update.values(sent_at=now), [{"b_id": each.id} for each in asks])
        return [_wish(row, now) for row in rows], asks

    def wishes(self, names: list[str]) -> list[Wish]:
        """What these devices shall be."""
        with self._database.read() as connection:
            rows = connection.execute(_WISHES.where(tables.twins.c.device.in_(names))).all()
        return [_wish(row, time.time()) for row in rows]

    def begin(self) -> tuple[dict[str, Known], list[Ask]]:
        """The fleet, and the commands that somebody took on before and that are not answered."""
        commands = tables.commands
        with self._database.read() as connection:
            asked = _ASKS.where(commands.c.status == "pending", commands.c.sent_at > 0)
            return load(connection), [_ask(row) for row in connection.execute(asked)]

    def lookup(self, names: list[str]) -> dict[str, Known]:
        """What the database knows of these devices."""
        with self._database.read() as connection:
            return load(connection, names)

    def retired(self) -> list[str]:
        """The devices that were taken out."""
        devices = tables.devices
        with self._database.read() as connection:
            query = sa.select(devices.c.name).where(devices.c.status != "enrolled")
            return list(connection.scalars(query))

    def tidy(self) -> int:
        """End the commands whose time is over, and delete a part of the stats that are too old; how many rows."""
        commands, stats, now = tables.commands, tables.stats, time.time()
        over = sa.and_(commands.c.status == "pending", commands.c.expires < now)
        old = stats.c.at < now - _STATS_DAYS * 86_400
        with self._database.read() as connection:
            idle = not connection.scalar(sa.select(sa.exists().where(over)))
            first = connection.scalar(sa.select(sa.func.min(stats.c.id)))
            kept = connection.scalar(sa.select(stats.c.id).where(stats.c.id == first, old))
        if idle and kept is None:
            return 0
        with self._database.begin() as connection:
            done = connection.execute(
                commands.update().where(over).values(status="expired", ended=now)
            ).rowcount
            if kept is not None:
                gone = sa.and_(old, stats.c.id < kept + _PRUNE)
                done += connection.execute(stats.delete().where(gone)).rowcount
        return int(done)


_WISHES = sa.select(tables.twins.c.device, tables.twins.c.desired_v, tables.twins.c.desired).where(
    tables.twins.c.desired.is_not(None)
)
_ASKS = sa.select(*(tables.commands.c[name] for name in ("id", "device", "command", "expires")))


def _wish(row: Any, now: float) -> Wish:
    device, v, desired = row
    return Wish(device, v, dump({**desired, "v": v, "time": int(now)}))


def _ask(row: Any) -> Ask:
    key, device, command, expires = row
    return Ask(key, device, dump(command), expires)


def _steps(store: Store, buffers: Buffers, touched: Iterable[Touch]) -> list[tuple[Any, Rows]]:
    """The statements of a flush and their rows, in an order that two writers share, so that none waits in a circle."""
    plain, beats = [], []
    for name, seen, online in sorted(touched):
        row: dict[str, Any] = {"b_name": name, "seen": seen, "online": online}
        beat = buffers.beats.get(name)
        if beat is None:
            plain.append(row)
        else:
            beats.append({**row, "beat": Stored(beat.to_bytes().decode())})
    reports = [
        {
            "b_name": name,
            "reported": Stored(told.text),
            "reported_v": told.v,
            "reported_at": told.at,
            "state": told.state,
            "model": told.model,
        }
        for name, told in sorted(buffers.reports.items())
    ]
    results = [
        {"b_id": result.id, "b_name": name, "status": result.status, "text": _clean(result.text), "ended": at}
        for name, at, result in buffers.results
    ]
    stats = [
        {"device": name, "model": each.model, "at": at, "stats": Stored(each.to_bytes().decode())}
        for name, at, each in buffers.stats
    ]
    targets = [{"b_name": name, "target": target} for name, target in sorted(buffers.targets.items())]
    steps = [
        (store._touch, plain),
        (store._beat, beats),
        (store._target, targets),
        (store._report, reports),
        (store._result, results),
        (tables.stats.insert(), stats),
    ]
    return [(statement, rows) for statement, rows in steps if rows]


def _clean(text: str) -> str:
    """Text that every database takes: no lone surrogates, no zeros."""
    return text.encode("utf-8", "replace").decode().replace("\0", "�")
