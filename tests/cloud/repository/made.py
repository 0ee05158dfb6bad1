"""Bundles, and a web server that can be made to do wrong, for tests of the repository and of what fetches from it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from edge_runtime.bundle import Manifest, pack
from edge_runtime.tensors import TensorSpec
from edge_runtime.training.arrays import write_parameters

SIDE = 256


def weights(seed):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
    step = np.random.default_rng(seed).normal(size=(SIDE, SIDE)) if seed else 0
    return (base + 1e-3 * step).astype(np.float32)


def bundle(path, seed=0, *, name="kws", target="rpi4", **more):
    """A bundle whose weights are a small step from those of another seed."""
    x, y = TensorSpec("x", "float32", (1, SIDE)), TensorSpec("y", "float32", (1, SIDE))
    files = {"params.npz": write_parameters({"w": weights(seed), "b": np.ones(SIDE, np.float32)}), **more}
    return pack(path, Manifest(name, target, (x,), (y,), metrics={"accuracy": 0.93, "n": 10}), files)


class Site:
    """What a server answers with, by path, and how it fails.

    Args:
        read: the content of a path; None if there is none.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self.read = read
        self.instead: dict[str, bytes] = {}
        self.breaks: Iterator[int] | None = None  # bytes of a body after which the line breaks
        self.ranges = True
        self.endless = False
        self.status = 0
        self.sent = 0
        self.asked: list[str] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_):
        pass

    def do_GET(self):
        site, path = self.site, self.path.lstrip("/")
        site.asked.append(path)
        content = site.instead.get(path) or site.read(path)
        if site.status or content is None:
            self.send_response(site.status or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, stop = 0, len(content)
        asked = self.headers.get("Range")
        if asked and site.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, len(content))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        else:
            self.send_response(200)
        if site.endless:
            self.endless(content)
            return
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        body = content[start:stop]
        cut = next(site.breaks, len(body)) if site.breaks else len(body)
        site.sent += len(body[:cut])  # before, for whoever has read it all looks at once
        self.wfile.write(body[:cut])
        self.close_connection = cut < len(body)

    def endless(self, content):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"%x\r\n" % len(content) + content + b"\r\n"
        try:
            while self.site.sent < 50_000_000:
                self.wfile.write(chunk)
                self.site.sent += len(content)
        except OSError:
            pass
        self.close_connection = True


@contextmanager
def serving(read: Callable[[str], bytes | None]) -> Iterator[Site]:
    site = Site(read)
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that goes away is what some tests are about
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def reader(repository) -> Callable[[str], bytes | None]:
    return lambda path: repository.read(path) if repository.size(path) is not None else None
