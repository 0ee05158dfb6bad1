"""Federated runs as the console shows them: one row each, kept current from the folder of the coordinator."""

import json
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cloud.database import Database, tables
from edge_runtime.errors import InputError
from federated import checkpoint

STATES = ("running", "finished", "failed")


def record(database: Database, name: str, model: str, folder: Path, state: str = "running") -> int:
    """Write down how a run stands, as far as the coordinator's folder (`federate serve --out`) says.

    Args:
        database: the cloud's.
        name: of the run.
        model: of the model that it trains.
        folder: the coordinator's.
        state: one of `STATES`.

    Returns:
        How many rounds have ended.

    Raises:
        InputError: the state is none, or the folder's checkpoint is damaged.
    """
    if state not in STATES:
        raise InputError(f"a run's state is {state!r}; expected one of {', '.join(STATES)}")
    history = _history(folder)
    page = folder / "report.html"
    row: dict[str, Any] = {"model": model, "state": state, "history": history}
    if state != "running" and page.exists():
        row["report"] = page.read_bytes()
    with database.begin() as connection:
        known = tables.runs.c.name == name
        if not connection.execute(sa.update(tables.runs).where(known).values(row)).rowcount:
            connection.execute(sa.insert(tables.runs).values(name=name, created=time.time(), **row))
    return len(history.get("rounds", ()))


def _history(folder: Path) -> dict[str, Any]:
    """Of the run's end, or of its last checkpoint; nothing before the first."""
    ended, now = folder / "history.json", folder / "checkpoint.npz"
    if ended.exists():
        found: dict[str, Any] = json.loads(ended.read_text("utf-8"))
        return found
    return checkpoint.load(now).history.to_json() if now.exists() else {}
