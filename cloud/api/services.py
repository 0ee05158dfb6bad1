"""What the API answers from: the parts of the cloud, each opened when it is first asked for."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlalchemy import ColumnElement, Connection

from cloud.api.access import COOKIE, Actor, Failures, Sessions, Tokens, session_key
from cloud.api.gates import measured
from cloud.api.middleware import Counts
from cloud.api.problems import Problem
from cloud.audit import Audit
from cloud.database import Database, tables
from cloud.fleet.fleet import Fleet
from cloud.fleet.selector import Selector
from cloud.home import Home
from cloud.limits import Limiter
from edge_runtime.errors import LittoralError

PREFIX = "/api/v1"
SAFE = ("GET", "HEAD", "OPTIONS")
_RELEASES_S = 3.0
HEADER = "x-littoral"  # a page of another origin cannot send it without being allowed to


@dataclass
class Services:
    """The parts; those that are not given are opened from the home and the database.

    Args:
        home: the cloud's folder.
        database: its database.
        settings: `url` (where devices reach this server), `brokers` (where they reach the brokers).
        given: parts to use in place of what would be opened, by their names here.
    """

    home: Home
    database: Database
    settings: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    refused_enrolments: Failures = field(default_factory=Failures)
    counts: Counts = field(default_factory=Counts)
    _refusals: Limiter = field(default_factory=lambda: Limiter(1, 100))
    _releases: list[Any] = field(default_factory=list)
    _read_at: float = -math.inf

    @cached_property
    def tokens(self) -> Tokens:
        """People and programs."""
        return Tokens(self.database)

    @cached_property
    def sessions(self) -> Sessions:
        """The console's sessions."""
        return Sessions(session_key(self.home.root / "session.key"), self.tokens)

    @cached_property
    def log(self) -> Audit:
        """The audit log."""
        return Audit(self.database)

    @cached_property
    def fleet(self) -> Fleet:
        """Devices, twins, groups, commands."""
        return Fleet(self.database)

    @cached_property
    def repository(self) -> Any:
        """The repository; Problem 503 where there is none yet."""
        if "repository" in self.given:
            return self.given["repository"]
        from cloud.repository import Repository

        if not self.home.repository.is_dir():
            raise Problem(503, "there is no repository yet: littoral repository create")
        return Repository.open(str(self.home.repository), self.home.keys if self.home.keys.is_dir() else None)

    @cached_property
    def rollouts(self) -> Any:
        """Rollouts."""
        if "rollouts" in self.given:
            return self.given["rollouts"]
        from cloud.rollouts import Rollouts

        return Rollouts(self.database, self.fleet, self.repository)

    @cached_property
    def enrolments(self) -> Any:
        """First contact and renewal."""
        if "enrolments" in self.given:
            return self.given["enrolments"]
        from cloud.identity import Authority, Enrolments, Reach

        url = str(self.settings.get("url", "https://127.0.0.1:8443")).rstrip("/")
        brokers = tuple(self.settings.get("brokers", ()))
        reach = Reach(url, brokers, f"{url}/repository/", lambda: self.repository.root)
        return Enrolments(self.database, Authority(self.home.ca), reach)

    def progress(self, rollout: str) -> dict[str, Any]:
        """How far a rollout is, with its gates as they were measured."""
        found: dict[str, Any] = self.rollouts.progress(rollout).to_json()
        return found | {"gates": measured(found)}

    def releases(self) -> list[Any]:
        """What is published; read again only after some seconds."""
        if self._read_at < time.monotonic() - _RELEASES_S:
            try:
                self._releases = self.repository.releases()
            except Problem:  # none yet: nothing is published
                self._releases = []
            self._read_at = time.monotonic()
        return self._releases

    def forget_releases(self) -> None:
        """Let the next look read them anew."""
        self._read_at = -math.inf

    def models(self) -> dict[str, str]:
        """What people call the bundles, such as "kws 3", by SHA-256."""
        return {each.sha256: f"{each.name} {each.version}" for each in self.releases()}

    def named(self, *digests: str | None) -> dict[str, str]:
        """The same, of these bundles only."""
        known = self.models()
        return {each: known[each] for each in digests if each and each in known}

    def selected(self, selector: str) -> ColumnElement[bool]:
        """A selector, with its groups, as SQL over devices joined with twins."""
        return Selector.parse(selector).expand(self.fleet.groups()).where(tables)

    def audit(
        self, connection: Connection, actor: Actor, action: str, subject: str = "", **detail: Any
    ) -> None:
        """Write an entry of the audit log within the transaction that makes the change."""
        self.log.add(connection, actor.name, action, subject, detail)

    def refused(self, actor: str, path: str, detail: Mapping[str, Any]) -> None:
        """Enter in the audit log that somebody was refused something; not so often that it fills the disk."""
        missed = self._refusals.refused
        if self._refusals.allow():
            self._refusals.refused = 0
            with suppress(LittoralError), self.database.begin() as connection:
                told = {**detail, "not_written_before": missed}
                self.log.add(connection, actor or "unknown", "request-refused", path, told)


def services(request: Request) -> Services:
    """Those of the application."""
    found: Services = request.app.state.services
    return found


Parts = Annotated[Services, Depends(services)]
_BEARER = HTTPBearer(auto_error=False, description="a token of `littoral cloud token NAME --role ROLE`")
_SESSION = APIKeyCookie(name=COOKIE, auto_error=False, description="the console's session")


def known(request: Request, parts: Services) -> Actor:
    """Who calls, by bearer token or by session.

    Raises:
        Problem: neither is valid (401), or the address guessed wrong too often (429).
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        cookie = request.cookies.get(COOKIE, "")
        actor = parts.sessions.find(cookie) if cookie else None
        if actor is None:
            raise Problem(401, "log in, or send a token: Authorization: Bearer TOKEN", _CHALLENGE)
        if request.method not in SAFE:
            same_site(request)
        return actor
    return guessed(request, parts, token.strip() if scheme.lower() == "bearer" else "")


_CHALLENGE = {"www-authenticate": 'Bearer realm="littoral"'}


def guessed(request: Request, parts: Services, token: str) -> Actor:
    """Whose token it is; a wrong one counts against the address that sent it."""
    address = request.client.host if request.client else ""
    if wait := parts.failures.wait(address):
        after = {"retry-after": str(int(wait) + 1)}
        raise Problem(429, f"too many wrong tokens from {address}; try again in {int(wait) + 1} s", after)
    actor = parts.tokens.find(token) if token else None
    if actor is None:
        parts.failures.add(address)
        raise Problem(401, "the token is unknown or has expired", _CHALLENGE)
    return actor


def same_site(request: Request) -> None:
    """Refuse a change that another site's page asks for with this browser's cookie.

    The cookie is SameSite=Strict already; the header and the browser's own word are two more reasons why it fails
    (OWASP Cross-Site Request Forgery Prevention, "Custom request headers" and "Fetch metadata").
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none") or HEADER not in request.headers:
        raise Problem(403, f"a change by session needs the header {HEADER} and the console's own origin")


class Needs:
    """A dependency: the caller has the role, or one above it."""

    def __init__(self, role: str) -> None:
        self.role = role

    def __call__(
        self,
        request: Request,
        parts: Parts,
        _bearer: Annotated[Any, Depends(_BEARER)],
        _session: Annotated[Any, Depends(_SESSION)],
    ) -> Actor:
        """Who calls."""
        actor = known(request, parts)
        request.state.actor = actor.name
        if not actor.may(self.role):
            raise Problem(403, f"'{actor.name}' is {actor.role}; this needs {self.role}")
        return actor


# For what reads, as a dependency of the route; for what writes down who did it, as the type of a parameter.
VIEWER, ADMIN = Depends(Needs("viewer")), Depends(Needs("admin"))
Viewer = Annotated[Actor, VIEWER]
Operator = Annotated[Actor, Depends(Needs("operator"))]
Admin = Annotated[Actor, ADMIN]
now = time.time
