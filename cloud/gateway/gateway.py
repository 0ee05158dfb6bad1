"""The gateway of a site: one process, one loop, which joins the site's broker, the bridge, the cache and the uplink.

::

    HOME/credential/       who it is (edge_runtime.agent.credential)
    HOME/site.sqlite       twins of its devices, and what the cloud has not got yet
    HOME/cache/            bundles and metadata
    HOME/revoked.pem       whom it lets in no more
    HOME/agent/            the store of the agent beside it, which keeps the site's own model
"""

import asyncio
import contextlib
import json
import logging
import shutil
import ssl
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from cloud.gateway import children, http
from cloud.gateway.averaging import Averaging
from cloud.gateway.bridge import Bridge
from cloud.gateway.cache import Cache, Upstream
from cloud.gateway.link import Uplink, keep
from cloud.gateway.local import LocalBroker, server_context
from cloud.gateway.revoked import Revoked
from cloud.gateway.store import Store
from edge_runtime.agent import credential, durable
from edge_runtime.errors import InputError, LittoralError, TransferError
from edge_runtime.files import write_text
from edge_runtime.messages import Desired, Reported, topics
from federated.link.broker import serve

_LOG = logging.getLogger("cloud.gateway")
_AGAIN_S = 1.0  # between looks at what devices are to be told again
_URGENT_S = 0.05  # within which what is urgent is gathered into one batch
_RENEW_S = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a gateway runs.

    Args:
        listen: the address that the broker and the HTTP server listen on.
        reach: the name or address by which devices reach it, one of those in its certificate; "" for `listen`.
        broker_port: of the broker; 0 for a free one.
        port: of the HTTP server; 0 for a free one.
        cache_bytes: of bundles that are kept.
        store_bytes: of messages that may wait for the cloud.
        batch_s: seconds for which beats and statistics are gathered.
        agent: whether an agent runs beside it, for a model of the site's own.
        serve_port: where that model answers devices that are too small, as `littoral serve`; 0 for nowhere.
        federate_port: of the broker of a federated run, while there is one.
        revoked_s: seconds between looks at the cloud's revocation list.
    """

    listen: str = "127.0.0.1"
    reach: str = ""
    broker_port: int = 8883
    port: int = 8443
    cache_bytes: int = 4 << 30
    store_bytes: int = 64 << 20
    batch_s: float = 1.0
    agent: bool = True
    serve_port: int = 0
    federate_port: int = 8884
    revoked_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("broker_port", "port", "serve_port", "federate_port"):
            if not 0 <= getattr(self, name) < 65_536:
                raise InputError(f"{name} {getattr(self, name)}: expected a port, 0 to 65535")
        if not self.federate_port:
            raise InputError("federate_port 0: devices must know it; expected 1 to 65535")
        if min(self.batch_s, self.revoked_s) <= 0 or self.cache_bytes < 1 << 20 or self.store_bytes < 1 << 16:
            raise InputError(
                "a gateway gathers for more than 0 s, and keeps at least 1 MB of bundles and 64 KB of messages"
            )
        if self.serve_port and not self.agent:
            raise InputError("the site's model is kept by the agent; a port to serve it needs one")

    @property
    def host(self) -> str:
        """Where devices reach it."""
        name = self.reach or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen, self.listen)  # noqa: S104  # nosec B104
        return f"[{name}]" if ":" in name else name


class Gateway:
    """A gateway that is enrolled.

    Args:
        home: its folder.
        settings: how it runs.

    Raises:
        InputError: it is not enrolled, or another gateway has the folder.
        BackendError: its store cannot be opened.
    """

    def __init__(self, home: Path, settings: Settings | None = None) -> None:
        self.home, self.settings = home, settings or Settings()
        self.identity = credential.load(home)
        if self.identity.site != self.identity.device:
            raise InputError(
                f"{home}: '{self.identity.device}' is a device of the site '{self.identity.site}'; "
                "a gateway is enrolled under its site's name: littoral fleet enrol NAME --site NAME"
            )
        self._alone = durable.alone(home, f"{home}: another gateway runs in this folder")
        self.tls = self.identity.url.startswith("https")
        if not self.tls and self.settings.listen not in ("127.0.0.1", "::1", "localhost"):
            raise InputError("without TLS nobody proves who they are; only 127.0.0.1 is listened on")
        self.store = Store(home / "site.sqlite", self.settings.store_bytes)
        self.averaging = Averaging(
            home, self.settings.listen, self.settings.host, self.settings.federate_port, tls=self.tls
        )
        self.bridge = Bridge(
            self.identity.device, self.store, self._tell, own=self._own, run=self.averaging.url
        )
        self.revoked = Revoked(home / "revoked.pem", self._file(credential.AUTHORITY)) if self.tls else None
        self.broker = LocalBroker(self._heard, certificates=self.tls, revoked=self.revoked or frozenset())
        self.upstream = Upstream(self.identity.repository, self._context)
        self.desk = http.Desk(self.identity.url, self._context, self.local)
        self.cache: Cache | None = None
        self.broker_port, self.port = self.settings.broker_port, self.settings.port
        self._link: Uplink | None = None
        self._wake = asyncio.Event()
        self._began = time.time()
        self.reason = "not connected yet"

    # ------------------------------------------------------------------ running
    async def run(self, stop: asyncio.Event, ready: "asyncio.Event | None" = None) -> None:
        """Serve until `stop` is set; `ready` is set when devices can come.

        Raises:
            InputError: an address is taken.
        """
        self.cache = Cache(self.home / "cache", self.upstream, self.settings.cache_bytes)
        context = self._server_context()
        listening = asyncio.Event()
        broker = asyncio.create_task(self._listen(context, listening))
        await _first(listening.wait(), broker)
        web = self._web()
        tasks = [broker, asyncio.create_task(web.serve())]
        while not web.started and not tasks[-1].done():
            await asyncio.sleep(0.01)
        if not web.started:
            broker.cancel()
            raise InputError(
                f"{self.settings.listen}:{self.settings.port} cannot be listened on; is it taken?"
            )
        self.port = web.servers[0].sockets[0].getsockname()[1]
        loops = (
            self._uplink(),
            self._upward(),
            self._downward(),
            self._renew(context, web),
            self._revoke(),
            self.averaging.run(),
            *self._children(),
        )
        tasks += [asyncio.create_task(each) for each in loops]
        if ready:
            ready.set()
        try:
            await _first(stop.wait(), *tasks)
        finally:
            web.should_exit = True
            for task in tasks[:1] + tasks[2:]:
                task.cancel()
            if self._link:
                self._link.close("the gateway ends")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
            self.store.close()
            self._alone.close()

    async def _listen(self, context: ssl.SSLContext | None, listening: asyncio.Event) -> None:
        def ready(port: int) -> None:
            self.broker_port = port
            listening.set()

        try:
            await serve(self.broker, self.settings.listen, self.settings.broker_port, context, ready)
        except OSError as error:
            where = f"{self.settings.listen}:{self.settings.broker_port}"
            raise InputError(f"{where} cannot be listened on: {error.strerror}") from error

    def _web(self) -> uvicorn.Server:
        assert self.cache is not None  # noqa: S101
        app = http.app(
            self.cache, self.desk, lambda: self._file(credential.AUTHORITY).read_bytes(), self.health
        )
        tls: dict[str, Any] = {}
        if self.tls:
            tls = {
                "ssl_certfile": str(self._file(credential.CERTIFICATE)),
                "ssl_keyfile": str(self._file(credential.KEY)),
            }
        server = uvicorn.Server(
            uvicorn.Config(
                app, host=self.settings.listen, port=self.settings.port, log_level="warning", access_log=False,
                lifespan="off", server_header=False, backlog=2048, timeout_graceful_shutdown=2, **tls,
            )
        )  # fmt: skip
        server.capture_signals = contextlib.nullcontext  # whoever runs the gateway says when it ends
        return server

    # ------------------------------------------------------------------ up and down
    def _heard(self, topic: str, payload: bytes) -> None:
        self.bridge.heard(topic, payload)
        if self.bridge.urgent:
            self._wake.set()

    def _tell(self, topic: str, payload: bytes) -> None:
        self.broker.tell(topic, payload)

    def _told(self, topic: str, payload: bytes) -> None:
        self.bridge.told(topic, payload)
        if self.bridge.urgent:
            self._wake.set()

    def _own(self, wish: Desired) -> None:
        """What the cloud wishes of the gateway itself; where no agent stands beside it, nobody else would answer."""
        self.averaging.wish(wish.federated)
        if not self.settings.agent:
            answer = Reported(wish.v, "running").to_bytes()
            self.bridge.heard(topics.up(self.identity.device, "reported"), answer)

    async def _uplink(self) -> None:
        def use(link: Uplink | None, reason: str) -> None:
            self._link, self.reason = link, reason
            if link is None:
                _LOG.warning("the cloud is away: %s", reason)

        def ready() -> None:
            _LOG.info("connected to the cloud")
            self.bridge.say_all()
            self._wake.set()

        site = self.identity.device
        await keep(lambda: self.identity.brokers, self._context, lambda: Uplink(site, self._told, ready), use)

    async def _upward(self) -> None:
        greeted: Uplink | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self.settings.batch_s)
                await asyncio.sleep(_URGENT_S)
            self._wake.clear()
            link = self._link
            if link is None or not link.served:
                continue
            try:
                if link is not greeted:
                    await link.publish(topics.site_up(self.identity.device, "state"), b"here")
                    greeted = link
                while batch := self.bridge.batch():
                    await link.publish(topics.site_up(self.identity.device, "batch"), batch.payload)
                    self.bridge.sent(batch)
            except LittoralError as error:
                _LOG.warning("nothing goes up: %s", error)

    async def _downward(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN_S)
            with contextlib.suppress(LittoralError):
                self.bridge.again()

    # ------------------------------------------------------------------ credential and children
    def _file(self, name: str) -> Path:
        return self.home / credential.FOLDER / name

    def _context(self) -> ssl.SSLContext | None:
        return credential.context(self.home) if self.tls else None

    def _server_context(self) -> ssl.SSLContext | None:
        names = (credential.CERTIFICATE, credential.KEY, credential.AUTHORITY)
        return server_context(*(str(self._file(name)) for name in names)) if self.tls else None

    async def _renew(self, context: ssl.SSLContext | None, web: uvicorn.Server) -> None:
        while True:
            if self.tls and time.time() > self.identity.renewal:
                try:
                    self.identity = await asyncio.to_thread(credential.renew, self.home)
                    files = (self._file(credential.CERTIFICATE), self._file(credential.KEY))
                    for each in (context, web.config.ssl):
                        if each is not None:
                            each.load_cert_chain(*files)  # for connections from now on
                    _LOG.info("the certificate was renewed")
                except LittoralError as error:
                    _LOG.warning("the certificate is not renewed: %s", error)
            await asyncio.sleep(_RENEW_S)

    async def _revoke(self) -> None:
        while self.revoked is not None:
            try:
                if self.revoked.take(await asyncio.to_thread(self.desk.revoked)):
                    self.broker.expel()
            except TransferError as error:
                _LOG.warning("the revocation list stays as it was: %s", error)
            await asyncio.sleep(self.settings.revoked_s)
        await asyncio.Event().wait()  # who has no certificate cannot lose it

    def local(self) -> dict[str, Any]:
        """Where a device of this site finds what it needs."""
        s = "s" if self.tls else ""
        front = f"http{s}://{self.settings.host}:{self.port}"
        broker = f"mqtt{s}://{self.settings.host}:{self.broker_port}"
        return {"brokers": [broker], "repository": f"{front}/repository"}

    def _children(self) -> list[Any]:
        if not self.settings.agent:
            return []
        store = self.home / "agent"
        self._furnish(store)
        wanted = [children.keep([sys.executable, "-m", "edge_runtime", "agent", "--store", str(store)])]
        if self.settings.serve_port:
            bundle = store / "current" / "model.bundle"
            command = ["serve", f"current={bundle}", "--host", self.settings.listen]
            command += ["--port", str(self.settings.serve_port)]
            wanted.append(children.keep([sys.executable, "-m", "edge_runtime", *command], bundle))
        return wanted

    def _furnish(self, store: Path) -> None:
        """The agent beside the gateway has the gateway's own name and certificate, and is a device of its site."""
        folder = store / credential.FOLDER
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in (credential.KEY, credential.CERTIFICATE, credential.AUTHORITY, credential.ROOT):
            if self._file(name).exists():
                shutil.copy2(self._file(name), folder / name)
        local = self.local()
        url = local["repository"].removesuffix("/repository")
        own = replace(self.identity, url=url, brokers=tuple(local["brokers"]), repository=local["repository"])
        write_text(folder / credential.IDENTITY, json.dumps(asdict(own)))

    def health(self) -> dict[str, Any]:
        """How it is, as JSON has it."""
        blobs, held = self.cache.held() if self.cache else (0, 0)
        return {
            "site": self.identity.device,
            "cloud": bool(self._link and self._link.served),
            "reason": self.reason,
            "up_s": int(time.time() - self._began),
            "devices": sorted(self.bridge.online),
            "waiting_bytes": self.store.waiting_bytes,
            "dropped": self.store.dropped,
            "refused": self.bridge.refused,
            "flooded": self.broker.flooded,
            "blobs": blobs,
            "blob_bytes": held,
            "uplink_bytes": self.upstream.bytes,
        }


async def _first(*waits: Any) -> None:
    """Return when the first is done; raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    tasks[0].cancel()
