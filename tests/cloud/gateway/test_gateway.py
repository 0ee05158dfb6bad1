"""A gateway on real sockets: devices below it, a cloud's broker, controller and repository above it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from cloud.broker.shards import Shard, find_mosquitto, program
from cloud.control.controller import Controller
from cloud.control.controller import Settings as Control
from cloud.database import Database, tables
from cloud.fleet import Device, Fleet
from edge_runtime.agent.link import Link
from edge_runtime.messages import Desired, Release, Reported, Stats
from tests.cloud.gateway.test_cache import Cloud

MODEL = "cd" * 32
RELEASE = Release("kws", 1, "kws/1/rpi4.bundle", MODEL, 10)


def free_port():
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def until(condition, seconds=30.0):
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.05)
    return found


class Above:
    """The cloud: a broker, the real controller on a real database, and a repository."""

    def __init__(self, folder: Path, *, embedded: bool) -> None:
        self.folder, self.embedded = folder, embedded
        self.files, self.port = Cloud(), free_port()
        self.database = Database(f"sqlite:///{folder / 'fleet.sqlite'}")
        tables.metadata.create_all(self.database.engine)
        self.fleet = Fleet(self.database)
        self.process: subprocess.Popen[bytes] | None = None
        self.stop: asyncio.Event | None = None

    def broker(self):
        command = program(Shard(0, "127.0.0.1", self.port), self.folder / "broker", embedded=self.embedded)
        self.process = subprocess.Popen(command)

    def away(self):
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    @contextlib.contextmanager
    def controller(self):
        import threading

        ready = threading.Event()

        async def run():
            self.stop, loop = asyncio.Event(), asyncio.get_running_loop()
            self.call = loop.call_soon_threadsafe
            ready.set()
            await Controller(self.database, [f"mqtt://127.0.0.1:{self.port}"], None, Control(beat_s=60)).run(
                self.stop
            )

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield
        finally:
            self.call(self.stop.set)
            thread.join(20)

    def add(self, *names):
        with self.database.begin() as connection:
            self.fleet.add(connection, [Device(name, site="hall", enrolled=1.0) for name in names])

    def wish(self, *names):
        with self.database.begin() as connection:
            return self.fleet.desire(connection, dict.fromkeys(names, Desired(0, RELEASE)))


class Below:
    """A gateway as a process of its own."""

    def __init__(self, folder: Path, above: Above, *more: str) -> None:
        home = folder / "gateway"
        credential = home / "credential"
        credential.mkdir(parents=True, exist_ok=True)
        identity = {
            "device": "hall",
            "site": "hall",
            "url": above.files.url.removesuffix("/repository"),
            "brokers": [f"mqtt://127.0.0.1:{above.port}"],
            "repository": above.files.url,
        }
        (credential / "identity.json").write_text(json.dumps(identity))
        (credential / "ca.pem").write_text("the authority")
        self.ports = (free_port(), free_port())
        self.command = [
            *(
                sys.executable,
                "-m",
                "edge_runtime",
                "gateway",
                "--home",
                str(home),
                "--json",
                "--batch",
                "0.3",
            ),
            *("--broker-port", str(self.ports[0]), "--port", str(self.ports[1]), "--no-agent", *more),
        ]
        self.boot()

    def boot(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        with self.process.stdout:  # nobody reads on
            self.told = json.loads(self.process.stdout.readline())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def health(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/health", timeout=10) as answer:
            return json.load(answer)


class Small:
    """A device: the agent's own connection, and an answer to every wish."""

    def __init__(self, name: str, broker: str) -> None:
        self.name, self.heard, self.taken = name, [], 0
        self.link = Link(name, [broker], lambda: None, on_message=self.message, on_state=lambda _here: None)
        self.link.start()

    def message(self, topic, payload):
        if topic.endswith("desired"):
            wish = Desired.read(payload)
            self.heard.append(wish)
            self.link.send(
                "reported", Reported(wish.v, "running", wish.model.sha256, target="rpi4").to_bytes()
            )

    def say(self, kind, message):
        until(lambda: self.link.send(kind, message.to_bytes(), done=self.took))

    def took(self):
        self.taken += 1


@pytest.fixture
def above(tmp_path):
    made = Above(tmp_path, embedded=True)
    made.broker()
    yield made
    if made.process:
        made.away()
    made.files.server.shutdown()
    made.files.server.server_close()


@pytest.fixture
def site(tmp_path, above):
    made = Below(tmp_path, above)
    yield made
    made.kill()


def running(above, count):
    return sum(each.model == MODEL for each in above.fleet.devices(limit=1000)) == count


@pytest.mark.slow
@pytest.mark.parametrize("embedded", [True, False])
def test_wishes_go_down_and_reports_up_and_the_site_goes_on_without_the_cloud(tmp_path, embedded):
    if not embedded and not find_mosquitto():
        pytest.skip("mosquitto is not installed")
    above = Above(tmp_path, embedded=embedded)
    above.broker()
    names = [f"d{i}" for i in range(8)]
    above.add("hall", *names)
    below = Below(tmp_path, above)
    small = []
    try:
        with above.controller():
            small = [Small(name, below.told["brokers"][0]) for name in names]
            above.wish(*names[:7])
            until(lambda: running(above, 7))
            until(lambda: above.fleet.count()["online"] == 9)
            assert all(len(each.heard) == 1 for each in small[:7])
            above.wish("d7")
            until(lambda: running(above, 8))
            above.away()  # and the site is alone
            until(lambda: not below.health()["cloud"])
            for each in small:
                each.say("stats", Stats(MODEL, 1, 2, 3))
            until(lambda: sum(each.taken for each in small) == 8)
            late = Small("d7", below.told["brokers"][0])  # it comes again: the gateway knows what it shall be
            small.append(late)
            above.broker()
            until(lambda: stats(above) == 8, 90)
            below.kill()
            for each in small[:3]:
                each.link.send("stats", Stats(MODEL, 5, 6, 7).to_bytes())
            below.boot()
            until(lambda: above.fleet.count()["online"] == 9, 60)
    finally:
        for each in small:
            each.link.stop()
        below.kill()
        above.away()
        above.files.server.shutdown()


def stats(above):
    from sqlalchemy import func, select

    with above.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(tables.stats))


@pytest.mark.slow
def test_what_a_gateway_took_before_a_kill_comes_up_after_it(above, site):
    above.add("hall", "d0")
    above.away()  # nothing can go up
    device = Small("d0", site.told["brokers"][0])
    try:
        for i in range(20):
            device.say("stats", Stats(MODEL, i, i + 1, i))
        until(lambda: device.taken >= 10)
        site.kill()
        taken = device.taken
        above.broker()
        with above.controller():
            site.boot()
            until(lambda: stats(above) >= taken, 60)
            assert taken <= stats(above) <= 20
    finally:
        device.link.stop()


@pytest.mark.slow
def test_a_gateway_with_fifty_devices_downloads_once(above, site):
    from concurrent.futures import ThreadPoolExecutor

    content = os.urandom(2_000_000)
    digest = above.files.blob(content)
    url = f"{site.told['repository']}/blobs/sha256/{digest[:2]}/{digest}"

    def fetch(_):
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            return answer.read() == content

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(fetch, range(50)))
    assert sum(above.files.asked.values()) == 1
    assert site.health()["uplink_bytes"] == len(content)
    site.kill()
    site.boot()
    assert fetch(0)
    assert sum(above.files.asked.values()) == 1  # it is kept


def test_wrong_use_is_one_sentence(tmp_path):
    from cloud.gateway import Gateway, Settings
    from edge_runtime.errors import InputError

    with pytest.raises(InputError, match="is not enrolled"):
        Gateway(tmp_path)
    folder = tmp_path / "credential"
    folder.mkdir()
    identity = {"device": "pi", "site": "hall", "url": "http://127.0.0.1:1", "brokers": [], "repository": ""}
    (folder / "identity.json").write_text(json.dumps(identity))
    with pytest.raises(InputError, match="is a device of the site 'hall'"):
        Gateway(tmp_path)
    (folder / "identity.json").write_text(json.dumps({**identity, "device": "hall"}))
    first = Gateway(tmp_path, Settings())
    with pytest.raises(InputError, match="another gateway runs in this folder"):
        Gateway(tmp_path, Settings())
    first._alone.close()
    with pytest.raises(InputError, match=r"only 127\.0\.0\.1"):
        Gateway(tmp_path, Settings(listen="0.0.0.0"))  # noqa: S104
    for bad in ({"port": -1}, {"batch_s": 0}, {"serve_port": 80, "agent": False}):
        with pytest.raises(InputError):
            Settings(**bad)
