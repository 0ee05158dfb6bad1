"""What a site's devices ask of their gateway by HTTP: the repository's files, first contact, and how the gateway is.

A plain ASGI application. ``/enrol``, ``/renew`` are passed on to the cloud; in the answer, the gateway stands in the
place of the cloud's brokers and repository, so that a device which enrols through it stays behind it.
"""

import asyncio
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from cloud.gateway.cache import DIGEST, METADATA, Cache, MissingError
from cloud.repository.http import Application, Receive, Scope, Send, span
from edge_runtime.errors import TransferError

_BODY_BYTES = 32 << 10
_ANSWER_BYTES = 16 << 20  # a revocation list has 40 bytes for each certificate
_YEAR = b"public, max-age=31536000, immutable"


class Desk:
    """Passes first contact and renewal on to the cloud.

    Args:
        url: of the cloud.
        context: gives TLS, anew for each connection.
        instead: gives what the answer says in place of the cloud's own: brokers and repository.
    """

    def __init__(
        self,
        url: str,
        context: Callable[[], ssl.SSLContext | None],
        instead: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._url, self._context, self._instead = url, context, instead

    def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the cloud's answer to a device's request; in a thread."""
        try:
            status, content = self._exchange("POST", path, body)
            if status == 200:
                content = json.dumps({**json.loads(content), **self._instead()}).encode()
        except (OSError, ValueError, http.client.HTTPException):
            return 503, b'{"detail": "the cloud cannot be reached; try again later"}'
        return status, content

    def revoked(self) -> bytes:
        """The authority's revocation list as the cloud has it now, PEM; in a thread.

        Raises:
            TransferError: it cannot be had.
        """
        try:
            status, content = self._exchange("GET", "/crl")
        except (OSError, http.client.HTTPException) as error:
            raise TransferError(f"{self._url}/crl: {error}") from error
        if status != 200:
            raise TransferError(f"{self._url}/crl: refused with {status}")
        return content

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        made = (
            http.client.HTTPSConnection(host, parts.port, timeout=30, context=self._context())
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=30)
        )
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            made.request(method, parts.path.rstrip("/") + path, body, headers)
            answer = made.getresponse()
            return answer.status, answer.read(_ANSWER_BYTES)
        finally:
            made.close()


def app(
    cache: Cache, desk: Desk, authority: Callable[[], bytes], health: Callable[[], Mapping[str, Any]]
) -> Application:
    """The application.

    Args:
        cache: the repository's files.
        desk: first contact.
        authority: the authority's certificate, PEM.
        health: how the gateway is, as JSON has it.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if method == "POST" and path in ("/enrol", "/renew"):
            body = await _body(receive)
            status, content = (413, b"") if body is None else await asyncio.to_thread(desk.ask, path, body)
            await _answer(send, status, b"application/json", content)
        elif method not in ("GET", "HEAD"):
            await _answer(send, 405, b"text/plain", b"only GET and HEAD\n", (b"allow", b"GET, HEAD"))
        elif path == "/ca":
            await _answer(send, 200, b"application/x-pem-file", authority(), head=method == "HEAD")
        elif path == "/health":
            await _answer(
                send, 200, b"application/json", json.dumps(health()).encode(), head=method == "HEAD"
            )
        else:
            await _file(cache, path, scope, send)

    return serve


async def _file(cache: Cache, path: str, scope: Scope, send: Send) -> None:
    parts = path.strip("/").split("/")
    blob = parts[-1] if parts[:-2] == ["repository", "blobs", "sha256"] else ""
    try:
        if DIGEST.fullmatch(blob) and parts[-2] == blob[:2]:
            size, read = await cache.blob(blob)
            await _send(scope, send, blob, size, read, _YEAR)
        elif parts[:-1] == ["repository", "metadata"] and METADATA.fullmatch(parts[-1]):
            content = await cache.metadata(parts[-1])
            await _answer(send, 200, b"application/json", content, head=scope["method"] == "HEAD")
        else:
            raise MissingError(path)
    except MissingError:
        await _answer(send, 404, b"text/plain", b"no such file\n")
    except TransferError:
        await _answer(send, 503, b"text/plain", b"the cloud cannot be reached\n", (b"retry-after", b"10"))


async def _send(
    scope: Scope,
    send: Send,
    tag: str,
    size: int,
    read: Callable[[int, int], AsyncIterator[bytes]],
    kept: bytes,
) -> None:
    asked = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    etag = f'"{tag}"'
    headers = [
        (b"etag", etag.encode()),
        (b"accept-ranges", b"bytes"),
        (b"content-type", b"application/octet-stream"),
        (b"cache-control", kept),
    ]
    if etag in asked.get(b"if-none-match", ""):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    part = span(asked.get(b"range", ""), size)
    if part == (0, 0) and size:
        await _answer(send, 416, b"text/plain", b"", (b"content-range", f"bytes */{size}".encode()))
        return
    start, stop = part or (0, size)
    if part:
        headers.append((b"content-range", f"bytes {start}-{stop - 1}/{size}".encode()))
    headers.append((b"content-length", str(stop - start).encode()))
    blocks = read(start, stop)
    # the first bytes are waited for before it is said that there are any
    first = b"" if scope["method"] == "HEAD" else await anext(blocks, b"")
    await send({"type": "http.response.start", "status": 206 if part else 200, "headers": headers})
    if scope["method"] != "HEAD":
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for block in blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes | None:
    content = b""
    while True:
        message = await receive()
        content += bytes(message.get("body", b""))
        if len(content) > _BODY_BYTES:
            return None
        if not message.get("more_body"):
            return content


async def _answer(
    send: Send, status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes], head: bool = False
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
