"""The fleet at a glance, figures over time, what changes while one looks, and metrics for Prometheus."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from cloud.api import views
from cloud.api.bodies import NAME
from cloud.api.problems import Problem
from cloud.api.services import PREFIX, VIEWER, Parts, Services, now
from cloud.database.tables import alerts, devices, rollouts, twins

router = APIRouter(prefix=PREFIX, tags=["overview"])
metrics = APIRouter(tags=["metrics"])
_EVERY_S, _LONGEST_S, _QUIET_S, _MOST = 1.0, 600.0, 15.0, 200


@router.get("/overview", dependencies=[VIEWER])
def overview(parts: Parts) -> dict[str, Any]:
    """How the fleet does: devices by health, model, target and site; open alerts; rollouts that are not over."""
    with parts.database.read() as connection:
        found = _glance(connection)
        query = select(alerts).where(alerts.c.ended.is_(None)).order_by(alerts.c.id.desc()).limit(20)
        found["alerts"] = [dict(row) for row in connection.execute(query).mappings()]
        found["rollouts"] = [
            {name: row[name] for name in ("name", "state", "phase", "reason", "created")}
            for row in views.running(connection)
        ]
        found["models"] = views.shares(connection, twins.c.model, most=500)
        found["targets"] = views.shares(connection, devices.c.target)
        found["sites"] = views.shares(connection, devices.c.site)
    names = parts.models()
    running: Counter[str] = Counter()  # a release has a bundle for each target: people count them as one
    for digest, n in found["models"]:
        running[names.get(digest, f"{digest[:12]}…" if digest else "")] += n
    found["models"] = running.most_common(8)
    return found


def _glance(connection: Any) -> dict[str, Any]:
    """What `live` watches: small, and cheap to count."""
    query = (
        select(alerts.c.severity, func.count()).where(alerts.c.ended.is_(None)).group_by(alerts.c.severity)
    )
    severities = {"critical": 0, "warning": 0, "info": 0} | dict(connection.execute(query).all())
    return {"health": views.counts(connection), "open_alerts": severities}


@router.get("/stats", dependencies=[VIEWER])
def fleet_stats(
    parts: Parts,
    hours: Annotated[float, Query(gt=0, le=24 * 90)] = 24,
    points: Annotated[int, Query(ge=1, le=500)] = 48,
    model: Annotated[str, Query(pattern="^([0-9a-f]{64})?$")] = "",
) -> dict[str, Any]:
    """What devices said of their models, over time: of all, or of one model by its SHA-256."""
    until = now()
    with parts.database.read() as connection:
        return views.series(connection, until - hours * 3600, until, points, model=model)


class Live:
    """Looks at the database once a second while somebody watches, however many watch."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._seen: dict[str, tuple[float, dict[str, str]]] = {}
        self._lock = asyncio.Lock()
        self.watching = 0

    async def events(self, rollout: str) -> AsyncIterator[str]:
        """Server-sent events: what is new since the last, and a sign of life when nothing is."""
        began = told = time.monotonic()
        before: dict[str, str] = {}
        self.watching += 1
        try:
            yield "retry: 2000\n\n"
            while (
                time.monotonic() - began < _LONGEST_S
            ):  # then the browser comes again, and shows its session again
                found = await self._look(rollout)
                fresh = {name: text for name, text in found.items() if before.get(name) != text}
                for name, text in fresh.items():
                    yield f"event: {name}\ndata: {text}\n\n"
                if fresh:
                    told = time.monotonic()
                elif time.monotonic() - told > _QUIET_S:
                    yield ": nothing new\n\n"
                    told = time.monotonic()
                before = found
                await asyncio.sleep(_EVERY_S)
        finally:
            self.watching -= 1

    async def _look(self, rollout: str) -> dict[str, str]:
        async with self._lock:
            at, found = self._seen.get(rollout, (0.0, {}))
            if time.monotonic() - at >= _EVERY_S * 0.9:
                found = await run_in_threadpool(self._read, rollout)
                self._seen = {k: v for k, v in self._seen.items() if time.monotonic() - v[0] < 10 * _EVERY_S}
                self._seen[rollout] = time.monotonic(), found
            return found

    def _read(self, rollout: str) -> dict[str, str]:
        with self._parts.database.read() as connection:
            found: dict[str, Any] = {"overview": _glance(connection)}
            found["rollouts"] = [
                [row["name"], row["state"], row["phase"]] for row in views.running(connection)
            ]
        if rollout:
            found["rollout"] = self._parts.progress(rollout)
        return {name: json.dumps(value) for name, value in found.items()}


@router.get("/live", dependencies=[VIEWER])
async def live(
    request: Request,
    parts: Parts,
    rollout: Annotated[str, Query(pattern=f"({NAME})|^$")] = "",
) -> StreamingResponse:
    """Server-sent events: `overview` and `rollouts` when they change, and `rollout` with the progress of one."""
    watch: Live = request.app.state.live
    if watch.watching >= _MOST:
        raise Problem(503, f"{_MOST} watch already", {"retry-after": "10"})
    if rollout:
        await run_in_threadpool(parts.progress, rollout)  # 404 where there is none
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(watch.events(rollout), media_type="text/event-stream", headers=headers)


@metrics.get("/metrics", response_class=PlainTextResponse, dependencies=[VIEWER])
def prometheus(request: Request, parts: Parts) -> PlainTextResponse:
    """Metrics in the text format of Prometheus; a scraper sends a viewer's token."""
    with parts.database.read() as connection:
        glance = _glance(connection)
        states = connection.execute(select(twins.c.state, func.count()).group_by(twins.c.state)).all()
        moving = connection.execute(select(rollouts.c.state, func.count()).group_by(rollouts.c.state)).all()
        behind = connection.scalar(select(func.count()).where(twins.c.desired_v > twins.c.reported_v))
    lines: list[str] = []
    _gauge(lines, "littoral_devices", "Devices by health.", "health", glance["health"])
    _gauge(lines, "littoral_twins", "Twins by the state that the device reported.", "state", dict(states))
    _gauge(lines, "littoral_rollouts", "Rollouts by state.", "state", dict(moving))
    _gauge(lines, "littoral_alerts_open", "Open alerts by severity.", "severity", glance["open_alerts"])
    lines += [
        "# HELP littoral_twins_behind Twins whose wish the device has not answered.",
        "# TYPE littoral_twins_behind gauge",
    ]
    lines += [
        f"littoral_twins_behind {behind or 0}",
        "# HELP littoral_http_requests_total Requests to the API.",
    ]
    lines.append("# TYPE littoral_http_requests_total counter")
    for (method, route, status), n in sorted(parts.counts.requests.items()):
        lines.append(
            f'littoral_http_requests_total{{method="{method}",route="{_safe(route)}",code="{status}"}} {n}'
        )
    lines += ["# HELP littoral_http_seconds Time to an answer.", "# TYPE littoral_http_seconds histogram"]
    for route, histogram in sorted(parts.counts.seconds.items()):
        lines += histogram.lines("littoral_http_seconds", f'route="{_safe(route)}"')
    watching = request.app.state.live.watching
    lines += ["# HELP littoral_watching Consoles that watch live.", "# TYPE littoral_watching gauge"]
    return PlainTextResponse(
        "\n".join([*lines, f"littoral_watching {watching}", ""]), media_type="text/plain; version=0.0.4"
    )


def _gauge(lines: list[str], name: str, about: str, label: str, values: dict[str, int]) -> None:
    lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
    lines += [f'{name}{{{label}="{_safe(key)}"}} {n}' for key, n in sorted(values.items())]


def _safe(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
