"""The application: the API, the console, the repository's files, and what guards them all."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from cloud.api import devices, enrolments, operations, overview, problems, releases, rollouts, sessions
from cloud.api.middleware import Guard, log_to_stderr
from cloud.api.services import PREFIX, Services
from cloud.database import Database
from cloud.home import Home
from edge_runtime.errors import BackendError

CONSOLE = Path(__file__).parents[1] / "console"
_ABOUT = """\
Devices, releases, rollouts, federated runs, alerts and the audit log of a fleet.

Send a token as `Authorization: Bearer TOKEN`; `littoral cloud token NAME --role viewer` makes one. A viewer reads, an
operator also changes, an admin also retires devices, withdraws releases, and makes tokens and enrolments. Errors are
`application/problem+json` (RFC 9457). Times are seconds since 1970 in UTC."""


class Static(StaticFiles):
    """The console's files; a browser asks each time whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(home: Home, database: Database, *, log: bool = True, **settings: Any) -> FastAPI:
    """The ASGI application.

    Args:
        home: the cloud's folder.
        database: its database, migrated.
        log: whether requests go to stderr, a JSON object a line.
        settings: `url` and `brokers`, where devices reach this server and the brokers; and parts to use in place of
            those that would be opened: `repository`, `rollouts`, `enrolments`.
    """
    given = {name: settings.pop(name) for name in _PARTS if name in settings}
    parts = Services(home, database, settings, given)
    app = FastAPI(
        title="Littoral",
        description=_ABOUT,
        version="1",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        middleware=[Middleware(Guard, counts=parts.counts, log=log, refused=parts.refused)],
        redirect_slashes=False,
    )
    app.state.services = parts
    app.state.live = overview.Live(parts)
    problems.install(app)
    for module in (sessions, overview, devices, enrolments, releases, rollouts, operations):
        app.include_router(module.router)
    app.include_router(enrolments.devices)
    app.include_router(overview.metrics)

    @app.get("/healthz", tags=["metrics"])
    def healthz() -> JSONResponse:
        """Whether the server is up and reaches its database."""
        try:
            database.revision()
        except (
            BackendError
        ) as error:  # whoever asks may be nobody: where the database is does not concern them
            raise problems.Problem(503, "the database does not answer") from error
        return JSONResponse({"ok": True})

    @app.get("/", include_in_schema=False)
    def begin() -> RedirectResponse:
        return RedirectResponse("/console/")

    app.mount("/repository", _Repository(parts))
    app.mount("/console", Static(directory=CONSOLE, html=True))
    if log:
        log_to_stderr()
    return app


_PARTS = ("repository", "rollouts", "enrolments")


class _Repository:
    """The repository's files, once there is a repository."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._app: Any = None

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if self._app is None:
            from cloud.repository import http

            try:
                self._app = http.app(self._parts.repository)
            except problems.Problem as problem:
                await problems.answer(problem.status, str(problem))(scope, receive, send)
                return
        await self._app(scope, receive, send)
