"""First contact: strings that let a device in once, and what the device then asks for itself."""

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse
from sqlalchemy import delete, select

from cloud.api.bodies import Enrol, Enrolment, Renewal
from cloud.api.problems import Problem, missing
from cloud.api.services import ADMIN, PREFIX, Admin, Parts, Services
from cloud.database.tables import enrolments
from edge_runtime.errors import FleetError

router = APIRouter(prefix=PREFIX, tags=["enrolment"])
devices = APIRouter(tags=["devices themselves"])


@router.get("/enrolments", dependencies=[ADMIN])
def list_enrolments(parts: Parts) -> dict[str, Any]:
    """Devices that may come, and those that came; `id` is the beginning of the token's digest."""
    with parts.database.read() as connection:
        rows = connection.execute(
            select(enrolments).order_by(enrolments.c.created.desc()).limit(500)
        ).mappings()
        return {
            "enrolments": [
                {"id": row["digest"][:16]} | {k: row[k] for k in row if k != "digest"} for row in rows
            ]
        }


@router.post("/enrolments", status_code=201)
def create_enrolment(body: Enrolment, parts: Parts, actor: Admin) -> dict[str, Any]:
    """Make the string that lets one device in, once; it is in this answer and never again."""
    where = parts.enrolments.token(
        body.device,
        site=body.site,
        labels=body.labels,
        seconds=body.hours * 3600,
        hosts=body.hosts,
        actor=actor.name,
    )
    return {
        "device": body.device,
        "string": where,
        "command": f"littoral agent enrol '{where}' --store /var/lib/littoral",
    }


@router.delete("/enrolments/{number}", status_code=204)
def delete_enrolment(
    number: Annotated[str, Path(pattern="^[0-9a-f]{16}$")], parts: Parts, actor: Admin
) -> None:
    """Take a string back that was not used."""
    where = enrolments.c.digest.startswith(number) & enrolments.c.used.is_(None)
    with parts.database.begin() as connection:
        if not connection.execute(delete(enrolments).where(where)).rowcount:
            raise missing("unused enrolment", number)
        parts.audit(connection, actor, "enrolment.delete", number)


@devices.post("/enrol")
def enrol(body: Enrol, request: Request, parts: Parts) -> dict[str, Any]:
    """A device's first contact: its one-time token and its signing request, for its certificate and all it needs."""
    return _given(request, parts, lambda: parts.enrolments.redeem(body.token, body.csr))


@devices.post("/renew")
def renew(body: Renewal, request: Request, parts: Parts) -> dict[str, Any]:
    """A newer certificate for a device that still has a good one: the old key signs the new request."""
    return _given(request, parts, lambda: parts.enrolments.renew(body.model_dump()))


@devices.get("/crl", response_class=FileResponse)
def revoked(parts: Parts) -> FileResponse:
    """The authority's revocation list (RFC 5280), PEM, for gateways; signed, and no secret."""
    return FileResponse(parts.home.ca / "crl.pem", media_type="application/x-pem-file")


def _given(request: Request, parts: Services, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the device gets; who is refused counts against its address."""
    address = request.client.host if request.client else ""
    if wait := parts.refused_enrolments.wait(address):
        raise Problem(429, "too many refused requests; try again later", {"retry-after": str(int(wait) + 1)})
    try:
        return ask() | {"time": int(time.time())}
    except FleetError as error:
        parts.refused_enrolments.add(address)
        raise Problem(403, str(error)) from error
