"""A repository behind HTTP, a broker, small bundles, and a device that is enrolled with both."""

import functools
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from cloud.broker.shards import Shard, program
from cloud.repository.repository import Repository
from edge_runtime.accelerators import selftest
from edge_runtime.agent import durable
from edge_runtime.agent.credential import FOLDER, IDENTITY, ROOT
from edge_runtime.bundle import Manifest, pack
from edge_runtime.messages import Command, Desired, Reported, Result, Stats, topics
from edge_runtime.session import Session
from tests.models import build

SCORES = """<ir_version: 10, opset_import: ["" : 21]>
scores (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w> { y = MatMul(x, w) }
"""


def bundle(path, seed=0, name="kws", scale=1.0, wrong=False, broken_selftest=False):
    """A bundle of a linear model; `wrong` answers the opposite, `broken_selftest` is not what its vectors say."""
    model = build(SCORES, 0)
    weights = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
    rng = np.random.default_rng(seed)
    weights = (weights if not wrong else -weights) * scale
    if seed:
        weights = weights + rng.normal(0, 1e-4, weights.shape).astype(np.float32)
    model.graph.initializer[0].raw_data = weights.astype(np.float32).tobytes()
    graph = model.SerializeToString()
    session = Session(graph)
    test = selftest.made(session.inputs, session.run)
    content = test.to_bytes()
    if broken_selftest:
        content = selftest.SelfTest(
            test.inputs, {k: -v for k, v in test.outputs.items()}, test.lengths
        ).to_bytes()
    manifest = Manifest(name, "x86-64", session.inputs, session.outputs)
    return pack(path, manifest, {"infer.onnx": graph, selftest.FILE: content}).path


class Web:
    """A folder behind HTTP; `down` refuses, and every path is counted."""

    def __init__(self, folder):
        web = self
        self.asked, self.down = [], False

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                web.asked.append(self.path)
                if web.down:
                    self.send_error(503)
                    return
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
        )
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def repository(tmp_path):
    made = Repository.create(tmp_path / "repository", tmp_path / "keys")
    made.web = Web(tmp_path / "repository")
    yield made
    made.web.server.shutdown()
    made.web.server.server_close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def broker(folder, kind="mosquitto", port=0, files=None):
    """One shard as the cloud runs it; `files` make it speak TLS."""
    if kind == "mosquitto" and not shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin"):
        pytest.skip("mosquitto is not installed")
    port = port or free_port()
    words = program(Shard(0, "127.0.0.1", port, files), Path(folder), embedded=kind == "embedded")
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})
    try:
        for _ in range(500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


class Cloud:
    """The cloud's end of the broker, for one device: it wishes, and hears what is reported."""

    def __init__(self, url, device):
        from paho.mqtt import client as paho

        self.device, self.v = device, 0
        self.heard = []
        self._changed = threading.Condition()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, "controller", clean_session=True, protocol=paho.MQTTv311
        )
        self.client.username_pw_set("controller")
        self.client.on_message = self._message
        ready = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe(topics.up("+", "#"), 1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect("127.0.0.1", int(url.rpartition(":")[2]))
        self.client.loop_start()
        assert ready.wait(10)

    def _message(self, _client, _data, message):
        with self._changed:
            self.heard.append((topics.kind_of(message.topic), message.payload))
            self._changed.notify_all()

    def wish(self, **fields):
        self.v += 1
        self.wished = Desired(self.v, **fields)
        self.say("desired", self.wished.to_bytes())
        return self.wished

    def say(self, kind, content):
        self.client.publish(topics.down(self.device, kind), content, qos=1).wait_for_publish(5)

    def command(self, name, op, seconds=60, **arguments):
        self.say("command", Command(name, op, int(time.time() + seconds), arguments or None).to_bytes())

    def all(self, kind):
        read = {"reported": Reported.read, "result": Result.read, "stats": Stats.read}.get(kind, bytes)
        with self._changed:
            return [read(body) for each, body in self.heard if each == kind]

    def wait(self, kind, test, timeout=60):
        """The first message of the kind that passes the test."""
        ends = time.monotonic() + timeout
        while True:
            found = [each for each in self.all(kind) if test(each)]
            if found:
                return found[0]
            with self._changed:
                left = ends - time.monotonic()
                assert left > 0, [(k, b[:400]) for k, b in self.heard[-12:]]
                self._changed.wait(min(left, 0.5))

    def reaches(self, state, timeout=60):
        """The report that the newest wish has led to this state; it is sent again until it is answered."""
        ends = time.monotonic() + timeout
        while time.monotonic() < ends and not any(each.v == self.v for each in self.all("reported")):
            self.say("desired", self.wished.to_bytes())
            with suppress(AssertionError):
                self.wait("reported", lambda each: each.v == self.v, min(2, timeout))
        return self.wait("reported", lambda each: each.v == self.v and each.state == state, timeout)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def enrolled(store, device, brokers, repository):
    """A device that has gone through enrolment, without certificates: for plain brokers on the loopback."""
    home = store / FOLDER
    identity = {
        "device": device, "url": "http://127.0.0.1:1", "brokers": brokers,
        "repository": repository.web.url if repository else "http://127.0.0.1:1", "site": "", "begins": 0, "ends": 0,
    }  # fmt: skip
    durable.write(home / ROOT, repository.root if repository else b"")
    durable.write(home / IDENTITY, json.dumps(identity).encode())
    return store


@contextmanager
def running(store, **more):
    """A real agent process."""
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "agent", "--store", str(store)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path, **more},
    )  # fmt: skip
    process.lines = []

    def hear():
        process.lines.extend(iter(process.stderr.readline, ""))

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        thread.join(5)
        process.stderr.close()
