"""A rollout's picture of the fleet, counted by the database; no device is looked at one by one.

JSON fields are read by SQLAlchemy's operators, which SQLite and PostgreSQL both have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, and_, case, cast, func, or_, select, true
from sqlalchemy.sql.selectable import FromClause

from cloud.database.tables import devices, rollout_devices, rollouts, stats, twins
from cloud.rollouts.picture import Count, Evidence
from cloud.rollouts.plan import Variant
from cloud.rollouts.spec import MILLION, Spec

SAMPLE = 5000  # devices whose statistics are compared with those of their old model
_DAY_S = 86_400
_ENDED_BADLY = ("reverted", "failed")


@dataclass(frozen=True, slots=True)
class Scope:
    """What the queries of one rollout have in common.

    Args:
        spec: the rollout.
        variants: its release's bundles, by target.
        selected: the selector's condition on `devices` and `twins`.
        others: names of rollouts under way, whose devices are not to be touched.
        earlier: those of them that were made before this one.
    """

    spec: Spec
    variants: Mapping[str, Variant]
    selected: ColumnElement[bool]
    others: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    @property
    def digests(self) -> list[str]:
        """Of all bundles of the release."""
        return sorted({variant.sha256 for variant in self.variants.values()})


def others(connection: Connection, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Rollouts that hold devices now, this one left out; and those of them that were made before it."""
    order = select(rollouts.c.name, rollouts.c.created, rollouts.c.ended, rollouts.c.state)
    rows = {row.name: row for row in connection.execute(order.where(rollouts.c.ended.is_(None)))}
    own = rows.pop(name, None)
    held = sorted((row.created, row.name) for row in rows.values() if row.state != "draft")
    earlier = [each for made, each in held if own is None or (made, each) < (own.created, name)]
    return tuple(sorted(each for _, each in held)), tuple(earlier)


def _number(column: ColumnElement[Any], *path: str) -> ColumnElement[float]:
    """A number within a JSON column; 0 where it is missing."""
    for part in path:
        column = column[part]
    return func.coalesce(cast(column.as_float(), Float), 0.0)


def _text(column: ColumnElement[Any], *path: str) -> ColumnElement[str]:
    for part in path:
        column = column[part]
    return func.coalesce(column.as_string(), "")


def _enrolled(scope: Scope) -> tuple[FromClause, ColumnElement[bool]]:
    """Selected devices with their twins, and with the row of this rollout if there is one."""
    told = and_(rollout_devices.c.device == devices.c.name, rollout_devices.c.rollout == scope.spec.name)
    joined = devices.outerjoin(twins, twins.c.device == devices.c.name).outerjoin(rollout_devices, told)
    return joined, and_(devices.c.status == "enrolled", rollout_devices.c.device.is_(None), scope.selected)


def _waiting(scope: Scope) -> tuple[FromClause, ColumnElement[bool]]:
    """Devices still to be told: they have a variant, lack the release, and are in no other rollout's hands."""
    source, lacking = _lacking(scope)
    if scope.others:
        lacking = and_(lacking, func.coalesce(twins.c.rollout, "").not_in(scope.others))
    return source, lacking


def _lacking(scope: Scope) -> tuple[FromClause, ColumnElement[bool]]:
    """Devices that have a variant and were not told, and are not told the release, or a later one, by anybody."""
    source, condition = _enrolled(scope)
    wanted = func.coalesce(twins.c.desired["model"]["sha256"].as_string(), twins.c.model, "")
    conditions = [condition, devices.c.target.in_(sorted(scope.variants)), wanted.not_in(scope.digests)]
    if not scope.spec.downgrade:
        model = twins.c.desired["model"]
        later = and_(
            _text(model, "name") == scope.spec.release, _number(model, "version") > scope.spec.version
        )
        conditions.append(~later)
    return source, and_(*conditions)


def held(connection: Connection, scope: Scope) -> int:
    """Devices that lack the release, and are in the hands of a rollout that was made before this one."""
    if not scope.variants or not scope.earlier:
        return 0
    source, lacking = _lacking(scope)
    query = select(func.count()).select_from(source).where(lacking, twins.c.rollout.in_(scope.earlier))
    return int(connection.scalar(query) or 0)


def waiting(connection: Connection, scope: Scope) -> dict[str, int]:
    """By target, how many devices are still to be told."""
    if not scope.variants:
        return {}
    source, condition = _waiting(scope)
    query = (
        select(devices.c.target, func.count()).select_from(source).where(condition).group_by(devices.c.target)
    )
    return dict(connection.execute(query).all())


def candidates(connection: Connection, scope: Scope, target: str) -> list[tuple[str, bool]]:
    """The devices of one target that are still to be told: name, and whether it is connected."""
    source, condition = _waiting(scope)
    query = (
        select(devices.c.name, devices.c.online)
        .select_from(source)
        .where(condition, devices.c.target == target)
    )
    return [(name, bool(online)) for name, online in connection.execute(query)]


def left_out(connection: Connection, scope: Scope) -> dict[str, tuple[int, str]]:
    """Selected devices whose target the release has no bundle for: by target, how many, and the first's name."""
    source, condition = _enrolled(scope)
    query = (
        select(devices.c.target, func.count(), func.min(devices.c.name))
        .select_from(source)
        .where(condition, devices.c.target.not_in(sorted(scope.variants)) if scope.variants else true())
        .group_by(devices.c.target)
        .order_by(devices.c.target)
    )
    return {target: (n, name) for target, n, name in connection.execute(query)}


def ours(scope: Scope) -> tuple[FromClause, ColumnElement[bool]]:
    """The join of rollout_devices, twins and devices, and the condition for devices whose last wish is its own."""
    joined = rollout_devices.join(twins, twins.c.device == rollout_devices.c.device).join(
        devices, devices.c.name == rollout_devices.c.device
    )
    return joined, and_(
        rollout_devices.c.rollout == scope.spec.name,
        twins.c.desired_v == rollout_devices.c.desired_v,
        devices.c.status == "enrolled",
    )


def told(connection: Connection, scope: Scope) -> tuple[dict[str, dict[int, Count]], float]:
    """Counts by target and phase of who was told, and when the last was, seconds since 1970."""
    source, condition = ours(scope)
    answered = twins.c.reported_v >= rollout_devices.c.desired_v
    good = and_(answered, twins.c.state == "running", twins.c.model.in_(scope.digests))
    bad = and_(
        answered,
        or_(
            twins.c.state.in_(_ENDED_BADLY),
            and_(twins.c.state == "running", twins.c.model.not_in(scope.digests)),
        ),
    )
    away = and_(~good, ~bad, devices.c.online.is_(False))
    query = (
        select(
            devices.c.target,
            rollout_devices.c.phase,
            func.count(),
            *(func.sum(case((each, 1), else_=0)) for each in (good, bad, away)),
            func.max(rollout_devices.c.told),
        )
        .select_from(source)
        .where(condition)
        .group_by(devices.c.target, rollout_devices.c.phase)
    )
    found: dict[str, dict[int, Count]] = {}
    last = 0.0
    for target, phase, n, done, failed, absent, when in connection.execute(query):
        found.setdefault(target, {})[phase] = Count(n, int(done), int(failed), int(absent))
        last = max(last, when)
    return found, last


def evidence(connection: Connection, scope: Scope, phase: int, since: float) -> dict[str, Evidence]:
    """What the devices measured, by target: in the shadow, and after the switch from `since` on."""
    shadow = _shadow(connection, scope)
    after = _after(connection, scope, since)
    slower, drop = _compared(connection, scope, phase, since)
    found: dict[str, Evidence] = {}
    for target in sorted({*shadow, *after}):
        n, agree, labelled, correct, old_correct, new_us, old_us = shadow.get(target, (0.0,) * 7)
        inferences, errors, drift = after.get(target, (0.0, 0.0, None))
        drops = [(labelled, (old_correct - correct) / labelled)] if labelled else []
        drops += [drop[target]] if target in drop else []
        ratios = [new_us / old_us] if old_us else []
        ratios += [slower[target]] if target in slower else []
        most = max(drops, key=lambda each: each[1], default=None)
        found[target] = Evidence(
            shadow=int(n),
            agree=agree / n / MILLION if n else None,
            labelled=int(most[0]) if most else 0,
            drop=most[1] if most else None,
            slower=max(ratios, default=None),
            inferences=int(inferences),
            errors=errors / inferences if inferences else None,
            drift=drift,
        )
    return found


def _shadow(connection: Connection, scope: Scope) -> dict[str, tuple[float, ...]]:
    """n, agree_ppm x n, labelled, correct, old_correct, p95_us x n and old_p95_us x n, summed by target."""
    source, condition = ours(scope)
    field = twins.c.reported["shadow"]
    n = _number(field, "n")
    sums: Sequence[ColumnElement[float]] = (
        n,
        n * _number(field, "agree_ppm"),
        *(_number(field, name) for name in ("labelled", "correct", "old_correct")),
        *(n * _number(field, name) for name in ("p95_us", "old_p95_us")),
    )
    answered = twins.c.reported_v >= rollout_devices.c.desired_v
    query = (
        select(devices.c.target, *(func.sum(each) for each in sums))
        .select_from(source)
        .where(condition, answered)
        .group_by(devices.c.target)
    )
    return {row[0]: tuple(float(each or 0) for each in row[1:]) for row in connection.execute(query)}


def _after(
    connection: Connection, scope: Scope, since: float
) -> dict[str, tuple[float, float, float | None]]:
    """Inferences, how many failed, and the mean drift, by target."""
    source, condition = ours(scope)
    n, drift = _number(stats.c.stats, "n"), stats.c.stats["drift_ppm"].as_float()
    known = case((drift.is_not(None), n), else_=0.0)
    query = (
        select(
            devices.c.target,
            func.sum(n),
            func.sum(_number(stats.c.stats, "errors")),
            func.sum(known * func.coalesce(drift, 0.0)),
            func.sum(known),
        )
        .select_from(source.join(stats, stats.c.device == rollout_devices.c.device))
        .where(condition, stats.c.model.in_(scope.digests), stats.c.at >= since)
        .group_by(devices.c.target)
    )
    return {
        target: (n or 0.0, errors or 0.0, moved / weight / MILLION if weight else None)
        for target, n, errors, moved, weight in connection.execute(query)
    }


def _compared(
    connection: Connection, scope: Scope, phase: int, since: float
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """New against old on the same devices, by target: the median ratio of 95th percentiles, and (labelled, drop).

    Of at most `SAMPLE` devices of this phase; the old model's figures are those of the day before they were told.
    """
    source, condition = ours(scope)
    new = stats.c.model.in_(scope.digests)
    n = _number(stats.c.stats, "n")
    chosen = (
        select(rollout_devices.c.device, rollout_devices.c.told, devices.c.target)
        .select_from(source)
        .where(condition, rollout_devices.c.phase == phase)
        .order_by(rollout_devices.c.device)
        .limit(SAMPLE)
        .subquery()
    )
    sums = (
        n * _number(stats.c.stats, "p95_us"),
        n,
        *(_number(stats.c.stats, k) for k in ("labelled", "correct")),
    )
    query = (
        select(
            chosen.c.device,
            chosen.c.target,
            *(func.sum(case((new, each), else_=0.0)) for each in sums),
            *(func.sum(case((and_(~new, stats.c.at <= chosen.c.told), each), else_=0.0)) for each in sums),
        )
        .select_from(chosen.join(stats, stats.c.device == chosen.c.device))
        .where(stats.c.at >= since - _DAY_S)
        .group_by(chosen.c.device, chosen.c.target)
    )
    ratios: dict[str, list[float]] = {}
    labels: dict[str, list[float]] = {}
    for _, target, us, n_new, many, right, old_us, n_old, old_many, old_right in connection.execute(query):
        if n_new and n_old and old_us:
            ratios.setdefault(target, []).append((us / n_new) / (old_us / n_old))
        total = labels.setdefault(target, [0.0] * 4)
        for i, value in enumerate((many, right, old_many, old_right)):
            total[i] += value
    drops = {
        target: (min(many, old_many), old_right / old_many - right / many)
        for target, (many, right, old_many, old_right) in labels.items()
        if many and old_many
    }
    return {target: median(found) for target, found in ratios.items()}, drops


def names(found: Iterable[str], most: int = 5) -> str:
    """The first few of the names, for a sentence."""
    listed = sorted(found)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
