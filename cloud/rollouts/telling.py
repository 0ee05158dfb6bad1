"""Telling devices, and giving them back what they had: within the transaction of the step that decided it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, case, func, insert, select

from cloud.database.tables import certificates, devices, rollout_devices, twins
from cloud.rollouts import counting
from cloud.rollouts.counting import Scope
from cloud.rollouts.plan import first, restored, wish
from cloud.rollouts.views import Rollout
from edge_runtime.errors import FleetError
from edge_runtime.messages import Desired, Release

if TYPE_CHECKING:
    from cloud.fleet import Fleet

_CHUNK = 1000
Wrap = Callable[[str, bytes], str]
"""From a model's name and a device's public key in PEM to what `Release.key` holds."""
_UNKNOWN = "unknown"  # the name of a model that a device had and no repository knows


def tell(
    connection: Connection,
    fleet: "Fleet",
    scope: Scope,
    phase: int,
    counts: Mapping[str, int],
    now: float,
    wrap: Wrap,
) -> dict[str, int]:
    """Tell the next devices of each target; how many were told, by target."""
    found: dict[str, int] = {}
    for target, count in sorted(counts.items()):
        variant = scope.variants[target]
        chosen = first(scope.spec.name, counting.candidates(connection, scope, target), count)
        rows: list[dict[str, Any]] = []
        for some in (chosen[i : i + _CHUNK] for i in range(0, len(chosen), _CHUNK)):
            had, keys = _twins(connection, some), _keys(connection, some, variant, wrap)
            wishes = {
                device: wish(
                    scope.spec,
                    phase,
                    variant,
                    desired(had.get(device, (None, ""))[0]),
                    key=keys.get(device, ""),
                    now=now,
                )
                for device in some
            }
            for device, v in fleet.desire(connection, wishes).items():
                before, model = had.get(device, (None, ""))
                rows.append(
                    {
                        "rollout": scope.spec.name,
                        "device": device,
                        "phase": phase,
                        "desired_v": v,
                        # without a wish, at least what it ran is known
                        "before": before if before else {"ran": model},
                        "told": now,
                    }
                )
        if rows:
            connection.execute(insert(rollout_devices), rows)
        found[target] = len(rows)
    return found


def give_back(
    connection: Connection,
    fleet: "Fleet",
    scope: Scope,
    releases: Mapping[str, Any],
    count: int,
    now: float,
    wrap: Wrap,
) -> tuple[int, str]:
    """Give the next `count` devices back what they had.

    A device goes back to a model that it still holds without asking the repository. So it is told what it had even
    where that was withdrawn since, or never came from there: nobody can fetch such a model any more, and who does not
    hold it stays with what it runs. These are named.

    Args:
        connection: the step's transaction.
        fleet: who tells devices.
        scope: the rollout's.
        releases: what the repository gives out, by SHA-256.
        count: at most so many.
        now: seconds since 1970.
        wrap: wraps a model's content key for a device's public key.

    Returns:
        How many were told, and one sentence on those whose old model the repository does not have; "" for none.
    """
    source, condition = counting.ours(scope)
    query = (
        select(rollout_devices.c.device, rollout_devices.c.before, twins.c.desired)
        .select_from(source)
        .where(condition)
        .order_by(rollout_devices.c.told, rollout_devices.c.device)
        .limit(count)
    )
    wishes: dict[str, Desired] = {}
    lost: list[str] = []
    for device, before, wanted in connection.execute(query).all():
        ran = (before or {}).get("ran", "")
        was = None
        if ran in releases:
            was = releases[ran].release(_keys(connection, [device], releases[ran], wrap).get(device, ""))
        elif ran:
            was = Release(_UNKNOWN, 1, "", ran, 1)
        found = restored(scope.spec, desired(wanted) or Desired(0), desired(before), was, now=now)
        if found.model is not None and found.model.sha256 not in releases:
            lost.append(device)
        wishes[device] = found
    given = fleet.desire(connection, wishes)
    if not lost:
        return len(given), ""
    return len(given), (
        f"{len(lost)} devices ({counting.names(lost)}) had a model that the repository does not have: only those that "
        "still hold it go back to it"
    )


def remaining(connection: Connection, scope: Scope) -> int:
    """How many devices still have this rollout's wish."""
    source, condition = counting.ours(scope)
    return int(connection.scalar(select(func.count()).select_from(source).where(condition)) or 0)


def returned(connection: Connection, scope: Scope) -> tuple[int, int]:
    """How many devices were given back what they had, and how many of them have answered that they do."""
    still = and_(twins.c.desired_v == rollout_devices.c.desired_v, devices.c.status == "enrolled")
    back = case((still, 0), else_=1)
    answered = case((and_(~still, twins.c.reported_v >= twins.c.desired_v), 1), else_=0)
    query = (
        select(func.sum(back), func.sum(answered))
        .join(twins, twins.c.device == rollout_devices.c.device)
        .join(devices, devices.c.name == rollout_devices.c.device)
        .where(rollout_devices.c.rollout == scope.spec.name)
    )
    found = connection.execute(query).one()
    return int(found[0] or 0), int(found[1] or 0)


def told_devices(connection: Connection, rollout: Rollout, after: str, limit: int) -> list[dict[str, Any]]:
    """Who was told, by name, with where each stands."""
    query = (
        select(
            rollout_devices.c.device,
            rollout_devices.c.phase,
            rollout_devices.c.told,
            rollout_devices.c.desired_v,
            twins.c.reported_v,
            twins.c.state,
            twins.c.model,
            devices.c.target,
            devices.c.online,
        )
        .join(twins, twins.c.device == rollout_devices.c.device)
        .join(devices, devices.c.name == rollout_devices.c.device)
        .where(rollout_devices.c.rollout == rollout.name, rollout_devices.c.device > after)
        .order_by(rollout_devices.c.device)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def desired(value: Mapping[str, Any] | None) -> Desired | None:
    """What stands in the database, if it is a wish for a device."""
    if not value or "ran" in value:
        return None
    try:
        return Desired.read(value)
    except FleetError:
        return None


def _keys(connection: Connection, names: list[str], variant: Any, wrap: Wrap) -> dict[str, str]:
    """The content key of a sealed bundle, wrapped for each device's newest certificate; nothing for a plain bundle."""
    if "sealed" not in variant.custom:
        return {}
    query = (
        select(certificates.c.device, certificates.c.key)
        .where(certificates.c.device.in_(names), certificates.c.revoked.is_(None))
        .order_by(certificates.c.issued)
    )
    newest = dict(connection.execute(query).all())
    return {device: wrap(variant.name, key.encode()) for device, key in newest.items()}


def _twins(connection: Connection, names: list[str]) -> dict[str, tuple[Any, str]]:
    query = select(twins.c.device, twins.c.desired, twins.c.model).where(twins.c.device.in_(names))
    return {device: (wanted, model) for device, wanted, model in connection.execute(query)}
