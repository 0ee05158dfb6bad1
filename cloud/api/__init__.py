"""The cloud's API and the server of its console."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    from cloud.database import Database
    from cloud.home import Home

__all__ = ["create_app"]


def create_app(home: "Home", database: "Database", *, log: bool = True, **settings: Any) -> "FastAPI":
    """The ASGI application, `cloud.api.app.create_app`; what it needs is imported only then."""
    from cloud.api import app

    return app.create_app(home, database, log=log, **settings)
