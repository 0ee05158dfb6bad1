"""What holds for every request: headers that keep a browser safe, the longest body, the log, the counts."""

import json
import logging
import secrets
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.problems import answer
from edge_runtime.serving.metrics import Histogram

MOST_BYTES = 1 << 20  # of a body, but for a bundle
MOST_BUNDLE_BYTES = 4 << 30
UPLOAD = "/api/v1/releases"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LOG = logging.getLogger("littoral.access")


class _TooLargeError(Exception):
    """The body is longer than is taken."""


class Counts:
    """Requests by route and status, and their seconds by route."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(_SECONDS))


class Guard:
    """Around the whole application.

    Args:
        app: what answers.
        counts: where to count.
        log: whether each request is written to the log, a JSON object a line; it has no query, no header and no body,
            so no secret.
        refused: told who was refused what: the actor's name, "" for nobody, the path, and how.
    """

    def __init__(
        self,
        app: ASGIApp,
        counts: Counts,
        *,
        log: bool = True,
        refused: Callable[[str, str, Mapping[str, Any]], None] = lambda _actor, _path, _detail: None,
    ) -> None:
        self._app, self._counts, self._log, self._refused = app, counts, log, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, request = time.perf_counter(), secrets.token_hex(8)
        scope.setdefault("state", {})["request"] = request
        most = MOST_BUNDLE_BYTES if scope["method"] == "POST" and scope["path"] == UPLOAD else MOST_BYTES
        status, taken = 0, 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:  # whoever reads it need not know why it ends; `protected` says so
                raise _TooLargeError
            return message

        async def protected(message: Message) -> None:
            nonlocal status
            if taken > most and not status:
                status = 413
                text = f"the body has more than the {most} bytes that are taken"
                await answer(413, text)(scope, receive, lambda each: send(_protect(each, scope, request)))
            elif taken <= most:
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(_protect(message, scope, request))

        try:
            await self._app(scope, bounded, protected)
        except _TooLargeError:
            await protected({})
        except Exception:
            LOG.exception("request %s", request)
            if status:  # the answer has begun; the connection ends
                raise
            text = f"something went wrong here; the log has it as request {request}"
            await answer(500, text)(scope, receive, protected)
        finally:
            self._count(scope, status, time.perf_counter() - began, request)
        if _denied(scope, status):
            client, state = scope.get("client") or ("",), scope["state"]
            detail = {"method": scope["method"], "status": status, "client": client[0]}
            detail |= {"reason": str(state.get("reason", ""))[:200]}
            await run_in_threadpool(self._refused, state.get("actor", ""), scope["path"][:128], detail)

    def _count(self, scope: Scope, status: int, seconds: float, request: str) -> None:
        route = getattr(scope.get("route"), "path", None) or scope["path"].split("/")[1][:16]
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = route if status != 404 or "route" in scope else "none"
        self._counts.requests[method, route, status] += 1
        if not route.endswith("/live"):
            self._counts.seconds[route].add(seconds)
        if self._log:
            client = scope.get("client") or ("",)
            line = {
                "time": round(time.time(), 3),
                "request": request,
                "client": client[0],
                "actor": scope["state"].get("actor", ""),
                "method": method,
                "path": scope["path"][:200],
                "status": status,
                "ms": round(seconds * 1000, 1),
            }
            LOG.info(json.dumps(line, ensure_ascii=True))


def _denied(scope: Scope, status: int) -> bool:
    """Whether a person should know of it: wrong credentials, no right to it, too much, or a bundle that is refused.

    That nobody has logged in yet is none of these; `Enrolments` enters by itself whom it refuses.
    """
    path = scope["path"]
    if status == 401:
        return any(name in (b"authorization", b"cookie") for name, _ in scope["headers"])
    if status == 403:
        return path not in ("/enrol", "/renew")
    return status in (413, 429) or (path == UPLOAD and 400 <= status < 500)


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _protect(message: Message, scope: Scope, request: str) -> Message:
    """The message, with the headers where it is an answer's start."""
    if message["type"] == "http.response.start":
        present = {name.lower() for name, _ in message.get("headers", ())}
        extra = HEADERS | {"x-request-id": request}
        if scope.get("scheme") == "https":
            extra["strict-transport-security"] = "max-age=31536000"
        if scope["path"].startswith("/api/"):
            extra["cache-control"] = "no-store"
        added = [
            (name.encode(), text.encode()) for name, text in extra.items() if name.encode() not in present
        ]
        message["headers"] = [*message.get("headers", ()), *added]
    return message


def log_to_stderr() -> None:
    """Let the access log go to stderr as it is, a JSON object a line."""
    if not LOG.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
        LOG.propagate = False
