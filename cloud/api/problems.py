"""Errors as they go over HTTP: one clear sentence in `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException

from edge_runtime.errors import BackendError, LittoralError, TransferError

_NONE = (
    "there is none of that name",
    "there is no such",
    "has no version",
    "no rollout",
    "repository has no",
)  # how the parts say 404


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An answer that is not what was asked for: its status and the sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, dict(headers or {})


def missing(what: str, name: object) -> Problem:
    """That there is no such thing."""
    return Problem(404, f"there is no {what} '{name!s:.80}'")


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, dict(headers or {}), media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error so."""

    async def problem(request: Request, error: Any) -> JSONResponse:
        request.state.reason = str(error)  # for the audit log
        return answer(error.status, str(error), error.headers)

    async def ours(request: Request, error: Exception) -> JSONResponse:
        request.state.reason = str(error)
        status = 502 if isinstance(error, TransferError) else 503 if isinstance(error, BackendError) else 400
        if status == 400 and any(words in str(error) for words in _NONE):
            status = 404
        return answer(status, str(error))

    async def http(request: Request, error: Any) -> JSONResponse:
        detail = str(error.detail)
        if error.status_code == 404:
            detail = f"nothing is served at {request.url.path[:80]}; see /api/v1/openapi.json"
        elif error.status_code == 405:
            detail = f"{request.method} is not for {request.url.path[:80]}"
        return answer(error.status_code, detail, error.headers)

    async def invalid(_: Request, error: Any) -> JSONResponse:
        return answer(422, _sentence(error.errors()))

    async def taken(_: Request, _error: Exception) -> JSONResponse:
        return answer(409, "the database refused it: something of that name exists")

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(LittoralError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(IntegrityError, taken)


def _sentence(errors: Any) -> str:
    """The first of the errors, with where it is; what was sent is not repeated, it may be a secret."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    text = str(first["msg"]).removeprefix("Value error, ")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"'{where:.80}': {text[:1].lower()}{text[1:200]}{more}"
