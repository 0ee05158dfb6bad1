"""Rollouts: what there are, how far they are, and what people do with them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from cloud.api import bodies
from cloud.api.bodies import NAME
from cloud.api.services import PREFIX, VIEWER, Operator, Parts
from cloud.rollouts import Spec

router = APIRouter(prefix=PREFIX, tags=["rollouts"])
Named = Annotated[str, Path(pattern=NAME)]


@router.get("/rollouts", dependencies=[VIEWER])
def list_rollouts(parts: Parts) -> dict[str, Any]:
    """All rollouts, the newest first."""
    return {"rollouts": [each.to_json() for each in parts.rollouts.list()]}


@router.post("/rollouts", status_code=201)
def create_rollout(body: bodies.Rollout, parts: Parts, actor: Operator) -> dict[str, Any]:
    """Write a rollout down, as a draft; nothing moves before it is started."""
    found: dict[str, Any] = parts.rollouts.create(Spec.read(body.spec), actor.name).to_json()
    return found


@router.post("/rollouts/plan", dependencies=[VIEWER])
def plan_rollout(body: bodies.Rollout, parts: Parts) -> dict[str, Any]:
    """What it would do, without doing it: devices by phase and target, who goes first, who is left out."""
    found: dict[str, Any] = parts.rollouts.dry_run(Spec.read(body.spec)).to_json()
    return found


@router.get("/rollouts/{name}", dependencies=[VIEWER])
def rollout_progress(name: Named, parts: Parts) -> dict[str, Any]:
    """How far it is: counts by phase and target, and each gate with its measured value."""
    return parts.progress(name)


@router.get("/rollouts/{name}/devices", dependencies=[VIEWER])
def rollout_devices(
    name: Named,
    parts: Parts,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The devices that it told, by name, with where each stands."""
    found = parts.rollouts.devices(name, after=after, limit=limit)
    return {"devices": found, "next": found[-1]["device"] if len(found) == limit else ""}


@router.post("/rollouts/{name}/{action}")
def move_rollout(
    name: Named,
    action: Literal["start", "pause", "resume", "finish", "abort", "rollback"],
    parts: Parts,
    actor: Operator,
    body: bodies.Reason | None = None,
) -> dict[str, Any]:
    """Start a draft, pause, resume, finish where it stands, abort, or take a release back that has been rolled out."""
    reason = {"reason": body.reason} if body and action in ("pause", "finish", "abort", "rollback") else {}
    found: dict[str, Any] = getattr(parts.rollouts, action)(name, actor.name, **reason).to_json()
    return found
