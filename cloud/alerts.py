"""Alerts: what a person should look at, one row for as long as it lasts."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, insert, select, update

from cloud.database.tables import alerts
from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from cloud.database import Database

SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `subject` is what it is about, such as "rollout/kws-3"; times are seconds since 1970."""

    id: int
    at: float
    severity: str
    subject: str
    text: str
    ended: float | None
    acknowledged: str

    def to_json(self) -> dict[str, Any]:
        """As an object."""
        return asdict(self)


def raise_(connection: Connection, severity: str, subject: str, text: str, *, at: float | None = None) -> int:
    """Open an alert about the subject, or give the open one this text; its number.

    Raises:
        InputError: the severity is unknown.
    """
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity!r}: expected one of {', '.join(SEVERITIES)}")
    subject = subject[:128]
    found = connection.execute(
        select(alerts.c.id, alerts.c.severity, alerts.c.text).where(_open(subject))
    ).first()
    if found is None:
        values: Mapping[str, Any] = {
            "at": time.time() if at is None else at,
            "severity": severity,
            "subject": subject,
            "text": text,
        }
        key = connection.execute(insert(alerts).values(**values)).inserted_primary_key
        return int(key[0]) if key else 0
    if (found.severity, found.text) != (severity, text):
        changed = update(alerts).where(alerts.c.id == found.id)
        connection.execute(changed.values(severity=severity, text=text, acknowledged=""))
    return int(found.id)


def end(connection: Connection, subject: str, *, at: float | None = None) -> bool:
    """The alert about the subject is over; whether one was open."""
    ended = time.time() if at is None else at
    return bool(connection.execute(update(alerts).where(_open(subject[:128])).values(ended=ended)).rowcount)


def acknowledge(connection: Connection, number: int, actor: str) -> bool:
    """Somebody has seen it; whether there is such an alert, still open."""
    query = update(alerts).where(and_(alerts.c.id == number, alerts.c.ended.is_(None)))
    return bool(connection.execute(query.values(acknowledged=actor)).rowcount)


def open_alerts(database: "Database", limit: int = 1000) -> list[Alert]:
    """What is open, the newest first."""
    query = select(alerts).where(alerts.c.ended.is_(None)).order_by(alerts.c.id.desc()).limit(limit)
    with database.read() as connection:
        return [Alert(**row._mapping) for row in connection.execute(query)]


def page(database: "Database", before: int = 1 << 62, limit: int = 100) -> list[Alert]:
    """Alerts of all times with numbers below `before`, the newest first."""
    query = select(alerts).where(alerts.c.id < before).order_by(alerts.c.id.desc()).limit(limit)
    with database.read() as connection:
        return [Alert(**row._mapping) for row in connection.execute(query)]


def _open(subject: str) -> Any:
    return and_(alerts.c.subject == subject, alerts.c.ended.is_(None))
