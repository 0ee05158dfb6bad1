"""The controller between a real broker and a real database: messages in, wishes out, and what fails on the way."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
import sqlalchemy as sa

from cloud.audit import Audit
from cloud.control import controller as module
from cloud.control.controller import Controller, Settings
from cloud.database import Database, tables
from cloud.fleet import Device, Fleet
from cloud.home import Home
from cloud.settings import Settings as CloudSettings
from edge_runtime.messages import Beat, Command, Desired, Release, Reported, Result, Stats, topics
from edge_runtime.messages.telemetry import batch
from tests.cloud.conftest import Peer, free_port, shard, wait

pytestmark = pytest.mark.slow
SHA = "ab" * 32
RELEASE = Release("kws", 3, "kws/3/rpi4.bundle", SHA, 1000)


@contextlib.contextmanager
def controlled(database, *urls, **settings):
    """A controller in a thread."""
    one = Controller(database, urls, None, Settings(**settings))
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(one.run(stop)))
    thread.start()
    try:
        wait(lambda: len(one._links) == len(urls))
        yield one
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


class Simulated(Peer):
    """A device that does what it is told, and remembers how often."""

    def __init__(self, name, port, **options):
        super().__init__(
            name, port, will=(topics.up(name, "state"), b"gone"),
            wanted=[topics.down(name, "desired"), topics.down(name, "command"), topics.ALL], **options,
        )  # fmt: skip
        self.v, self.done, self.effects, self.mute = 0, {}, Counter(), False
        self.client.on_message = self._told
        self.ready()
        self.client.publish(topics.up(name, "state"), b"here", 1)

    def report(self):
        self.client.publish(topics.up(self.name, "reported"), Reported(self.v, "running", SHA).to_bytes(), 1)

    def _told(self, client, _data, message):
        kind = topics.kind_of(message.topic)
        if self.mute:
            return
        if message.topic == topics.ALL:
            client.publish(topics.up(self.name, "state"), b"here", 1)
            self.report()
        elif kind == "desired":
            wish = Desired.read(message.payload)
            if wish.v > self.v:
                self.v = wish.v
                self.effects[wish.v] += 1
            self.report()
        else:
            command = Command.read(message.payload)
            if command.id not in self.done:
                self.effects[command.op] += 1
                self.done[command.id] = Result(command.id, "done", command.op)
            client.publish(topics.up(self.name, "result"), self.done[command.id].to_bytes(), 1)


@pytest.fixture
def fleet(database):
    found = Fleet(database)
    devices = [Device(f"pi-{i}", enrolled=1.0) for i in range(5)]
    devices += [Device("home", "home", enrolled=1.0), Device("pi-9", "home", enrolled=1.0)]
    with database.begin() as connection:
        found.add(connection, devices)
    return found


@pytest.fixture
def broker(tmp_path):
    with shard(tmp_path / "broker") as (port, _):
        yield port


@pytest.fixture
def cloud(database, fleet, broker):
    with controlled(database, f"mqtt://127.0.0.1:{broker}") as found:
        yield found


def desire(fleet, *names, **fields):
    with fleet.database.begin() as connection:
        return fleet.desire(connection, {name: Desired(1, RELEASE, **fields) for name in names})


def test_a_device_comes_lives_and_goes(cloud, fleet, broker):
    device = Simulated("pi-1", broker)
    wait(lambda: fleet.device("pi-1").online)
    beat = Beat(int(time.time()), 5, "mains", temperature_c=51.5)
    device.say(topics.up("pi-1", "beat"), beat.to_bytes(), 0)
    wait(lambda: fleet.device("pi-1").beat == beat)
    assert time.time() - fleet.device("pi-1").seen < 5
    device.vanish()
    wait(lambda: not fleet.device("pi-1").online)


def test_wishes_and_reports(cloud, fleet, broker):
    device = Simulated("pi-1", broker)
    wait(lambda: fleet.device("pi-1").online)
    desire(fleet, "pi-1", rollout="r1")
    twin = wait(lambda: (found := fleet.twin("pi-1")).reported_v == 1 and found)
    assert (twin.state, twin.model, twin.reported) == ("running", SHA, Reported(1, "running", SHA))
    assert twin.sent_at >= twin.desired_at
    assert device.effects == {1: 1}


def test_a_wish_waits_for_who_is_away(cloud, fleet, broker):
    desire(fleet, "pi-1", "pi-2")
    wait(lambda: fleet.twin("pi-1").sent_at)
    device = Simulated("pi-1", broker)
    wait(lambda: fleet.twin("pi-1").reported_v == 1)
    assert device.effects == {1: 1}
    assert fleet.twin("pi-2").reported_v == 0


def test_a_wish_is_sent_again_and_has_one_effect(cloud, fleet, broker, monkeypatch):
    monkeypatch.setattr("cloud.control.outbox._FIRST_S", 0.2)
    device = Simulated("pi-1", broker)
    device.mute = True
    desire(fleet, "pi-1")
    time.sleep(1)
    device.mute = False
    wait(lambda: fleet.twin("pi-1").reported_v == 1)
    assert device.effects == {1: 1}


def test_commands(cloud, fleet, broker):
    Simulated("pi-1", broker)
    (done,) = fleet.command("pi-1", "probe")
    (late,) = fleet.command("pi-2", "probe", seconds=0)
    found = wait(lambda: (one := fleet.commands("pi-1")[0]).status != "pending" and one)
    assert (found.id, found.status, found.text) == (done, "done", "probe")
    wait(lambda: fleet.commands("pi-2")[0].status == "expired", 25)
    assert fleet.commands("pi-2")[0].id == late


def test_a_result_for_anothers_command_changes_nothing(cloud, fleet, broker):
    (key,) = fleet.command("pi-1", "probe")
    thief = Simulated("pi-2", broker)
    thief.say(topics.up("pi-2", "result"), Result(key, "done", "forged").to_bytes())
    thief.say(topics.up("pi-2", "reported"), Reported(0, "running", SHA).to_bytes())
    wait(lambda: fleet.twin("pi-2").reported_at)
    assert fleet.commands("pi-1")[0].status == "pending"


def test_stats_and_a_site(cloud, fleet, broker, database):
    site = Peer("home", broker, wanted=["littoral/v1/s/home/down/#"]).ready()
    stats = Stats(SHA, 1, 2, 30, labelled=10, correct=9)
    said = [
        ("pi-9", "state", b"here"),
        ("pi-9", "stats", stats.to_bytes()),
        ("pi-1", "beat", Beat(1, 1).to_bytes()),
    ]
    site.say(topics.site_up("home", "batch"), batch(said))
    wait(lambda: fleet.device("pi-9").online)
    assert not fleet.device("pi-1").online
    with database.read() as connection:
        (row,) = connection.execute(sa.select(tables.stats)).mappings()
    assert (row["device"], Stats.read(row["stats"])) == ("pi-9", stats)
    desire(fleet, "pi-9")
    assert site.until(1)[0][0] == topics.through("home", "pi-9", "desired")
    wait(lambda: [each for each in Audit(database).page() if each.action == "message-refused"])


def test_a_device_that_is_enrolled_later(cloud, fleet, broker, database):
    with database.begin() as connection:
        fleet.add(connection, [Device("new", enrolled=1.0)])
    desire(fleet, "new")
    device = Simulated("new", broker)
    wait(lambda: fleet.twin("new").reported_v == 1)
    assert device.effects == {1: 1}


def test_a_retired_device_is_heard_no_more(cloud, fleet, broker, database):
    device = Simulated("pi-1", broker)
    wait(lambda: fleet.device("pi-1").online)
    fleet.retire("pi-1")
    wait(lambda: not cloud._known["pi-1"].enrolled)
    device.say(topics.up("pi-1", "reported"), Reported(9, "running", SHA).to_bytes())
    wait(lambda: cloud._inbox.refused["reported"])
    wait(lambda: Audit(database).latest(1)[0].action == "message-refused")
    assert fleet.twin("pi-1").reported_v == 0
    assert not fleet.device("pi-1").online


def test_hostile_devices_disturb_nobody(cloud, fleet, broker, database):
    hostile, honest = Simulated("pi-1", broker), Simulated("pi-2", broker)
    for payload in (
        b"\xff" * 60_000,
        b'{"v":1,"state":"running","capabilities":{"x":NaN}}',
        b"[" * 50_000,
        b"",
    ):
        for kind in (*topics.UP, "x"):
            hostile.say(topics.up("pi-1", kind), payload)
    odd = '\\ud800 \\u0000 "'
    hostile.say(
        topics.up("pi-1", "reported"), json.dumps({"v": 0, "state": "failed", "error": "\ud800\0"}).encode()
    )
    (key,) = fleet.command("pi-1", "logs")
    hostile.say(
        topics.up("pi-1", "result"),
        b'{"id":"%s","status":"done","text":"%s"}' % (key.encode(), odd[:-1].encode()),
    )
    desire(fleet, "pi-2")
    wait(lambda: fleet.twin("pi-2").reported_v == 1)
    wait(lambda: fleet.commands("pi-1")[0].status == "done")
    assert honest.effects == {1: 1}
    assert sum(cloud._inbox.refused.values()) >= 20
    assert cloud._counts["rows_refused"] == 0
    assert Audit(database).verify()[1] is None


def test_a_row_that_the_database_does_not_take_costs_no_other(cloud, fleet, broker, database):
    """Whatever slips through the checks: here a device's name that is longer than the column, in PostgreSQL."""
    cloud._inbox.buffers.targets["pi-1"] = "x" * 100
    device = Simulated("pi-2", broker)
    device.say(topics.up("pi-2", "beat"), Beat(1, 7).to_bytes())
    wait(lambda: fleet.device("pi-2").beat)
    assert cloud._counts["rows_refused"] == (0 if database.sqlite else 1)


def test_the_broker_is_killed(database, fleet, tmp_path):
    port = free_port()
    url = f"mqtt://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(shard(tmp_path / "b", port=port))
        cloud = stack.enter_context(controlled(database, url))
        Simulated("pi-1", port)
        wait(lambda: fleet.device("pi-1").online)
        first[1].kill()
        wait(lambda: not cloud._links)
        desire(fleet, "pi-1")
        stack.enter_context(shard(tmp_path / "b", port=port))
        again = Simulated("pi-1", port)  # as an agent does by itself
        wait(lambda: fleet.twin("pi-1").reported_v == 1)
        assert again.effects == {1: 1}


def test_a_broker_that_stays_away_is_an_alert(database, fleet, broker, monkeypatch):
    monkeypatch.setattr(module, "_LOST_S", 0.2)
    away = free_port()
    one = Controller(database, [f"mqtt://127.0.0.1:{away}"])
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(one.run(stop)))
    thread.start()

    def opened():
        with database.read() as connection:
            return connection.execute(sa.select(tables.alerts.c.subject, tables.alerts.c.ended)).all()

    assert wait(opened) == [("broker/0", None)]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


def test_a_locked_database_loses_nothing(sqlite, tmp_path, broker):
    fleet = Fleet(sqlite)
    with sqlite.begin() as connection:
        fleet.add(connection, [Device(f"pi-{i}", enrolled=1.0) for i in range(3)])

    @sa.event.listens_for(sqlite.engine, "connect")
    def hurry(connection, _record):
        connection.execute("PRAGMA busy_timeout=100")

    sqlite.engine.dispose()
    with controlled(sqlite, f"mqtt://127.0.0.1:{broker}") as cloud:
        device = Simulated("pi-1", broker)
        wait(lambda: fleet.device("pi-1").online)
        holder = sqlite3.connect(sqlite.url.database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        device.say(topics.up("pi-1", "stats"), Stats(SHA, 1, 2, 3).to_bytes())
        device.say(topics.up("pi-1", "reported"), Reported(0, "failed", SHA).to_bytes())
        wait(lambda: cloud._counts["failures"])
        assert fleet.twin("pi-1").reported is None
        holder.execute("ROLLBACK")
        holder.close()
        wait(lambda: fleet.twin("pi-1").state == "failed")
        with sqlite.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(tables.stats)) == 1


def test_a_full_disk_loses_nothing(sqlite, broker):
    fleet = Fleet(sqlite)
    with sqlite.begin() as connection:
        fleet.add(connection, [Device("pi-1", enrolled=1.0)])
    limit = {"pages": 1 << 30}

    @sa.event.listens_for(sqlite.engine, "begin")
    def shrink(connection):
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit['pages']}")

    with controlled(sqlite, f"mqtt://127.0.0.1:{broker}") as cloud:
        device = Simulated("pi-1", broker)
        wait(lambda: fleet.device("pi-1").online)
        limit["pages"] = 1  # at its present size, that is
        for i in range(300):
            device.client.publish(topics.up("pi-1", "stats"), Stats(SHA, i, i + 1, 3).to_bytes(), 1)
        wait(lambda: cloud._counts["failures"])
        limit["pages"] = 1 << 30

        def written():
            with sqlite.read() as connection:
                return connection.scalar(sa.select(sa.func.count()).select_from(tables.stats)) == 300

        wait(written)


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_kill_9_of_the_controller_while_a_fleet_reports(where, tmp_path, broker, request):
    """Nothing that matters is lost, and nothing happens twice."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    url = request.getfixturevalue("postgres")() if where == "postgresql" else ""
    settings = CloudSettings(tls=False, brokers=(f"mqtt://127.0.0.1:{broker}",), database=url)
    settings.save(home)
    database = Database(settings.database_url(home))
    database.migrate()
    fleet = Fleet(database)
    names = [f"pi-{i}" for i in range(12)]
    with database.begin() as connection:
        fleet.add(connection, [Device(name, enrolled=1.0) for name in names])
    command = [sys.executable, "-m", "cloud.control", "--home", str(home.root), "--no-rollouts"]

    def begin():
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    process = begin()
    devices = [Simulated(name, broker) for name in names]
    try:
        for turn in range(3):
            desire(fleet, *names)
            ids = fleet.command(names, f"op-{turn}")
            time.sleep(0.5 + 0.4 * turn)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process = begin()
            del ids
        wait(lambda: all(twin.reported_v == 3 for twin in fleet.twins()), 40)
        wait(lambda: all(each.status == "done" for name in names for each in fleet.commands(name)), 60)
        for device in devices:
            assert all(count == 1 for count in device.effects.values()), device.effects
            assert device.effects[3] == 1
    finally:
        process.terminate()
        process.wait(10)
        database.close()
