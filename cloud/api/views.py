"""What the API reads from the tables: devices with their health, counts, series over time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from cloud.database.tables import devices, rollouts, stats, twins
from edge_runtime.messages.twin import ENDED

HEALTH = ("failed", "updating", "healthy", "offline", "retired")
_MOST_STATS = 20_000  # rows that one series is made of

# What a person wants to know first, in the order in which it matters: a device that is away says nothing of its model.
health: ColumnElement[str] = case(
    (devices.c.status == "retired", "retired"),
    (devices.c.online.is_(False), "offline"),
    (twins.c.state.in_(("failed", "reverted")), "failed"),
    (
        or_(
            twins.c.desired_v > twins.c.reported_v,
            and_(twins.c.state != "", twins.c.state.not_in(ENDED)),
        ),
        "updating",
    ),
    else_="healthy",
)
JOINED = devices.outerjoin(twins, twins.c.device == devices.c.name)
_ROW = (
    devices.c.name,
    devices.c.site,
    devices.c.target,
    devices.c.labels,
    devices.c.status,
    devices.c.online,
    devices.c.seen,
    twins.c.state,
    twins.c.model,
    twins.c.desired_v,
    twins.c.reported_v,
    twins.c.rollout,
    twins.c.phase,
    health.label("health"),
)


def rows(
    connection: Connection, where: Sequence[ColumnElement[bool]], *, after: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Devices by name, those after `after`."""
    query = select(*_ROW).select_from(JOINED).where(*where, devices.c.name > after)
    return [dict(r) for r in connection.execute(query.order_by(devices.c.name).limit(limit)).mappings()]


def like(text: str) -> ColumnElement[bool]:
    """That a device's name, site or target contains the text."""
    return or_(
        *(
            column.icontains(text, autoescape=True)
            for column in (devices.c.name, devices.c.site, devices.c.target)
        )
    )


def counts(connection: Connection, where: Sequence[ColumnElement[bool]] = ()) -> dict[str, int]:
    """How many devices there are of each health."""
    # by the label: PostgreSQL does not see that two expressions with parameters are the same
    query = select(health.label("health"), func.count()).select_from(JOINED).where(*where).group_by("health")
    return dict.fromkeys(HEALTH, 0) | {name: int(n) for name, n in connection.execute(query)}


def shares(connection: Connection, column: ColumnElement[str], most: int = 8) -> list[tuple[str, int]]:
    """The values of a column that most devices have, and how many have each."""
    number = func.count().label("n")
    query = (
        select(column, number)
        .select_from(JOINED)
        .where(devices.c.status != "retired")
        .group_by(column)
        .order_by(number.desc(), column)
        .limit(most)
    )
    return [(str(value or ""), int(n)) for value, n in connection.execute(query)]


def cells(
    connection: Connection, where: Sequence[ColumnElement[bool]], degrees: float
) -> list[dict[str, Any]]:
    """Devices with a position, by cells of so many degrees: the cell's middle, its devices by health, one of them."""
    query = (
        select(
            func.floor(devices.c.longitude / degrees).label("x"),
            func.floor(devices.c.latitude / degrees).label("y"),
            health.label("health"),
            func.count(),
            func.avg(devices.c.longitude),
            func.avg(devices.c.latitude),
            func.min(devices.c.name),
            func.min(devices.c.site),
        )
        .select_from(JOINED)
        .where(*where, devices.c.latitude.is_not(None), devices.c.longitude.is_not(None))
        .group_by("x", "y", "health")
    )
    found: dict[tuple[float, float], dict[str, Any]] = {}
    for column, row, state, n, longitude, latitude, name, site in connection.execute(query):
        cell = found.setdefault(
            (column, row),
            {"longitude": 0.0, "latitude": 0.0, "total": 0, "health": {}, "device": name, "site": site},
        )
        total = cell["total"] + n
        for key, value in (("longitude", longitude), ("latitude", latitude)):
            cell[key] = round((cell[key] * cell["total"] + value * n) / total, 4)
        cell["total"], cell["health"][state] = total, n
        cell["device"], cell["site"] = min(cell["device"], name), max(cell["site"], site)
    return list(found.values())


def running(connection: Connection) -> list[dict[str, Any]]:
    """Rollouts that are not over, the newest first."""
    query = select(rollouts).where(rollouts.c.state.in_(("draft", "running", "paused")))
    return [dict(row) for row in connection.execute(query.order_by(rollouts.c.created.desc())).mappings()]


def series(
    connection: Connection, since: float, until: float, buckets: int, *, device: str = "", model: str = ""
) -> dict[str, Any]:
    """What devices said of their models, summed over `buckets` equal times between `since` and `until`.

    Returns:
        ``points`` with time, n, errors, p50_us, p95_us, accuracy and drift (the last four None where unknown);
        ``reports``, how many messages they are made of; ``cut``, whether older ones were left out.
    """
    query = select(stats.c.at, stats.c.stats).where(stats.c.at >= since, stats.c.at < until)
    if device:
        query = query.where(stats.c.device == device)
    if model:
        query = query.where(stats.c.model == model)
    found = connection.execute(query.order_by(stats.c.at.desc()).limit(_MOST_STATS)).all()
    width = (until - since) / buckets
    sums: list[list[Mapping[str, Any]]] = [[] for _ in range(buckets)]
    for at, value in found:
        sums[min(buckets - 1, int((at - since) / width))].append(value)
    points = [{"time": round(since + (i + 0.5) * width, 3), **_summed(each)} for i, each in enumerate(sums)]
    return {"points": points, "reports": len(found), "cut": len(found) == _MOST_STATS}


def _summed(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    n = _total(values, "n")
    labelled = _total(values, "labelled")
    drifting = [value for value in values if value.get("drift_ppm") is not None]
    seen = _total(drifting, "n")
    drift = sum(value["drift_ppm"] * value.get("n", 0) for value in drifting)
    return {
        "n": n,
        "errors": _total(values, "errors"),
        "p50_us": _weighted(values, "p50_us", n),
        "p95_us": _weighted(values, "p95_us", n),
        "accuracy": _total(values, "correct") / labelled if labelled else None,
        "drift": drift / seen / 1e6 if seen else None,
    }


def _total(values: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(int(value.get(name, 0)) for value in values)


def _weighted(values: Sequence[Mapping[str, Any]], name: str, n: int) -> int | None:
    """The values' mean by how many inferences each stands for."""
    return math.floor(sum(value.get(name, 0) * value.get("n", 0) for value in values) / n) if n else None
