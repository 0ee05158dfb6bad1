"""Chromium without a window, driven over the DevTools protocol through a pipe: no port, no further package.

https://chromedevtools.github.io/devtools-protocol. Messages are JSON, each ended by a zero byte; the browser reads
file descriptor 3 and writes to 4.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_runtime.errors import BackendError, EmulatorError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
)


class Browser:
    """One page. As a context manager it ends the browser that it started."""

    def __init__(self, timeout: float = 120.0) -> None:
        """Start the browser and open an empty page.

        Raises:
            BackendError: there is no Chromium.
            EmulatorError: it does not start.
        """
        found = next((path for name in _NAMES if (path := shutil.which(name))), None)
        if found is None:
            raise BackendError("an emulated phone needs Chromium: apt-get install chromium")
        self._timeout = timeout
        self._home = tempfile.TemporaryDirectory(prefix="littoral-phone-", ignore_cleanup_errors=True)
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
        command = [found, *_QUIET, *sandbox, "--remote-debugging-pipe", f"--user-data-dir={self._home.name}"]
        # Above the two numbers that Chromium looks at, so that neither end is written over before it is moved.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]

        def place() -> None:
            for number, end in zip((3, 4), ends, strict=True):
                os.dup2(end, number)

        self._process = subprocess.Popen(
            command, preexec_fn=place, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in ends:
            os.close(end)
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, ""
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.close(self._write)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._home.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result.

        Raises:
            EmulatorError: the browser refuses, dies, or does not answer in time.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        try:
            self._send(json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise EmulatorError(f"the browser ended before {method}") from error
        until = time.monotonic() + self._timeout
        while True:
            answer = self._next(until, method)
            if answer.get("id") != self._number:
                continue  # an event
            if "error" in answer:
                raise EmulatorError(f"the browser refused {method}: {answer['error'].get('message')}")
            result: dict[str, Any] = answer["result"]
            return result

    def _send(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._write, view) :]

    def _next(self, until: float, method: str) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise EmulatorError(f"the browser did not answer {method} within {self._timeout:.0f} s")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise EmulatorError(f"the browser ended during {method}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for.

        Raises:
            EmulatorError: it throws.
        """
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in result:
            thrown = result["exceptionDetails"].get("exception", {}).get("description", "an exception")
            raise EmulatorError(f"in the page: {str(thrown).splitlines()[0]}")
        return result["result"].get("value")

    def open(self, url: str) -> None:
        """Load a page and wait until it has run.

        Raises:
            EmulatorError: it cannot be loaded.
        """
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise EmulatorError(f"{url}: {failed}")
        until = time.monotonic() + self._timeout
        while self.evaluate("document.readyState + ':' + location.href") != f"complete:{url}":
            if time.monotonic() > until:
                raise EmulatorError(f"{url}: not loaded within {self._timeout:.0f} s")
            time.sleep(0.02)

    def screenshot(self, path: Path) -> None:
        """Write what the page shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
