"""Alerts, the audit log, federated runs."""

import base64
import hashlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from cloud import alerts as alert_rows
from cloud.api.bodies import NAME
from cloud.api.problems import missing
from cloud.api.services import PREFIX, VIEWER, Operator, Parts
from cloud.audit import Anchor
from cloud.database.tables import alerts, events, runs

router = APIRouter(prefix=PREFIX)
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[
    int, Query(ge=0, le=1 << 53, description="only those with smaller numbers; 0 for the newest")
]


@router.get("/alerts", tags=["alerts"], dependencies=[VIEWER])
def list_alerts(
    parts: Parts, everything: bool = False, before: Before = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Open alerts, or all there ever were, the newest first."""
    query = select(alerts).order_by(alerts.c.id.desc()).limit(limit)
    query = query if everything else query.where(alerts.c.ended.is_(None))
    query = query.where(alerts.c.id < before) if before else query
    with parts.database.read() as connection:
        return {"alerts": [dict(row) for row in connection.execute(query).mappings()]}


@router.post("/alerts/{number}/acknowledge", tags=["alerts"])
def acknowledge(
    number: Annotated[int, Path(ge=0, le=1 << 53)], parts: Parts, actor: Operator
) -> dict[str, Any]:
    """Say that one has seen it."""
    with parts.database.begin() as connection:
        if not alert_rows.acknowledge(connection, number, actor.name):
            raise missing("open alert", number)
        parts.audit(connection, actor, "alert.acknowledge", f"alert/{number}")
    return {"id": number, "acknowledged": actor.name}


@router.get("/audit", tags=["audit"], dependencies=[VIEWER])
def audit_log(parts: Parts, before: Before = 0, limit: Limit = 100) -> dict[str, Any]:
    """What was done by whom, the newest first."""
    query = select(events).order_by(events.c.sequence.desc()).limit(limit)
    query = query.where(events.c.sequence < before) if before else query
    with parts.database.read() as connection:
        return {"events": [dict(row) for row in connection.execute(query).mappings()]}


@router.get("/audit/verification", tags=["audit"], dependencies=[VIEWER])
def verify_audit_log(parts: Parts) -> dict[str, Any]:
    """Compute the chain of hashes again: how many entries there are, and the first that does not fit, if any.

    It is compared with the heads that were written down outside the database, once an hour.
    """
    key = parts.home.keys / "anchor.key"
    anchor = Anchor.with_key(parts.home.anchor, key) if key.is_file() else None
    entries, broken = parts.log.verify(anchor)
    return {"entries": entries, "broken": broken}


@router.get("/runs", tags=["federated runs"], dependencies=[VIEWER])
def list_runs(parts: Parts) -> dict[str, Any]:
    """Federated runs, the newest first, with their rounds."""
    kept = (
        runs.c.name,
        runs.c.model,
        runs.c.state,
        runs.c.created,
        runs.c.history,
        runs.c.report.is_not(None),
    )
    query = select(*kept[:5], kept[5].label("has_report")).order_by(runs.c.created.desc()).limit(100)
    with parts.database.read() as connection:
        found = [dict(row) for row in connection.execute(query).mappings()]
    for each in found:
        each["rounds"] = [_round(entry) for entry in each["history"].get("rounds", ())]
        each["initial"] = each["history"].get("initial", {})
        each["settings"] = each["history"].get("settings", {})
        del each["history"]
    return {"runs": found}


_KEPT = ("number", "accuracy", "loss", "train_loss", "seconds", "bytes_down", "bytes_up", "epsilon")


def _round(entry: dict[str, Any]) -> dict[str, Any]:
    """A round as the console draws it: counts in place of the clients' names."""
    lists = {name: len(entry.get(name, ())) for name in ("clients", "failed", "set_aside", "late")}
    return {name: entry.get(name) for name in _KEPT} | lists


@router.get("/runs/{name}/report", tags=["federated runs"], dependencies=[VIEWER])
def run_report(name: Annotated[str, Path(pattern=NAME)], parts: Parts) -> HTMLResponse:
    """The run's report, a page of its own."""
    with parts.database.read() as connection:
        content = connection.execute(select(runs.c.report).where(runs.c.name == name)).scalar()
    if content is None:
        raise missing("report of a run", name)
    return report_page(content)


def report_page(content: bytes) -> HTMLResponse:
    """A report as a page that may do nothing: no script, no form, no request; only the styles that it brings itself."""
    styles = re.findall(rb"<style>(.*?)</style>", content, re.DOTALL)
    allowed = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s).digest()).decode()}'" for s in styles)
    policy = f"sandbox; default-src 'none'; img-src data:; style-src {allowed or chr(39) + 'none' + chr(39)}"
    return HTMLResponse(content, headers={"content-security-policy": policy})
