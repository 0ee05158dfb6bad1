"""The cloud as it is started: its folder, its processes, its commands."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

from cloud.database import Database
from cloud.fleet import Device, Fleet
from cloud.home import Home
from cloud.identity import Authority, Enrolments
from cloud.settings import Settings
from cloud.up import Supervisor, initialise, running
from edge_runtime.__main__ import main
from edge_runtime.errors import InputError
from edge_runtime.messages import topics
from tests.cloud.conftest import Peer, free_port, wait


def littoral(capsys, *arguments):
    """What a command prints, as JSON, an object a line; it must succeed."""
    assert main([*map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def opened(url):
    """The answer of our own server."""
    return urllib.request.urlopen(url, timeout=5)  # noqa: S310


def ports():
    """A free port, and two free ones in a row."""
    while True:
        first = free_port()
        if first < 65_000:
            return free_port(), first


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path / "cloud")
    initialise(found, Settings(tls=False))
    return found


def test_settings_come_back(tmp_path):
    home = Home(tmp_path)
    chosen = Settings("fleet.example.org", "0.0.0.0", 443, shards=3, brokers=("mqtts://a:1",), beat_s=30)  # noqa: S104
    chosen.save(home)
    assert Settings.load(home) == chosen


def test_where_things_are():
    chosen = Settings("fleet.example.org", "0.0.0.0", shards=2)  # noqa: S104
    assert chosen.url == "https://fleet.example.org:8443"
    assert chosen.broker_urls == ("mqtts://fleet.example.org:8883", "mqtts://fleet.example.org:8884")
    assert chosen.own_broker_urls == ("mqtts://127.0.0.1:8883", "mqtts://127.0.0.1:8884")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prot": 1}, "did you mean 'port'"),
        ({"port": "x"}, "expected int"),
        ({"port": 0}, "expected a port"),
        ({"shards": 0}, "expected 1 to 64"),
        ({"tls": False, "listen": "0.0.0.0"}, "without TLS"),  # noqa: S104
    ],
)
def test_settings_that_cannot_be(given, says):
    with pytest.raises(InputError, match=says):
        Settings.of(given, "cloud.json")


def test_a_folder_is_made_once_and_kept(tmp_path):
    home = Home(tmp_path / "cloud")
    token = initialise(home, Settings(tls=False))
    assert token
    before = (home.ca / "ca.pem").read_bytes()
    assert initialise(home, Settings(tls=False, port=9000)) is None
    assert (home.ca / "ca.pem").read_bytes() == before
    assert Settings.load(home).port == 9000
    assert home.root.stat().st_mode & 0o77 == 0


def test_the_fleets_commands(home, capsys):
    where = ("--home", home.root)
    database = Database(home.database_url)
    with database.begin() as connection:
        Fleet(database).add(connection, [Device(f"pi-{i}", target="rpi4", enrolled=1.0) for i in range(3)])
    assert [each["name"] for each in littoral(capsys, "fleet", "list", "name!=pi-0", *where)] == [
        "pi-1",
        "pi-2",
    ]
    (said,) = littoral(capsys, "fleet", "label", "pi-1", "room=hall", "floor=2", *where)
    assert said["labels"] == {"room": "hall", "floor": "2"}
    assert littoral(capsys, "fleet", "label", "pi-1", "floor=", *where)[0]["labels"] == {"room": "hall"}
    (said,) = littoral(capsys, "fleet", "group", "halls", "room=hall", *where)
    assert (said["group"], said["devices"]) == ("halls", 1)
    (said,) = littoral(capsys, "fleet", "command", "probe", "group=halls", *where)
    assert (said["device"], said["status"]) == ("pi-1", "pending")
    (said,) = littoral(capsys, "fleet", "show", "pi-1", *where)
    assert said["commands"][0]["command"]["op"] == "probe"
    (said,) = littoral(capsys, "fleet", "enrol", "pi-9", "--label", "room=hall", *where)
    assert said["enrol"].startswith("http://127.0.0.1:8443/#")
    assert littoral(capsys, "fleet", "retire", "pi-2", *where)[0]["status"] == "retired"
    (said,) = littoral(capsys, "fleet", "watch", "--times", "1", *where)
    assert (said["total"], said["status"]) == (3, {"enrolled": 2, "retired": 1})
    (said,) = littoral(capsys, "cloud", "status", *where)
    assert (said["devices"]["total"], said["processes"]) == (3, {})


@pytest.mark.parametrize("command", ["list", "show pi-1", "group", "watch --times 1", "label pi-1 room=hall"])
def test_the_commands_for_people(home, capsys, command):
    database = Database(home.database_url)
    with database.begin() as connection:
        Fleet(database).add(connection, [Device("pi-1", labels={"room": "hall"}, enrolled=1.0)])
    Fleet(database).save_group("pi-1", "room=hall")
    assert main(["fleet", *command.split(), "--home", str(home.root)]) == 0
    assert "1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        "",
        "show nobody",
        "label pi-1 room",
        "command probe name=x",
        "command probe all --arguments [",
        "group g",
    ],
)
def test_bad_use_is_one_sentence(home, capsys, command):
    assert main(["fleet", *command.split(), *(("--home", str(home.root)) if command else ())]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("littoral: ")
    assert "Traceback" not in said.err


def test_no_cloud_here(tmp_path, capsys):
    assert main(["fleet", "list", "--home", str(tmp_path)]) == 2
    assert "cloud init" in capsys.readouterr().err


@pytest.mark.slow
def test_a_retired_device_is_locked_out_by_itself(tmp_path, pki):
    home, (port, broker) = Home(tmp_path / "cloud"), ports()
    settings = Settings(port=port, broker_port=broker)
    initialise(home, settings)
    supervisor = Supervisor(home, settings, serving=False)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        database = Database(home.database_url)
        enrolments = Enrolments(database, Authority(home.ca))
        string = enrolments.token("pi-1")
        context = pki.enrolled("pi-1", lambda csr: enrolments.redeem(string.split("#")[1], csr))
        fleet = Fleet(database)
        peer = wait(lambda: joined("pi-1", broker, context), 30)
        wait(
            lambda: [
                peer.client.publish(topics.up("pi-1", "state"), b"here", 1),
                fleet.device("pi-1").online,
            ][1]
        )
        peer.leave()
        fleet.retire("pi-1")
        wait(lambda: joined("pi-1", broker, context) is None)
        wait(lambda: not fleet.device("pi-1").online)
    finally:
        supervisor.stop.set()
        thread.join(40)


def joined(name, port, context):
    """The client, if the broker lets it in."""
    try:
        peer = Peer(name, port, context)
    except OSError:
        return None
    if peer.connected.wait(1) and not peer.closed.wait(0.3):
        return peer
    peer.leave()
    return None


@pytest.mark.slow
def test_everything_starts_what_dies_is_started_again_and_all_ends(tmp_path):
    home = Home(tmp_path / "cloud")
    port, broker = ports()
    command = [
        sys.executable, "-m", "edge_runtime", "cloud", "up", "--home", home.root, "--http", "--json",
        "--port", port, "--broker-port", broker,
    ]  # fmt: skip

    def begin():
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=log)

    process = begin()
    try:
        said = json.loads(process.stdout.readline())
        assert said["token"]

        def well():
            with (
                contextlib.suppress(OSError),
                opened(f"{said['url']}/healthz") as answer,
            ):
                return answer.status == 200
            return False

        wait(well, 60)
        first = running(home)
        assert set(first) == {"api", "broker-0", "controller"}
        with opened(f"{said['url']}/ca") as answer:
            assert answer.read() == (home.ca / "ca.pem").read_bytes()
        assert main(["cloud", "up", "--home", str(home.root)]) == 2  # it runs already
        os.kill(first["controller"], signal.SIGKILL)
        wait(lambda: running(home).get("controller", first["controller"]) != first["controller"], 30)
        assert running(home)["api"] == first["api"]
        process.kill()  # what it started goes on, until it is started again
        process.wait()
        assert "controller" in running(home)
        process = begin()
        assert json.loads(process.stdout.readline())["token"] is None
        wait(lambda: running(home).get("api", first["api"]) != first["api"], 30)
        wait(well, 60)
    finally:
        process.terminate()
        assert process.wait(40) == 0
    assert running(home) == {}
