"""Sessions of the console, tokens, and who one is."""

from typing import Any

from fastapi import APIRouter, Request, Response

from cloud.api.access import COOKIE, SESSION_S
from cloud.api.bodies import Login, Token
from cloud.api.problems import missing
from cloud.api.services import ADMIN, PREFIX, Admin, Parts, Viewer, guessed, same_site

router = APIRouter(prefix=PREFIX, tags=["access"])


@router.post("/session")
def log_in(body: Login, request: Request, response: Response, parts: Parts) -> dict[str, Any]:
    """Begin a session of the console with a token; the cookie is out of reach of scripts."""
    same_site(request)
    actor = guessed(request, parts, body.token)
    request.state.actor = actor.name
    response.set_cookie(
        COOKIE,
        parts.sessions.create(actor),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    with parts.database.begin() as connection:
        parts.audit(connection, actor, "session.begin")
    return {"name": actor.name, "role": actor.role}


@router.delete("/session", status_code=204)
def log_out(request: Request, response: Response, parts: Parts, actor: Viewer) -> None:
    """End the session."""
    parts.sessions.end(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    with parts.database.begin() as connection:
        parts.audit(connection, actor, "session.end")


@router.get("/me")
def me(actor: Viewer) -> dict[str, Any]:
    """Who one is."""
    return {"name": actor.name, "role": actor.role}


@router.get("/tokens", dependencies=[ADMIN])
def list_tokens(parts: Parts) -> dict[str, Any]:
    """Every token, without the token itself."""
    return {"tokens": parts.tokens.all()}


@router.post("/tokens", status_code=201)
def create_token(body: Token, parts: Parts, actor: Admin) -> dict[str, Any]:
    """Make a token; it is in this answer and never again."""
    with parts.database.begin() as connection:
        token = parts.tokens.create(connection, body.name, body.role, body.days)
        parts.audit(connection, actor, "token.create", body.name, role=body.role, days=body.days)
    return {"name": body.name, "role": body.role, "token": token}


@router.delete("/tokens/{name}", status_code=204)
def delete_token(name: str, parts: Parts, actor: Admin) -> None:
    """Take a token's rights away, at once, and end its sessions."""
    with parts.database.begin() as connection:
        if not parts.tokens.delete(connection, name):
            raise missing("token", name)
        parts.audit(connection, actor, "token.delete", name)
