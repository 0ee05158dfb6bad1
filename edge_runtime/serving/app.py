"""The server as an ASGI application: health, metadata, inference, answers in words, models, metrics."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError, LittoralError
from edge_runtime.serving import protocol
from edge_runtime.serving.batcher import BusyError
from edge_runtime.serving.metrics import Metrics
from edge_runtime.serving.models import Limits, Models, Served
from edge_runtime.training.heap import give_back

if TYPE_CHECKING:
    from edge_runtime.processing.results import Result

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, Mapping[str, str]]

_JSON = {"content-type": "application/json"}
_VERSION = "2"
_REST_S = 1.0  # without a request, after which freed memory goes back to the system


class _RefusedError(Exception):
    """An answer that is not 200: its status and the sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class App:
    """``uvicorn.run(App(models))``. Every answer to a bad request is JSON with one sentence, ``{"error": …}``."""

    def __init__(
        self,
        sources: Sequence[tuple[Any, str, str]],
        limits: Limits,
        *,
        watch: float = 0,
        max_body: int = 1 << 26,
    ) -> None:
        """Prepare; the models are loaded when the server starts.

        Args:
            sources: path (or `agent.live.Live`), name and version of each model; an empty name takes the bundle's.
            limits: what each model may take.
            watch: seconds between two looks at the files for changes; 0 for none.
            max_body: bytes of a request at most.
        """
        self.metrics = Metrics()
        self.models = Models(limits, lambda name, version, rows: self.metrics.rows[name, version].add(rows))
        self._sources, self._watch, self._max_body = sources, watch, max_body
        self._watcher: asyncio.Task[None] | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._asked = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or start and stop."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            for path, name, version in self._sources:
                await self.models.load(path, name, version)
        except LittoralError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        if self._watch:
            self._watcher = asyncio.create_task(self._look())
        self._rest_later()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for each in (self._watcher, self._resting):
            if each:
                each.cancel()
        await asyncio.gather(*(served.batcher.close() for served in self.models))
        await send({"type": "lifespan.shutdown.complete"})

    async def _look(self) -> None:
        """Swap models whose files have changed."""
        said: list[str] = []
        while True:
            await asyncio.sleep(self._watch)
            before = {id(served) for served in self.models}
            failed = await self.models.refresh()
            self.metrics.swaps += len({id(served) for served in self.models} - before)
            for line in failed:
                if line not in said:
                    sys.stderr.write(f"littoral: {line}\n")
            said = failed

    def _rest_later(self) -> None:
        """Note a request. When none follows for a while, memory that was freed is returned to the system."""
        loop = asyncio.get_running_loop()
        self._asked = loop.time()
        if self._resting is None:
            self._resting = loop.call_later(_REST_S, self._rest)

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._asked + _REST_S - loop.time()
        self._resting = loop.call_later(left, self._rest) if left > _REST_S / 100 else None
        if self._resting is None:
            give_back()  # the C library keeps what bodies took; a busy server needs it again

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, body, headers = await self._answer(scope, receive)
        except _RefusedError as refused:
            status, body, headers = refused.status, _error(str(refused)), _JSON
        except BusyError as error:
            status, body, headers = 503, _error(str(error)), {**_JSON, "retry-after": "1"}
        except InputError as error:
            status, body, headers = 400, _error(str(error)), _JSON
        except LittoralError as error:
            status, body, headers = 500, _error(str(error)), _JSON
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        pairs.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})
        self._rest_later()

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        parts = [unquote(part) for part in scope["raw_path"].decode("latin-1").split("?")[0].split("/")[1:]]
        method = scope["method"]
        if parts == ["metrics"] and method == "GET":
            return (
                200,
                self.metrics.text(self._waiting).encode(),
                {"content-type": "text/plain; version=0.0.4"},
            )
        match parts[:1], parts[1:]:
            case ["v2"], [] | [""]:
                return _reply({"name": "littoral", "version": _VERSION, "extensions": ["binary_tensor_data"]})
            case ["v2"], ["health", "live" | "ready" as which]:
                return _reply({which: True})
            case ["v2"], ["repository", "index"]:
                return _reply([self._entry(served) for served in self.models])
            case ["v2"], ["repository", "models", name, "load" | "unload" as what] if method == "POST":
                return await self._change(name, what)
            case ["v2"], ["models", name, *rest]:
                version = ""
                if len(rest) >= 2 and rest[0] == "versions":
                    version, rest = rest[1], rest[2:]
                return await self._model(method, self._find(name, version), rest, scope, receive)
        raise _RefusedError(404, f"nothing is served at {scope['path'][:80]}; see /v2")

    def _find(self, name: str, version: str = "") -> Served:
        try:
            return self.models.get(name, version)
        except InputError as error:
            raise _RefusedError(404, str(error)) from error

    async def _model(
        self, method: str, served: Served, rest: Sequence[str], scope: Scope, receive: Receive
    ) -> Answer:
        match method, list(rest):
            case "GET", [] | [""]:
                return _reply(self._metadata(served))
            case "GET", ["ready"]:
                return _reply({"name": served.name, "ready": True})
            case "POST", ["infer"]:
                return await self._infer(served, scope, receive)
            case "POST", ["predict"]:
                return await self._predict(served, receive)
        raise _RefusedError(
            405,
            f"{method} {scope['path'][:80]}: expected GET of a model, or POST of .../infer or .../predict",
        )

    async def _infer(self, served: Served, scope: Scope, receive: Receive) -> Answer:
        with self._counted(served):
            length = next(
                (value.decode("latin-1") for name, value in scope["headers"] if name == _LENGTH), None
            )
            request = protocol.parse(await self._body(receive), length)
            # Looked up again after the body has arrived: a model that was swapped meanwhile takes no new request.
            served = self._find(served.name, served.version)
            outputs = await served.batcher.run(request.inputs)
            body, head = protocol.answer(request, served.name, served.version, outputs)
        if head is None:
            return 200, body, _JSON
        return 200, body, {"content-type": "application/octet-stream", protocol.HEADER_LENGTH: str(head)}

    async def _predict(self, served: Served, receive: Receive) -> Answer:
        """The answer, in words, to a body that is a picture or a .wav file."""
        with self._counted(served):
            body = await self._body(receive)
            result = await self._words(self._find(served.name, served.version), body)
        about = {"model_name": served.name, "model_version": served.version, "words": result.words()}
        return _reply(about | result.to_json())

    async def _words(self, served: Served, body: bytes) -> "Result":
        from edge_runtime.processing.pipeline import (
            Pipeline,
            advance,
        )  # here, for what it imports stays in memory

        while True:
            (steps,) = Pipeline(served.batcher.session).steps(body)
            # What is not the model's work runs on a thread of its own, so that the server goes on meanwhile.
            feed, result = await asyncio.to_thread(advance, steps)
            now = self._find(served.name, served.version)
            while feed is not None and now is served:
                outputs = await served.batcher.run(feed)
                feed, result = await asyncio.to_thread(advance, steps, outputs)
                now = self._find(served.name, served.version)
            if result is not None:
                return result
            served = now  # swapped meanwhile: the new one begins from the beginning

    @contextlib.contextmanager
    def _counted(self, served: Served) -> Iterator[None]:
        """Count a request and its time, with the status that its end will have."""
        began, code = time.perf_counter(), 500
        try:
            yield
            code = 200
        except (InputError, _RefusedError):
            code = 400
            raise
        except BusyError:
            code = 503
            raise
        finally:
            self.metrics.requests[served.name, served.version, code] += 1
            self.metrics.seconds[served.name, served.version].add(time.perf_counter() - began)

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return self._bounded(body)
        whole = BytesIO()  # grows in place: parts that are joined would be in memory twice
        whole.write(self._bounded(body))
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(400, "the connection ended before the body did")
            whole.write(message.get("body", b""))
            if whole.tell() > self._max_body:
                raise self._too_large()
        return whole.getvalue()

    def _bounded(self, body: bytes) -> bytes:
        if len(body) > self._max_body:
            raise self._too_large()
        return body

    def _too_large(self) -> _RefusedError:
        return _RefusedError(413, f"the body has more than the {self._max_body} bytes that this server takes")

    async def _change(self, name: str, what: str) -> Answer:
        """Load a model again from its own file, or take it out of service."""
        served = self._find(name)
        if what == "unload":
            self.models.unload(name)
            return _reply({"name": name, "unloaded": True})
        fresh = await self.models.load(served.source, served.name, served.version)
        self.metrics.swaps += 1
        return _reply(self._entry(fresh))

    def _metadata(self, served: Served) -> dict[str, Any]:
        session = served.batcher.session
        versions = [other.version for other in self.models if other.name == served.name]
        return {
            "name": served.name,
            "versions": versions,
            "platform": "onnxruntime_onnx",
            "inputs": protocol.metadata(session.inputs),
            "outputs": protocol.metadata(session.outputs),
            **_parameters(session.bundle),
        }

    def _entry(self, served: Served) -> dict[str, Any]:
        return {"name": served.name, "version": served.version, "state": "READY"}

    def _waiting(self) -> dict[tuple[str, str], int]:
        return {(served.name, served.version): served.batcher.waiting for served in self.models}


_LENGTH = protocol.HEADER_LENGTH.encode()


def _parameters(bundle: Bundle | None) -> dict[str, Any]:
    """What a bundle declares beyond its tensors: names of classes, and what becomes of pictures, sounds and outputs."""
    if bundle is None:
        return {}
    ends = {"preprocess": bundle.manifest.preprocess, "postprocess": bundle.manifest.postprocess}
    found: dict[str, Any] = {name: each.to_json() for name, each in ends.items() if each is not None}
    if bundle.manifest.labels:
        found["labels"] = list(bundle.manifest.labels)
    return {"parameters": found} if found else {}


def _reply(value: object) -> Answer:
    return 200, json.dumps(value).encode(), _JSON


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()
