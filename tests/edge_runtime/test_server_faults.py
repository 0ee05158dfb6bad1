"""A server under what clients and devices do to it: nonsense by the ten thousand, no memory left; and what it holds."""

import asyncio
import gc
import itertools
import json
import random
import socket
import subprocess
import sys
import time
import weakref
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from converter.model import save
from edge_runtime import Session
from edge_runtime.serving import app as served
from edge_runtime.serving.batcher import Batcher
from edge_runtime.serving.models import Limits
from tests.edge_runtime.test_serving import request_binary
from tests.models import cnn, images

BODIES = 10_000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(cnn(), tmp_path_factory.mktemp("served") / "cnn.onnx")


@asynccontextmanager
async def started(model):
    """The application without a network; gives call(body, headers) -> status, body."""
    app = served.App([(model, "cnn", "")], Limits(threads=1))
    messages, said = asyncio.Queue(), asyncio.Queue()
    messages.put_nowait({"type": "lifespan.startup"})
    task = asyncio.create_task(app({"type": "lifespan"}, messages.get, said.put))
    assert (await said.get())["type"] == "lifespan.startup.complete"

    async def call(body, headers, parts=1):
        edges = [len(body) * k // parts for k in range(parts + 1)]
        chunks = [
            {"type": "http.request", "body": body[a:b], "more_body": b < len(body)}
            for a, b in itertools.pairwise(edges)
        ]
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        path = "/v2/models/cnn/infer"
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": pairs}
        answers = []

        async def receive():
            return chunks.pop(0)

        async def send(message):
            answers.append(message)

        await app(scope, receive, send)
        return answers[0]["status"], answers[1]["body"]

    yield call
    messages.put_nowait({"type": "lifespan.shutdown"})
    await task


def damaged(good, lot):
    """A body that was cut short, overwritten, doubled or is noise."""
    kind = lot.randrange(4)
    if kind == 0:
        return good[: lot.randrange(len(good))]
    if kind == 1:
        return lot.randbytes(lot.randrange(200))
    changed = bytearray(good if kind == 2 else good + good)
    for _ in range(lot.randrange(1, 9)):
        changed[lot.randrange(min(len(changed), 200))] = lot.randrange(256)
    return bytes(changed)


def test_ten_thousand_malformed_bodies_get_a_sentence_each_and_the_server_goes_on(model):
    lot = random.Random(5)
    x = images(2)
    good, headers = request_binary(x)
    head = int(headers["Inference-Header-Content-Length"])
    wanted = Session(model).run({"images": x})["logits"]

    async def scenario():
        async with started(model) as call:
            seen = {}
            for _ in range(BODIES):
                length = lot.choice(
                    [str(head), "0", str(10**9), str(lot.randrange(300)), "-1", "ten", "\xb2"]
                )
                body = damaged(good, lot)
                status, said = await call(body, {"Inference-Header-Content-Length": length})
                seen[status] = seen.get(status, 0) + 1
                if status != 200:
                    sentence = json.loads(said)["error"]
                    assert 0 < len(sentence) < 600
            last = await call(good, headers)
            return seen, last

    seen, (status, body) = asyncio.run(scenario())
    assert set(seen) <= {200, 400}
    assert seen[400] > 0.9 * BODIES
    assert status == 200
    assert wanted.tobytes() in body


def test_a_body_in_parts_is_the_same_body(model):
    good, headers = request_binary(images(2))

    async def scenario():
        async with started(model) as call:
            return [await call(good, headers, parts) for parts in (1, 2, 7)]

    answers = asyncio.run(scenario())
    assert answers[0][0] == 200
    assert answers[1:] == answers[:1] * 2


def test_a_request_leaves_nothing_behind_that_only_the_collector_finds():
    session = Session(cnn().SerializeToString(), threads=1)

    async def scenario():
        batcher = Batcher(session)
        x = images(1)
        gone = weakref.ref(x)
        await batcher.run({"images": x})
        del x
        for _ in range(3):
            await asyncio.sleep(0.01)  # the event loop lets go of what it called
        await batcher.run({"images": images(1)})  # and the thread of what it ran last
        return gone() is None

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(scenario())
    finally:
        gc.enable()


def test_an_idle_server_gives_back_memory_once_and_a_busy_one_none(model, monkeypatch):
    given = []
    monkeypatch.setattr(served, "give_back", lambda: given.append(time.monotonic()))
    monkeypatch.setattr(served, "_REST_S", 0.3)
    good, headers = request_binary(images(1))

    async def scenario():
        async with started(model) as call:
            for _ in range(8):
                await call(good, headers)
                await asyncio.sleep(0.06)
            busy, last = len(given), time.monotonic()
            await asyncio.sleep(0.8)
            return busy, last

    busy, last = asyncio.run(scenario())
    assert busy == 0
    assert len(given) == 1
    assert given[0] > last


@contextmanager
def process(*options):
    """`littoral serve` in a process of its own, on a Unix socket; gives ask(bytes) -> the answer's bytes."""
    place = Path(options[-1])
    command = [sys.executable, "-m", "edge_runtime", "serve", *options[:-1], "--socket", str(place)]
    server = subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE)

    def ask(message):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(place))
            client.sendall(message)
            found = b""
            while part := client.recv(1 << 16):
                found += part
            return found

    try:
        for _ in range(600):
            if place.exists() or server.poll() is not None:
                break
            time.sleep(0.05)
        yield server, ask
    finally:
        server.terminate()
        server.communicate(timeout=20)


def post(body, headers):
    lines = [
        "POST /v2/models/m/infer HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_a_request_beyond_the_memory_limit_fails_and_the_next_is_answered(model, tmp_path):
    with process(f"m={model}", "--memory", "1", "--max-batch", "8000", str(tmp_path / "s")) as (server, ask):
        answer = ask(post(*request_binary(np.zeros((5000, 3, 8, 8), np.float32))))
        assert answer.startswith(b"HTTP/1.1 500")
        assert "Available memory" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert ask(post(*request_binary(images(2)))).startswith(b"HTTP/1.1 200")
        for nonsense in (b"\0" * 100, b"GET\r\n\r\n", b"POST /v2 HTTP/9.9\r\n\r\n", b"\xff\xfe" * 5000):
            assert not ask(nonsense).startswith(b"HTTP/1.1 2")
        assert ask(post(*request_binary(images(2)))).startswith(b"HTTP/1.1 200")
        assert server.poll() is None


def test_a_model_beyond_the_memory_limit_is_refused_in_a_sentence(model, tmp_path):
    command = [sys.executable, "-m", "edge_runtime", "serve", str(model), "--memory", "0.001"]
    done = subprocess.run(
        [*command, "--socket", str(tmp_path / "s")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "do not fit" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_does_not_hold_what_only_other_commands_need(tmp_path):
    code = """if True:
        import sys
        from edge_runtime import __main__
        sys.argv = ["littoral", "serve", "nothing.onnx"]
        assert __main__.main() == 2
        import edge_runtime.serving.app, edge_runtime.serving.models
        print(*sorted(sys.modules))"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    loaded = set(done.stdout.split())
    unwanted = ("edge_runtime.trainer", "edge_runtime.emulator", "edge_runtime.processing", "numpy.random")
    assert not {name for name in loaded if name.startswith(unwanted)}
    assert "importlib.metadata" not in loaded
