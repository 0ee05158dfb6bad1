"""Devices: who there are, what each shall be and is, what it says, commands, groups."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy import ColumnElement, func, select, update

from cloud.api import views
from cloud.api.bodies import NAME, Change, Command, Commands, Desire, Group
from cloud.api.problems import missing
from cloud.api.services import PREFIX, VIEWER, Admin, Operator, Parts, Services, now
from cloud.database.tables import commands, devices, events, groups, twins
from cloud.fleet import shown
from edge_runtime.messages import Desired

router = APIRouter(prefix=PREFIX, tags=["fleet"])
Named = Annotated[str, Path(pattern=NAME)]
Select = Annotated[str, Query(max_length=1024, description="such as target=rpi4,room=kitchen,site=*")]
Search = Annotated[str, Query(max_length=64, description="part of a name, a site or a target")]
Health = Literal["failed", "updating", "healthy", "offline", "retired", ""]


def _where(parts: Services, selector: str, search: str, health: str) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if selector.strip():
        found.append(parts.selected(selector))
    if search.strip():
        found.append(views.like(search.strip()))
    found.append(views.health == health if health else devices.c.status != "retired")
    return found


@router.get("/devices", dependencies=[VIEWER])
def list_devices(
    parts: Parts,
    selector: Select = "",
    search: Search = "",
    health: Health = "",
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Devices by name; `next` is what to give as `after` for those that follow, "" at the end."""
    where = _where(parts, selector, search, health)
    with parts.database.read() as connection:
        rows = views.rows(connection, where, after=after, limit=limit)
        counts = views.counts(connection, _where(parts, selector, search, "")[:-1])
    names = parts.models()
    for row in rows:
        row["release"] = names.get(row["model"] or "")
    return {
        "devices": rows,
        "next": rows[-1]["name"] if len(rows) == limit else "",
        "counts": counts,
    }


@router.get("/map", dependencies=[VIEWER])
def where_devices_are(
    parts: Parts,
    selector: Select = "",
    search: Search = "",
    health: Health = "",
    degrees: Annotated[float, Query(ge=0.01, le=30)] = 1.0,
) -> dict[str, Any]:
    """Devices that have a position, counted by cells of so many degrees."""
    with parts.database.read() as connection:
        found = views.cells(connection, _where(parts, selector, search, health), degrees)
    return {"cells": found}


@router.get("/devices/{name}", dependencies=[VIEWER])
def one_device(name: Named, parts: Parts) -> dict[str, Any]:
    """A device and its twin."""
    with parts.database.read() as connection:
        query = select(devices, twins, views.health.label("health")).select_from(views.JOINED)
        row = connection.execute(query.where(devices.c.name == name)).mappings().first()
    if row is None:
        raise missing("device", name)
    found = {key: value for key, value in row.items() if key != "device"}
    found["desired"] = row["desired"] and shown(row["desired"])
    return found | {"models": parts.named(row["model"], *_digests(row))}


def _digests(row: Any) -> list[str]:
    desired, reported = row["desired"] or {}, row["reported"] or {}
    return [(desired.get("model") or {}).get("sha256", ""), reported.get("previous", "")]


@router.patch("/devices/{name}")
def change_device(name: Named, body: Change, parts: Parts, actor: Operator) -> dict[str, Any]:
    """Set labels of a device (null takes one away), or say where it stands."""
    place = body.model_dump(exclude_unset=True, exclude={"labels"})
    one_device(name, parts)
    if body.labels is not None:
        parts.fleet.label(name, body.labels, actor=actor.name)
    if place:
        with parts.database.begin() as connection:
            connection.execute(update(devices).where(devices.c.name == name).values(place))
            parts.audit(connection, actor, "place", name, **place)
    return one_device(name, parts)


@router.delete("/devices/{name}", status_code=204)
def retire_device(name: Named, parts: Parts, actor: Admin) -> None:
    """Retire a device: it may not connect any more; what it said stays."""
    parts.fleet.retire(name, actor=actor.name)


@router.put("/devices/{name}/desired")
def desire(name: Named, body: Desire, parts: Parts, actor: Operator) -> dict[str, Any]:
    """Say what one device shall be; the answer is the version of the wish."""
    one_device(name, parts)
    with parts.database.begin() as connection:
        given = parts.fleet.desire(connection, {name: Desired.read(body.desired | {"v": 1})})
        parts.audit(connection, actor, "desire", name, v=given[name], desired=shown(body.desired))
    return {"v": given[name]}


@router.get("/devices/{name}/stats", dependencies=[VIEWER])
def device_stats(
    name: Named,
    parts: Parts,
    hours: Annotated[float, Query(gt=0, le=24 * 90)] = 24,
    points: Annotated[int, Query(ge=1, le=500)] = 48,
) -> dict[str, Any]:
    """What the device said of its model, over time."""
    until = now()
    with parts.database.read() as connection:
        return views.series(connection, until - hours * 3600, until, points, device=name)


@router.get("/devices/{name}/events", dependencies=[VIEWER])
def device_events(
    name: Named, parts: Parts, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> dict[str, Any]:
    """What was done to the device, the newest first."""
    query = select(events).where(events.c.subject.in_((name, f"device/{name}")))
    with parts.database.read() as connection:
        rows = connection.execute(query.order_by(events.c.sequence.desc()).limit(limit)).mappings()
        return {"events": [dict(row) for row in rows]}


@router.get("/devices/{name}/commands", dependencies=[VIEWER])
def device_commands(
    name: Named, parts: Parts, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> dict[str, Any]:
    """Commands to the device and what became of them, the newest first."""
    query = select(commands).where(commands.c.device == name).order_by(commands.c.created.desc()).limit(limit)
    with parts.database.read() as connection:
        return {"commands": [dict(row) for row in connection.execute(query).mappings()]}


@router.post("/devices/{name}/commands", status_code=201)
def send_command(name: Named, body: Command, parts: Parts, actor: Operator) -> dict[str, Any]:
    """Let the device do one thing now; it is sent until it answers or the time is over."""
    (number,) = parts.fleet.command([name], body.op, body.arguments, body.seconds, actor=actor.name)
    return {"id": number}


@router.post("/commands", status_code=201)
def send_commands(body: Commands, parts: Parts, actor: Operator) -> dict[str, Any]:
    """Let every device that the selector means do one thing; the answer is how many were asked."""
    names = parts.fleet.names(body.selector)
    parts.fleet.command(names, body.op, body.arguments, body.seconds, actor=actor.name)
    return {"devices": len(names)}


@router.get("/groups", dependencies=[VIEWER])
def list_groups(parts: Parts) -> dict[str, Any]:
    """Groups, and how many devices each has now."""
    with parts.database.read() as connection:
        found = [dict(row) for row in connection.execute(select(groups).order_by(groups.c.name)).mappings()]
        for each in found:
            where = (parts.selected(each["selector"]), devices.c.status != "retired")
            query = select(func.count()).select_from(views.JOINED).where(*where)
            each["devices"] = connection.execute(query).scalar_one()
    return {"groups": found}


@router.put("/groups/{name}")
def save_group(name: Named, body: Group, parts: Parts, actor: Operator) -> dict[str, Any]:
    """Make a group, or give it another selector."""
    parts.fleet.save_group(name, body.selector, actor=actor.name)
    return {"name": name, "selector": body.selector}


@router.delete("/groups/{name}", status_code=204)
def delete_group(name: Named, parts: Parts, actor: Operator) -> None:
    """Forget a group; its devices stay."""
    parts.fleet.delete_group(name, actor=actor.name)
