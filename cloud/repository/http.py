"""Serving a repository by HTTP: GET and HEAD of metadata and blobs, with Range, ETag and If-None-Match (RFC 9110).

A plain ASGI application without any framework, to be mounted or run by itself. Nothing here is secret or trusted: what
may be asked for is decided by the path alone, and devices check every byte.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cloud.repository.repository import Repository
from edge_runtime.errors import TransferError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_CHUNK = 256 << 10
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_DAY = 86_400


def app(repository: Repository) -> Application:
    """The application that serves the repository below its root path."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        if scope["method"] not in ("GET", "HEAD"):
            await _plain(send, 405, b"only GET and HEAD\n", [(b"allow", b"GET, HEAD")])
            return
        try:
            size = await asyncio.to_thread(repository.size, path)
        except TransferError:
            await _plain(send, 503, b"the store cannot be reached\n", [(b"retry-after", b"10")])
            return
        if size is None:
            await _plain(send, 404, b"no such file\n")
            return
        await _file(repository, path, size, scope, send)

    return serve


async def _file(repository: Repository, path: str, size: int, scope: Scope, send: Send) -> None:
    asked = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    content, tag = b"", path.rpartition("/")[2]
    if path.endswith("timestamp.json"):  # the one file whose content changes
        content = await asyncio.to_thread(repository.read, path)
        size, tag = len(content), hashlib.sha256(content).hexdigest()
    etag = f'"{tag}"'
    fixed = not content
    headers = [
        (b"etag", etag.encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-type", b"application/json" if path.endswith(".json") else b"application/octet-stream"),
        (b"cache-control", f"public, max-age={365 * _DAY}, immutable".encode() if fixed else b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if etag in asked.get(b"if-none-match", "") or asked.get(b"if-none-match") == "*":
        await _answer(send, 304, headers, b"")
        return
    wanted = span(asked.get(b"range", ""), size) if asked.get(b"if-range", etag) == etag else None
    if wanted == (0, 0) and size:
        await _answer(send, 416, [*headers, (b"content-range", f"bytes */{size}".encode())], b"")
        return
    start, stop = wanted or (0, size)
    if wanted:
        headers.append((b"content-range", f"bytes {start}-{stop - 1}/{size}".encode()))
    headers.append((b"content-length", str(stop - start).encode()))
    await send({"type": "http.response.start", "status": 206 if wanted else 200, "headers": headers})
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body", "body": b""})
        return
    while start < stop:
        upto = min(start + _CHUNK, stop)
        body = content[start:upto] or await asyncio.to_thread(repository.read, path, start, upto)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        start = upto
    await send({"type": "http.response.body", "body": b""})


def span(text: str, size: int) -> tuple[int, int] | None:
    """The bytes of one range; None to send all, (0, 0) if there are none there.

    >>> span("bytes=2-4", 10), span("bytes=-3", 10), span("bytes=8-99", 10), span("lines=1-2", 10)
    ((2, 5), (7, 10), (8, 10), None)
    >>> span("bytes=10-", 10), span("bytes=5-4", 10)
    ((0, 0), None)
    """
    found = _RANGE.fullmatch(text.strip())
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        return (max(0, size - int(found[2])), size) if int(found[2]) else (0, 0)
    start, last = int(found[1]), int(found[2] or size)
    if last < start and found[2]:
        return None
    return (start, min(last + 1, size)) if start < size else (0, 0)


async def _plain(send: Send, status: int, body: bytes, more: list[tuple[bytes, bytes]] | None = None) -> None:
    await _answer(send, status, [(b"content-type", b"text/plain"), *(more or [])], body)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = [] if status == 304 else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
