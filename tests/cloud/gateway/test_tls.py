"""A site by TLS from first contact on: cloud, gateway and devices as processes and certificates, as people run them."""

import contextlib
import json
import socket
import ssl
import subprocess
import sys

import pytest

from cloud.database import Database
from cloud.fleet import Fleet
from cloud.home import Home
from cloud.identity import Authority, Enrolments, Reach
from cloud.settings import Settings
from edge_runtime.agent import credential
from edge_runtime.agent.link import Link
from edge_runtime.agent.trust import Trust
from edge_runtime.errors import TransferError
from edge_runtime.messages import Desired, Release, Reported, topics
from tests.cloud.conftest import Peer, free_port, wait

MODEL = "cd" * 32
RELEASE = Release("kws", 1, "kws/1/rpi4.bundle", MODEL, 10)


@pytest.fixture
def cloud(tmp_path):
    ports = free_port(), free_port()
    command = ["cloud", "up", "--home", str(tmp_path / "cloud"), "--embedded"]
    command += ["--port", str(ports[0]), "--broker-port", str(ports[1])]
    process = subprocess.Popen([sys.executable, "-m", "edge_runtime", *command], stdout=subprocess.DEVNULL)
    home = Home(tmp_path / "cloud")
    wait(lambda: answers(ports[0]) and answers(ports[1]), 90)
    yield home
    process.terminate()
    process.wait(30)


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def let_in(name, port, context):
    """Whether the broker lets a client in that comes with this TLS."""
    with contextlib.suppress(OSError):
        return Peer(name, port, context).connected.wait(3)
    return False


class Device:
    """A device of the site: its credential is real, and it answers every wish."""

    def __init__(self, store):
        self.identity = credential.load(store)
        self.link = Link(
            self.identity.device,
            self.identity.brokers,
            lambda: credential.context(store),
            on_message=self.message,
            on_state=lambda _here: None,
        )
        self.link.start()

    def message(self, topic, payload):
        if topic.endswith("desired"):
            self.link.send(
                "reported", Reported(Desired.read(payload).v, "running", MODEL, target="rpi4").to_bytes()
            )


@pytest.mark.slow
def test_a_site_by_tls_from_first_contact_on(cloud, tmp_path):
    database, settings = Database(Settings.load(cloud).database_url(cloud)), Settings.load(cloud)
    fleet = Fleet(database)
    enrolments = Enrolments(database, Authority(cloud.ca), Reach(settings.url))
    ports = free_port(), free_port()
    string = enrolments.token("hall", site="hall", hosts=["127.0.0.1"])
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "edge_runtime", "gateway", "--home", str(tmp_path / "hall")),
            *("--enrol", string, "--broker-port", str(ports[0]), "--port", str(ports[1])),
            *("--no-agent", "--json", "--batch", "0.3"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    small = None
    try:
        told = json.loads(process.stdout.readline())
        here = f"https://127.0.0.1:{ports[1]}"
        for name in ("pi-1", "pi-2"):
            store = tmp_path / name
            given = enrolments.token(name, site="hall").replace(settings.url, here)
            identity = credential.enrol(store, given)
            assert list(identity.brokers) == told["brokers"]
            assert identity.repository == f"{here}/repository"
        small = Device(tmp_path / "pi-1")
        with database.begin() as connection:
            fleet.desire(connection, {"pi-1": Desired(0, RELEASE)})
        wait(lambda: fleet.device("pi-1").model == MODEL, 60)

        # what is not its own, it neither reads nor writes
        context = credential.context(tmp_path / "pi-2")
        spy = Peer("pi-2", ports[0], context, wanted=[topics.down("pi-1", "desired"), "#"])
        spy.connected.wait(10)
        spy.say(topics.up("pi-1", "reported"), Reported(9, "failed", MODEL).to_bytes())
        with database.begin() as connection:
            fleet.desire(connection, {"pi-1": Desired(0, RELEASE)})
        wait(lambda: fleet.device("pi-1").reported_v == 2, 30)
        assert spy.got == []
        assert fleet.twin("pi-1").state == "running"
        spy.leave()

        # who has no certificate of the authority is not let in
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        assert not let_in("pi-1", ports[0], blind)

        # the repository is read through, and so are renewal and first contact
        root = (tmp_path / "pi-1" / "credential" / "root.json").read_bytes()
        trust = Trust(
            tmp_path / "trust", f"{here}/repository", root, context=credential.context(tmp_path / "pi-1")
        )
        trust.refresh()
        second = enrolments.token("pi-3", site="hall").replace(settings.url, here)
        assert credential.renew(tmp_path / "pi-1").device == "pi-1"
        with pytest.raises(TransferError):
            credential.enrol(tmp_path / "pi-4", second.replace("#", "#x", 1))  # not the token
        assert credential.enrol(tmp_path / "pi-3", second).device == "pi-3"

        # who is retired is put out of the site, too, and stays out
        context = credential.context(tmp_path / "pi-2")
        there = Peer("pi-2", ports[0], context).ready()
        fleet.retire("pi-2")
        assert there.closed.wait(60)
        assert not let_in("pi-2", ports[0], context)
    finally:
        if small:
            small.link.stop()
        process.kill()
        process.wait()
        process.stdout.close()
