"""The console in a real browser, on a server of its own over a believable fleet."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from cloud.api import create_app
from cloud.database import Database
from cloud.home import Home
from cloud.identity import Authority
from edge_runtime.bundle import Manifest, pack
from edge_runtime.tensors import TensorSpec
from tests.cloud.seed import Shelf, fill

CHROMIUM = next(
    (
        p
        for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
        if Path(p).exists()
    ),
    "",
)
PAGES = ("overview", "fleet", "fleet?view=map", "device/hamburg-port-00", "device/singapore-hub-03", "rollouts",
         "rollout/keywords-3", "rollout/shelf-vision-4", "rollout/keywords-3-night", "rollout-new", "library", "runs",
         "alerts", "alerts?all=1", "audit", "settings", "no-such-page")  # fmt: skip


def picture() -> bytes:
    """A small PNG: one grey pixel."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0\x90"))
        + chunk(b"IEND", b"")
    )


class Site:
    """A server: its address and the tokens by role."""

    def __init__(self, url, tokens, services):
        self.url, self.tokens, self.services = url, tokens, services


@pytest.fixture(scope="session")
def make_site(tmp_path_factory):
    """Start servers, each with a fleet of its own; they end with the session."""
    servers = []

    def make():
        root, now = tmp_path_factory.mktemp("console"), time.time()
        Authority.create(root / "ca")
        home = Home(root)
        database = Database(home.database_url)
        database.migrate()
        tokens = fill(database, now)
        spec = (TensorSpec("x", "float32", ("n", 4)),)
        files = {
            "infer.onnx": b"graph",
            "frontier.png": picture(),
            "report.html": b"<html lang=en><title>r</title><p>r</p></html>",
        }
        pack(
            root / "m.bundle", Manifest("keywords", "rpi4", spec, spec, recipe=({"name": "quantize"},)), files
        )
        shelf = Shelf(now, (root / "m.bundle").read_bytes())
        app = create_app(home, database, log=False, repository=shelf, url="https://cloud.test:8443")
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return Site(f"http://127.0.0.1:{listening.getsockname()[1]}", tokens, app.state.services)

    yield make
    for server, thread in servers:
        server.should_exit = True
        thread.join(5)


@pytest.fixture(scope="session")
def site(make_site):
    """One that tests only read from."""
    return make_site()


@pytest.fixture(scope="module")  # its event loop must not outlive the module: others run their own
def browser():
    """Chromium; where there is none the tests are left out, but not in CI."""
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as found:
        started = found.chromium.launch(executable_path=CHROMIUM or None, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """A page, with what went wrong on it and every address that it asked for."""

    def __init__(self, context, url):
        self.page = context.new_page()
        self.url, self.wrong, self.asked = url, [], []
        self.page.set_default_timeout(10_000)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on(
            "response", lambda r: self.wrong.append(f"{r.status} {r.url}") if r.status >= 500 else None
        )

    def _said(self, message):
        if message.type == "error" and "status of 4" not in message.text:
            self.wrong.append(message.text)

    def enter(self, token):
        """Sign in."""
        self.page.goto(f"{self.url}/console/")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Overview", level=1).wait_for()
        return self

    def show(self, where):
        """Go to a page of the console, and wait until it stands."""
        self.page.goto(f"{self.url}/console/#/{where}")
        self.settle()
        return self.page

    def settle(self):
        """Wait until nothing is loaded any more."""
        self.page.wait_for_timeout(60)
        self.page.wait_for_selector("main:not([aria-busy])")
        self.page.wait_for_selector("main [aria-busy]", state="detached")
        self.page.wait_for_timeout(150)

    def check(self):
        """Nothing went wrong, and nothing was asked of anybody else."""
        assert not self.wrong, self.wrong
        others = [url for url in self.asked if not url.startswith((self.url, "data:", "blob:"))]
        assert not others, others


@pytest.fixture
def open_page(browser, site):
    """Open the console signed in: open_page(role, width=…, scheme=…, on=site)."""
    contexts = []

    def make(role="admin", *, width=1280, scheme="light", on=None):
        height = 820 if width > 600 else 720
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        where = on or site
        return Watched(context, where.url).enter(where.tokens[role])

    yield make
    for context in contexts:
        context.close()
