"""The cache: each blob crosses the uplink once, however many ask, and only what is whole is kept."""

import asyncio
import hashlib
import http.server
import os
import re
import threading
from collections import Counter

import pytest

from cloud.gateway import http as gateway_http
from cloud.gateway.cache import Cache, MissingError, Upstream
from edge_runtime.errors import TransferError


class Cloud:
    """A repository on a real socket that counts, and can be slow, cut short, wrong, or away."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.sent = 0
        self.cut = 0  # connections to break in the middle
        self.ranges = True
        self.gate = threading.Event()
        self.gate.set()
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                cloud.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/repository"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def blob(self, content):
        digest = hashlib.sha256(content).hexdigest()
        self.files[f"blobs/sha256/{digest[:2]}/{digest}"] = content
        return digest

    def answer(self, request):
        path = request.path.removeprefix("/repository/")
        self.asked[path] += 1
        content = self.files.get(path)
        if content is None:
            request.send_error(404)
            return
        found = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(found[1]) if found and self.ranges else 0
        if start >= len(content) and found:
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        half = len(content) - start
        if self.cut:
            self.cut -= 1
            half //= 2
        request.wfile.write(content[start : start + min(half, 1000)])
        self.gate.wait(10)
        request.wfile.write(content[start + min(half, 1000) : start + half])
        self.sent += half
        request.close_connection = True


@pytest.fixture
def cloud():
    made = Cloud()
    yield made
    made.server.shutdown()
    made.server.server_close()


def upstream(cloud):
    return Upstream(cloud.url, lambda: None)


async def whole(cache, digest, start=0, stop=None):
    size, read = await cache.blob(digest)
    return b"".join([block async for block in read(start, size if stop is None else stop)])


def test_fifty_devices_at_once_and_one_download(cloud, tmp_path):
    content = os.urandom(3_000_000)
    digest = cloud.blob(content)

    async def run():
        cache = Cache(tmp_path, upstream(cloud))
        found = await asyncio.gather(*(whole(cache, digest) for _ in range(50)))
        assert all(each == content for each in found)
        assert await whole(cache, digest, 100, 2_000_000) == content[100:2_000_000]

    asyncio.run(run())
    assert sum(cloud.asked.values()) == 1
    assert cloud.sent == len(content)


def test_the_first_bytes_are_read_while_the_last_are_on_their_way(cloud, tmp_path):
    content = os.urandom(2_000_000)
    digest = cloud.blob(content)
    cloud.gate.clear()

    async def run():
        cache = Cache(tmp_path, upstream(cloud))
        size, read = await cache.blob(digest)
        assert size == len(content)
        blocks = read(0, 1000)
        assert await anext(blocks) == content[:1000]
        assert cache.held() == (0, 0)  # it has no name before it is whole
        cloud.gate.set()
        assert await whole(cache, digest) == content

    asyncio.run(run())
    assert sum(cloud.asked.values()) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_what_broke_off_is_resumed_and_no_byte_is_wrong(cloud, tmp_path, ranges):
    content = os.urandom(2_000_000)
    digest = cloud.blob(content)
    cloud.cut, cloud.ranges = 3, ranges

    async def run():
        cache = Cache(tmp_path, upstream(cloud))
        found = await asyncio.gather(*(whole(cache, digest) for _ in range(5)))
        assert all(each == content for each in found)

    asyncio.run(run())
    if ranges:
        assert cloud.sent == len(content)


def test_a_gateway_that_was_killed_resumes(cloud, tmp_path):
    content = os.urandom(500_000)
    digest = cloud.blob(content)
    folder = tmp_path / "blobs"
    folder.mkdir()
    for kept in (content[:300_000], content, content + b"more", b""):
        (folder / f"{digest}.part").write_bytes(kept)
        (folder / digest).unlink(missing_ok=True)
        cloud.sent = 0

        async def run():
            assert await whole(Cache(tmp_path, upstream(cloud)), digest) == content

        asyncio.run(run())
        assert cloud.sent in (len(content) - len(kept), len(content))


def test_what_is_not_what_its_name_says_is_not_kept(cloud, tmp_path):
    digest = "ab" * 32
    cloud.files[f"blobs/sha256/ab/{digest}"] = b"x" * 200_000

    async def run():
        cache = Cache(tmp_path, upstream(cloud))
        await whole(cache, digest)  # whoever asked checks it too
        download = cache._open.get(digest)
        while cache._open:
            await asyncio.sleep(0.01)
        assert download is None or "is not what its name says" in str(download.error)
        assert cache.held() == (0, 0)

    asyncio.run(run())
    assert not list((tmp_path / "blobs").iterdir())


def test_what_the_cloud_has_not_is_missing_and_without_the_cloud_only_what_is_here_is(cloud, tmp_path):
    content = os.urandom(1000)
    digest, other = cloud.blob(content), cloud.blob(b"other")

    async def run():
        cache = Cache(tmp_path, upstream(cloud))
        with pytest.raises(MissingError):
            await whole(cache, "cd" * 32)
        assert await whole(cache, digest) == content
        cache.upstream.url = "http://127.0.0.1:1/repository"
        assert await whole(cache, digest) == content
        with pytest.raises(TransferError, match="cannot be reached"):
            await whole(cache, other)

    asyncio.run(run())


def test_the_disk_is_bounded_and_the_least_recently_asked_for_go(cloud, tmp_path):
    digests = [cloud.blob(os.urandom(100_000)) for _ in range(6)]

    async def run():
        cache = Cache(tmp_path, upstream(cloud), max_bytes=350_000)
        for number, digest in enumerate(digests):
            await whole(cache, digest)
            await whole(cache, digests[0])  # asked for again and again
            while cache._open:
                await asyncio.sleep(0.01)
            for path in (tmp_path / "blobs").iterdir():  # time passes
                found = path.stat()
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns - 10**9 * (10 - number)))
        assert cache.held()[1] <= 350_000

    asyncio.run(run())
    assert cloud.asked[f"blobs/sha256/{digests[0][:2]}/{digests[0]}"] == 1
    assert (tmp_path / "blobs" / digests[-1]).exists()
    assert not (tmp_path / "blobs" / digests[1]).exists()


def test_metadata_is_asked_for_once_and_the_timestamp_anew(cloud, tmp_path):
    cloud.files |= {"metadata/timestamp.json": b'{"v": 1}', "metadata/1.root.json": b'{"r": 1}'}

    async def run():
        cache = Cache(tmp_path, upstream(cloud))
        found = await asyncio.gather(*(cache.metadata("timestamp.json") for _ in range(50)))
        assert set(found) == {b'{"v": 1}'}
        for _ in range(3):
            assert await cache.metadata("1.root.json") == b'{"r": 1}'
        with pytest.raises(MissingError):
            await cache.metadata("2.root.json")
        cloud.files["metadata/timestamp.json"] = b'{"v": 2}'
        cache._fresh.clear()
        assert await cache.metadata("timestamp.json") == b'{"v": 2}'
        cloud.files["metadata/timestamp.json"] = b"<html>"
        cache._fresh.clear()
        assert await cache.metadata("timestamp.json") == b'{"v": 2}'  # what came is nothing
        cache.upstream.url = "http://127.0.0.1:1/repository"
        cache._fresh.clear()
        assert await cache.metadata("timestamp.json") == b'{"v": 2}'
        with pytest.raises(MissingError):  # so that a device takes the root that it has
            await cache.metadata("2.root.json")
        with pytest.raises(TransferError):
            await cache.metadata("7.kws.json")

    asyncio.run(run())
    assert cloud.asked["metadata/1.root.json"] == 1


def asked(application, path, method="GET", headers=(), body=b""):
    """Status, headers and body of one request to the application."""
    said = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        said.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "path": path, "method": method, "headers": raw}
    asyncio.run(application(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in said[0]["headers"]}
    return said[0]["status"], found, b"".join(each["body"] for each in said[1:])


def test_what_is_served(cloud, tmp_path):
    content = os.urandom(10_000)
    digest = cloud.blob(content)
    blob = f"/repository/blobs/sha256/{digest[:2]}/{digest}"

    async def make():
        return Cache(tmp_path, upstream(cloud))

    cache = asyncio.run(make())
    desk = gateway_http.Desk("http://127.0.0.1:1", lambda: None, dict)
    served = gateway_http.app(cache, desk, lambda: b"PEM", lambda: {"well": True})
    assert asked(served, blob)[::2] == (200, content)
    status, headers, body = asked(served, blob, headers=[("range", "bytes=5-9")])
    assert (status, body, headers["content-range"]) == (206, content[5:10], "bytes 5-9/10000")
    assert asked(served, blob, headers=[("range", "bytes=10000-")])[0] == 416
    assert asked(served, blob, headers=[("if-none-match", f'"{digest}"')])[0] == 304
    status, headers, body = asked(served, blob, "HEAD")
    assert (status, headers["content-length"], body) == (200, "10000", b"")
    assert asked(served, "/ca")[2] == b"PEM"
    assert asked(served, "/health")[2] == b'{"well": true}'
    assert asked(served, "/enrol", "POST", body=b"{}")[0] == 503
    assert asked(served, "/enrol", "POST", body=b"x" * 40_000)[0] == 413
    assert asked(served, blob, "PUT")[0] == 405
    for path in (
        "/repository/blobs/sha256/zz/" + digest,
        f"/repository/blobs/sha256/{digest[:2]}/../{digest}",
        "/repository/metadata/../../site.sqlite",
        "/repository/metadata/..json/x",
        "/etc/passwd",
        "/repository/blobs/sha256/" + digest,
    ):
        assert asked(served, path)[0] == 404
