"""The fleet's one door: who is there, what each shall be, and what is asked of them.

Everything here only reads and writes the database; the controller (`cloud.control`) carries it to the devices. What
changes something writes its entry in the audit log within the same transaction.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloud.audit import Audit
from cloud.database import Database, Stored, tables
from cloud.fleet.devices import DEVICES, Asked, Device, Twin, asked_of, device_of, twin_of
from cloud.fleet.selector import OF_DEVICE, OF_TWIN, Selector
from edge_runtime.errors import FleetError, InputError
from edge_runtime.messages import Command, Desired
from edge_runtime.messages.fields import Fields

_CHUNK = 1000  # names in one statement
_LABELS = 64
T = TypeVar("T")
_PAGE = 1000  # devices that are read at once


class Fleet:
    """Devices, twins, groups and commands of one database; `clock` gives seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self._clock = clock
        self._audit = Audit(database)

    # -------------------------------------------------------------------------------- who is there
    def devices(
        self, selector: Selector | str | None = None, *, after: str = "", limit: int = 100
    ) -> list[Device]:
        """The devices that are meant, in the order of their names, at most `limit` of those behind the name `after`."""
        with self.database.read() as connection:
            query = DEVICES.where(self._where(connection, selector), tables.devices.c.name > after).limit(
                limit
            )
            return [device_of(row) for row in connection.execute(query).mappings()]

    def each(self, selector: Selector | str | None = None) -> Iterator[Device]:
        """All devices that are meant, in the order of their names, read page by page."""
        after = ""
        while page := self.devices(selector, after=after, limit=_PAGE):
            yield from page
            after = page[-1].name

    def names(self, selector: Selector | str | None = None) -> list[str]:
        """The names of all devices that are meant and not retired, in order."""
        with self.database.read() as connection:
            query = DEVICES.with_only_columns(tables.devices.c.name).where(
                self._where(connection, selector), tables.devices.c.status == "enrolled"
            )
            return list(connection.scalars(query))

    def count(self, selector: Selector | str | None = None) -> dict[str, Any]:
        """How many devices are meant: total and online, and by each status, target, site, state and model."""
        names = ("status", "target", "site", "state", "model")
        columns: list[sa.ColumnElement[Any]] = [tables.devices.c[name] for name in names[:3]]
        columns += [sa.func.coalesce(tables.twins.c[name], "").label(name) for name in names[3:]]
        joined = tables.devices.outerjoin(tables.twins, tables.devices.c.name == tables.twins.c.device)
        with self.database.read() as connection:
            query = sa.select(sa.func.count(), tables.devices.c.online, *columns).select_from(joined)
            grouped = query.where(self._where(connection, selector)).group_by(
                tables.devices.c.online, *columns
            )
            rows = connection.execute(grouped).all()
        found: dict[str, Any] = {"total": sum(row[0] for row in rows)}
        found["online"] = sum(row[0] for row in rows if row[1])
        for place, name in enumerate(names, 2):
            counted: Counter[str] = Counter()
            for row in rows:
                counted[row[place]] += row[0]
            found[name] = dict(counted)
        return found

    def device(self, name: str) -> Device:
        """One device; raises InputError where there is none of that name."""
        with self.database.read() as connection:
            row = connection.execute(DEVICES.where(tables.devices.c.name == name)).mappings().first()
        if row is None:
            raise InputError(f"device '{name}': there is none of that name; littoral fleet list shows all")
        return device_of(row)

    def add(self, connection: Connection, devices: Iterable[Device]) -> int:
        """Take devices in, with an empty twin each, in bulk; who is there already gets site, labels and status anew."""
        rows = [
            {
                name: getattr(each, name)
                for name in (*OF_DEVICE, "labels", "enrolled", "certificate", "expires")
            }
            for each in devices
        ]
        for some in _chunks(rows):
            names = [row["name"] for row in some]
            known = set(
                connection.scalars(sa.select(tables.devices.c.name).where(tables.devices.c.name.in_(names)))
            )
            new = [row for row in some if row["name"] not in known]
            if new:
                connection.execute(tables.devices.insert(), new)
                connection.execute(tables.twins.insert(), [{"device": row["name"]} for row in new])
            if known:
                kept = ("site", "labels", "status", "certificate", "expires")
                connection.execute(
                    tables.devices.update()
                    .where(tables.devices.c.name == sa.bindparam("b_name"))
                    .values({name: sa.bindparam(f"b_{name}") for name in kept}),
                    [
                        {f"b_{name}": row[name] for name in ("name", *kept)}
                        for row in some
                        if row["name"] in known
                    ],
                )
        return len(rows)

    # -------------------------------------------------------------------------------- twins
    def twin(self, name: str) -> Twin:
        """The twin of one device; raises InputError where there is none of that name."""
        for found in self.twins([name]):
            return found
        raise InputError(f"device '{name}': there is none of that name; littoral fleet list shows all")

    def twins(self, names: Iterable[str] | None = None, *, rollout: str | None = None) -> Iterator[Twin]:
        """The twins of these devices, or of all, and of those only whom the rollout wants to be something."""
        query = sa.select(tables.twins)
        if rollout is not None:
            query = query.where(tables.twins.c.rollout == rollout)
        asked = [None] if names is None else list(_chunks(names))
        with self.database.read() as connection:
            for some in asked:
                chosen = query if some is None else query.where(tables.twins.c.device.in_(some))
                for row in connection.execute(chosen).mappings():
                    yield twin_of(row)

    def desire(self, connection: Connection, wishes: Mapping[str, Desired]) -> dict[str, int]:
        """Write what devices shall be; their `v` is given here, one above the last, and above what they reported.

        Returns:
            The new `v` of each device. Devices that are unknown or retired are left out.
        """
        now, given = self._clock(), dict[str, int]()
        for some in _chunks(sorted(wishes)):  # in one order, so that two writers never wait for each other
            query = (
                sa.select(tables.twins.c.device, tables.twins.c.desired_v, tables.twins.c.reported_v)
                .join(tables.devices, tables.devices.c.name == tables.twins.c.device)
                .where(tables.twins.c.device.in_(some), tables.devices.c.status == "enrolled")
                .with_for_update(of=tables.twins)
            )
            rows = []
            for device, wished, reported in connection.execute(query):
                # A database that was brought back from a backup may know less than the devices.
                given[device] = max(wished, reported) + 1
                wish = replace(wishes[device], v=given[device])
                rows.append(
                    {
                        "b_device": device,
                        "desired": Stored(wish.to_bytes().decode()),
                        "desired_v": wish.v,
                        "desired_at": now,
                        "sent_at": 0.0,
                        "rollout": wish.rollout,
                        "phase": wish.phase,
                    }
                )
            if rows:
                update = tables.twins.update().where(tables.twins.c.device == sa.bindparam("b_device"))
                connection.execute(update, rows)
        return given

    # -------------------------------------------------------------------------------- commands
    def command(
        self,
        names: str | Iterable[str],
        op: str,
        arguments: Mapping[str, Any] | None = None,
        seconds: float = 3600,
        *,
        actor: str = "operator",
    ) -> list[str]:
        """Ask devices to do one thing, within so many seconds; the ids of the commands, in the order of the names.

        Raises:
            InputError: a device is unknown or retired, or the command cannot be one.
        """
        asked = [names] if isinstance(names, str) else list(dict.fromkeys(names))
        now, rows = self._clock(), []
        for name in asked:
            command = Command(secrets.token_hex(12), op, int(now + seconds), arguments)
            try:
                content = command.to_bytes()
                Command.read(content)
            except (FleetError, TypeError, ValueError) as error:
                raise InputError(f"command '{op}': {error}") from error
            rows.append(
                {
                    "id": command.id,
                    "device": name,
                    "command": Stored(content.decode()),
                    "created": now,
                    "expires": float(command.expires),
                }
            )
        with self.database.begin() as connection:
            self._check(connection, asked)
            if rows:
                connection.execute(tables.commands.insert(), rows)
                subject = asked[0] if len(asked) == 1 else f"{len(asked)} devices"
                self._audit.add(connection, actor, "command", subject, {"op": op, "devices": asked[:100]})
        return [str(row["id"]) for row in rows]

    def commands(self, device: str, *, limit: int = 100) -> list[Asked]:
        """What was asked of the device, the latest first."""
        query = (
            sa.select(tables.commands)
            .where(tables.commands.c.device == device)
            .order_by(tables.commands.c.created.desc())
            .limit(limit)
        )
        with self.database.read() as connection:
            return [asked_of(row) for row in connection.execute(query).mappings()]

    # -------------------------------------------------------------------------------- labels, end, groups
    def label(
        self, name: str, labels: Mapping[str, str | None], *, actor: str = "operator"
    ) -> Mapping[str, str]:
        """Set labels of a device; None takes one away. All that it then has.

        Raises:
            InputError: there is no such device, or a label cannot be one.
        """
        with self.database.begin() as connection:
            self._check(connection, [name])
            column = tables.devices.c.labels
            held = connection.scalar(sa.select(column).where(tables.devices.c.name == name)) or {}
            kept = {key: value for key, value in {**held, **labels}.items() if value is not None}
            check_labels(kept)
            connection.execute(
                tables.devices.update().where(tables.devices.c.name == name).values(labels=kept)
            )
            self._audit.add(connection, actor, "label", name, dict(labels))
        return kept

    def retire(self, name: str, *, actor: str = "operator") -> None:
        """Take a device out: its certificates are revoked, it is sent nothing more, and what it says is refused.

        Raises:
            InputError: there is no such device.
        """
        now = self._clock()
        with self.database.begin() as connection:
            self._check(connection, [name], retired=True)
            connection.execute(
                tables.devices.update()
                .where(tables.devices.c.name == name)
                .values(status="retired", online=False)
            )
            given = tables.certificates
            connection.execute(
                given.update().where(given.c.device == name, given.c.revoked.is_(None)).values(revoked=now)
            )
            connection.execute(
                tables.commands.update()
                .where(tables.commands.c.device == name, tables.commands.c.status == "pending")
                .values(status="expired", ended=now)
            )
            self._audit.add(connection, actor, "retire", name, {})

    def groups(self) -> dict[str, str]:
        """The selector of each group, by its name."""
        with self.database.read() as connection:
            return _groups(connection)

    def save_group(self, name: str, selector: Selector | str, *, actor: str = "operator") -> None:
        """Name a selector; its devices are whoever it means at the time.

        Raises:
            InputError: the name or the selector cannot be one.
        """
        try:
            Fields({"name": name}, "a group").name("name")
        except FleetError as error:
            raise InputError(str(error)) from error
        chosen = Selector.parse(str(selector))
        with self.database.begin() as connection:
            chosen.expand({**_groups(connection), name: str(chosen)})
            connection.execute(tables.groups.delete().where(tables.groups.c.name == name))
            row = {"name": name, "selector": str(chosen), "created": self._clock()}
            connection.execute(tables.groups.insert(), [row])
            self._audit.add(connection, actor, "group", name, {"selector": str(chosen)})

    def delete_group(self, name: str, *, actor: str = "operator") -> None:
        """Forget a group; raises InputError where there is none of that name."""
        with self.database.begin() as connection:
            done = connection.execute(tables.groups.delete().where(tables.groups.c.name == name))
            if not done.rowcount:
                raise InputError(
                    f"group '{name}': there is none of that name; littoral fleet group shows all"
                )
            self._audit.add(connection, actor, "ungroup", name, {})

    # -------------------------------------------------------------------------------- parts
    def _where(self, connection: Connection, selector: Selector | str | None) -> sa.ColumnElement[bool]:
        if selector is None:
            return sa.true()
        chosen = Selector.parse(selector) if isinstance(selector, str) else selector
        return chosen.expand(_groups(connection)).where(tables)

    def _check(self, connection: Connection, names: Iterable[str], *, retired: bool = False) -> None:
        for some in _chunks(names):
            query = sa.select(tables.devices.c.name, tables.devices.c.status)
            found = dict(connection.execute(query.where(tables.devices.c.name.in_(some))).all())
            for name in some:
                if name not in found:
                    raise InputError(
                        f"device '{name}': there is none of that name; littoral fleet list shows all"
                    )
                if found[name] == "retired" and not retired:
                    raise InputError(f"device '{name}' is retired")


def check_labels(labels: Mapping[str, str]) -> None:
    """That these can be a device's labels; raises InputError."""
    if len(labels) > _LABELS:
        raise InputError(f"{len(labels)} labels; at most {_LABELS} are kept of a device")
    for key, value in labels.items():
        fits = isinstance(value, str) and value and len(value) <= 256 and not set(value) & set(",=*\0")
        if not fits or key in (*OF_DEVICE, *OF_TWIN, "group"):
            raise InputError(
                f"label {key}={value}: expected a value without ',', '=' and '*' of at most 256 characters, "
                f"and a key other than {', '.join((*OF_DEVICE, *OF_TWIN, 'group'))}"
            )
        Selector.parse(f"{key}={value}")


def _groups(connection: Connection) -> dict[str, str]:
    rows = connection.execute(sa.select(tables.groups.c.name, tables.groups.c.selector))
    return dict(rows.all())


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    held = list(items)
    return (held[i : i + _CHUNK] for i in range(0, len(held), _CHUNK))
