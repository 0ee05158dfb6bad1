"""An emulated phone: its screen, user agent and slower processor in Chromium, and a bundle's page in it."""

import base64
import contextlib
import functools
import http.server
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.tensors import Array
from edge_runtime.web.browser import Browser
from edge_runtime.web.export import export_web

AGENT = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0 Mobile Safari/537.36"
)
SCREEN = {"width": 412, "height": 915, "deviceScaleFactor": 2.625, "mobile": True}
SLOWER = 4.0
"""How many times slower than this machine the phone's processor is taken to be."""


@dataclass(frozen=True, slots=True)
class PhoneRun:
    """What the phone gave: outputs by name, milliseconds of loading and of each run, threads that it used."""

    outputs: dict[str, Array]
    load_ms: float
    times_ms: tuple[float, ...]
    threads: int


def run_on_phone(
    bundle: Bundle,
    inputs: Mapping[str, Array],
    *,
    rounds: int = 1,
    slower: float = SLOWER,
    screenshot: Path | None = None,
    offline: bool = True,
) -> PhoneRun:
    """Run a bundle in an emulated phone's browser.

    Args:
        bundle: what runs.
        inputs: as `Session.run` takes them.
        rounds: runs.
        slower: factor by which the processor is throttled; 1 for not at all.
        screenshot: where a picture of the page goes.
        offline: cut the network off once the page has loaded, and load it again from its own cache first.

    Raises:
        BackendError: Chromium or the engine for browsers is missing.
        EmulatorError: the browser or the page fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        export_web(bundle, Path(folder) / "site")
        with served(Path(folder) / "site") as url, Browser() as browser:
            browser.call("Emulation.setDeviceMetricsOverride", **SCREEN)
            browser.call("Emulation.setUserAgentOverride", userAgent=AGENT, platform="Linux armv8l")
            browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
            browser.call("Emulation.setCPUThrottlingRate", rate=slower)
            browser.open(url)
            browser.evaluate("window.littoral.opened.then(() => true)")
            if offline:
                browser.evaluate("navigator.serviceWorker.ready.then(() => true)")
                _disconnect(browser)
                browser.open(url + "?offline")
            result = browser.evaluate(f"window.littoral.run({json.dumps(_encoded(inputs))}, {rounds})")
            if screenshot is not None:
                browser.screenshot(screenshot)
    outputs = {name: _decoded(tensor) for name, tensor in result["outputs"].items()}
    return PhoneRun(outputs, result["loadMs"], tuple(result["times"]), result["threads"])


def _disconnect(browser: Browser) -> None:
    browser.call("Network.enable")
    browser.call(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
    )


def _encoded(inputs: Mapping[str, Array]) -> dict[str, Any]:
    return {
        name: {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
        }
        for name, array in inputs.items()
    }


def _decoded(tensor: Mapping[str, Any]) -> Array:
    content = base64.b64decode(tensor["base64"])
    return np.frombuffer(content, tensor["dtype"]).reshape(tensor["shape"])


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Static files, isolated so that the page may use threads; nothing is logged."""

    extensions_map = {  # noqa: RUF012  (as the class above declares it)
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Add what a browser asks for before it gives a page shared memory."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve a folder over HTTP, and give its address."""
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer((host, port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
