"""What attacks leave behind: whoever is refused something is entered in the audit log, wherever the refusal was.

That each attack is refused is tested where it is met: metadata and bundles in `repository/test_attacks.py`, topics in
`broker/test_shards.py`, tokens and certificates in `identity/` and `api/`, messages in `control/test_inbox.py`.
"""

import contextlib
import io
import json
import ssl
import threading
import time
import zipfile

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.api import create_app
from cloud.api.access import Tokens
from cloud.api.middleware import MOST_BYTES
from cloud.audit import Audit
from cloud.broker.shards import find_mosquitto
from cloud.broker.watch import Watch
from cloud.control.inbox import Inbox
from cloud.control.store import Store
from cloud.database import Database
from cloud.fleet import Device, Fleet
from cloud.home import Home
from cloud.identity import Authority
from cloud.repository import Repository
from cloud.settings import Settings
from cloud.up import Supervisor, initialise
from edge_runtime.agent.fetch import fetch
from edge_runtime.agent.trust import Trust
from edge_runtime.errors import FleetError, TransferError
from edge_runtime.messages import Reported, topics
from edge_runtime.messages.telemetry import batch
from tests.cloud.conftest import Peer, wait
from tests.cloud.repository.made import bundle, reader, serving
from tests.cloud.test_up import ports


def entries(database, action):
    """What the audit log says of this kind, and that the log is whole."""
    assert Audit(database).verify()[1] is None
    return [each for each in Audit(database).page(0, 10_000) if each.action == action]


# ---------------------------------------------------------------------------------------- what devices say
class Nobody:
    """An outbox that nobody listens to."""

    def here(self, device):
        pass

    answered = here

    def resulted(self, device, command):
        pass


class Controller:
    """The controller's way in: messages, and what they leave in the database."""

    def __init__(self, database):
        self.store = Store(database)
        self.inbox = Inbox(self.store.begin()[0], Nobody())

    def hear(self, topic, payload):
        self.inbox.take(0, [(topic, payload)])
        held = self.inbox.ask()
        self.inbox.lookup(held, self.store.lookup(sorted({each.sender for each in held})))
        buffers, self.inbox.buffers = self.inbox.buffers, type(self.inbox.buffers)()
        assert self.store.flush(buffers, []) == 0


@pytest.fixture
def fleet(database):
    with database.begin() as connection:
        devices = [Device("pi-1", "hall"), Device("pi-2", "yard"), Device("hall", "hall"), Device("pi-3")]
        Fleet(database).add(connection, devices)
    return Fleet(database)


HOSTILE = {
    "no JSON": b"\xff\xfe{",
    "deep": b"[" * 50_000,
    "another type": b"[]",
    "NaN": b'{"v":NaN}',
    "a number without end": b'{"v":' + b"9" * 5000 + b"}",
    "a path for a model": json.dumps({"v": 1, "state": "running", "model": "../../etc/passwd"}).encode(),
    "an endless text": json.dumps({"v": 1, "state": "running", "error": "x" * 100_000}).encode(),
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("kind", ["reported", "beat", "stats", "result", "state"])
def test_a_hostile_message_is_entered_under_its_sender(sqlite, payload, kind):
    with sqlite.begin() as connection:
        Fleet(sqlite).add(connection, [Device("pi-3")])
    Controller(sqlite).hear(topics.up("pi-3", kind), payload)
    (entry,) = entries(sqlite, "message-refused")
    assert (entry.actor, entry.subject, entry.detail["kind"]) == ("controller", "pi-3", kind)


def test_who_speaks_for_another_is_entered(database, fleet):
    controller = Controller(database)
    body = Reported(1, "running").to_bytes()
    controller.hear(
        topics.site_up("hall", "batch"), batch([("pi-1", "reported", body), ("pi-2", "reported", body)])
    )
    controller.hear(topics.up("stranger", "reported"), body)
    controller.hear(topics.site_up("pi-3", "batch"), batch([("pi-1", "reported", body)]))
    fleet.retire("pi-3")
    later = Controller(database)
    later.hear(topics.up("pi-3", "reported"), body)
    said = [(each.subject, each.detail["reason"]) for each in entries(database, "message-refused")]
    assert said == [
        ("hall", "'pi-2' is no device of this site"),
        ("stranger", "the device is not enrolled"),
        ("pi-3", "'pi-1' is no device of this site"),
        ("pi-3", "the device is not enrolled"),
    ]
    assert [fleet.twin(name).reported_v for name in ("pi-1", "pi-2", "pi-3")] == [1, 0, 0]


def test_a_flood_is_counted_where_it_is_not_written(sqlite):
    with sqlite.begin() as connection:
        Fleet(sqlite).add(connection, [Device("pi-3")])
    controller = Controller(sqlite)
    controller.inbox._log._rate = 0.0  # as if all of it came in one moment
    for _ in range(500):
        controller.hear(topics.up("pi-3", "reported"), b"{")
    assert len(entries(sqlite, "message-refused")) == 20
    assert controller.inbox.refused["reported"] == 500
    controller.inbox._log._rate = 1e9
    controller.hear(topics.up("pi-3", "reported"), b"{")
    assert entries(sqlite, "message-refused")[-1].detail["not_written_before"] == 480


# ---------------------------------------------------------------------------------------- what devices refuse
def forged(made, tmp_path):
    """Another repository's files under this one's address."""
    other = Repository.create(tmp_path / "other", tmp_path / "other-keys")
    other.publish(bundle(tmp_path / "evil.bundle", 1).path)
    return reader(other)


def altered(made, _tmp_path):
    """One bit of the bundle is another."""
    read = reader(made)

    def give(path):
        content = read(path)
        return content[:-1] + bytes([content[-1] ^ 1]) if path.startswith("blobs/") else content

    return give


@pytest.mark.parametrize(
    ("attack", "states", "says"),
    [(forged, ["failed"], "not signed by a key"), (altered, ["fetching", "failed"], "not what is signed")],
)
def test_what_a_device_refuses_reaches_the_audit_log_once(tmp_path, database, fleet, attack, states, says):
    made = Repository.create(tmp_path / "repository", tmp_path / "keys")
    release = made.publish(bundle(tmp_path / "a.bundle").path)
    with serving(attack(made, tmp_path)) as site, pytest.raises((FleetError, TransferError)) as refusal:
        fetch(
            Trust(tmp_path / "trust", site.url, made.root).release(release.path),
            {},
            tmp_path / "in",
            sleep=print,
        )
    error = f"the bundle could not be fetched: {refusal.value}"
    assert says in error
    controller = Controller(database)
    for state in (*states, *states, states[-1]):
        controller.hear(topics.up("pi-3", "reported"), Reported(4, state, error=error).to_bytes())
    again = Controller(database)  # it was killed, and asks everybody
    again.hear(topics.up("pi-3", "reported"), Reported(4, "failed", error=error).to_bytes())
    found = entries(database, "update-error")
    assert [(each.subject, each.detail["kind"]) for each in found] == [("pi-3", state) for state in states]
    assert all(each.detail["reason"] == error[:200] for each in found)
    again.hear(topics.up("pi-3", "reported"), Reported(5, "reverted", error=error).to_bytes())
    assert len(entries(database, "update-error")) == len(found) + 1


# ---------------------------------------------------------------------------------------- the API
@pytest.fixture
def api(tmp_path):
    """The application over an empty cloud, and tokens by role."""
    home = Home(tmp_path / "cloud")
    home.root.mkdir()
    Authority.create(home.ca)
    database = Database(home.database_url)
    database.migrate()
    Repository.create(home.repository, home.keys)
    with database.begin() as connection:
        tokens = {
            role: Tokens(database).create(connection, role, role) for role in ("viewer", "operator", "admin")
        }
        tokens["old"] = Tokens(database).create(connection, "old", "admin", days=-1)
    app = create_app(home, database, log=False, url="https://cloud.test:8443")

    def call(role, method, path, **more):
        headers = {"authorization": f"Bearer {tokens[role]}"} if role else {}
        return TestClient(app, headers=headers, client=("192.0.2.7", 5000)).request(method, path, **more)

    return database, tokens, call


def test_a_stolen_token_that_was_taken_back_is_entered(api):
    database, tokens, call = api
    assert call("operator", "GET", "/api/v1/me").status_code == 200
    with database.begin() as connection:
        Tokens(database).delete(connection, "operator")
    assert call("operator", "GET", "/api/v1/me").status_code == 401
    (entry,) = entries(database, "request-refused")
    assert (entry.actor, entry.subject, entry.detail["status"]) == ("unknown", "/api/v1/me", 401)
    assert entry.detail["client"] == "192.0.2.7"
    assert tokens["operator"] not in json.dumps(entry.to_json())


def test_what_the_api_refuses_is_entered(api):
    database, _, call = api
    assert call("", "GET", "/api/v1/me").status_code == 401  # nobody has logged in: no attack
    assert entries(database, "request-refused") == []
    assert call("old", "GET", "/api/v1/me").status_code == 401
    assert call("viewer", "POST", "/api/v1/tokens", json={"name": "x", "role": "admin"}).status_code == 403
    assert call("", "GET", "/api/v1/me", cookies={"littoral_session": "a.9999999999.b.c"}).status_code == 401
    assert call("", "POST", "/enrol", content=b"{" + b" " * MOST_BYTES + b"}").status_code == 413
    found = entries(database, "request-refused")
    assert [(each.actor, each.detail["status"]) for each in found] == [
        ("unknown", 401), ("viewer", 403), ("unknown", 401), ("unknown", 413),
    ]  # fmt: skip
    assert "needs admin" in found[1].detail["reason"]


def test_guesses_are_entered_until_they_have_to_wait(api):
    database, _, call = api
    codes = [
        call("", "GET", "/api/v1/me", headers={"authorization": f"Bearer {k}"}).status_code for k in range(14)
    ]
    assert codes == [401] * 10 + [429] * 4
    assert [each.detail["status"] for each in entries(database, "request-refused")] == codes


def evil_manifest(content):
    """The bundle with a manifest that names a file outside of it."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "manifest.json":
                manifest = json.loads(body)
                manifest["files"]["../../evil"] = {"sha256": "0" * 64, "bytes": 3}
                body = json.dumps(manifest).encode()
            new.writestr(name, body)
    return found.getvalue()


def test_a_hostile_bundle_is_entered(api, tmp_path):
    database, _, call = api
    good = bundle(tmp_path / "a.bundle").path.read_bytes()
    for content in (evil_manifest(good), b"PK\x03\x04" + b"\0" * 100, b"", good[: len(good) // 2]):
        assert call("operator", "POST", "/api/v1/releases", content=content).status_code == 400
    found = entries(database, "request-refused")
    assert [(each.actor, each.subject) for each in found] == [("operator", "/api/v1/releases")] * 4
    assert "outside" in found[0].detail["reason"]
    assert call("operator", "POST", "/api/v1/releases", content=good).status_code == 201
    assert len(entries(database, "request-refused")) == 4


def test_a_path_that_leads_out_of_a_release_is_no_release(api):
    _, _, call = api
    for name in ("../evil", "..%2f..%2fetc", "a/b", "%00"):
        assert call("operator", "POST", f"/api/v1/releases?name={name}", content=b"x").status_code == 422


# ---------------------------------------------------------------------------------------- the brokers
def lines(text):
    """What a watch makes of a shard's words."""
    watch = Watch()
    for line in text.encode().splitlines():
        watch.line("broker-0", line)
    return [(each.client, each.kind, each.reason) for each in watch.taken()]


def test_what_mosquitto_says_is_understood(capfdbinary):
    said = """1795284337: Received PUBLISH from pi-1 (d0, q1, r0, m1, 'littoral/v1/d/pi-1/up/beat', ... (1 bytes))
1795284337: Denied PUBLISH from pi-1 (d0, q1, r0, m2, 'littoral/v1/d/pi-2/up/beat', ... (1 bytes))
1795284460: pi-1 1 littoral/v1/d/pi-1/down/desired
1795284460: pi-1 1 littoral/v1/all
1795284460: controller 1 littoral/v1/d/+/up/#
1795284460: pi-1 1 littoral/v1/d/pi-2/down/desired
1795284460: pi-1 0 #
1795284462: OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed
1795284462: Error: Address already in use"""
    assert lines(said) == [
        ("pi-1", "publish", "littoral/v1/d/pi-2/up/beat"),
        ("pi-1", "subscribe", "littoral/v1/d/pi-2/down/desired"),
        ("pi-1", "subscribe", "#"),
        ("", "certificate", "certificate verify failed"),
    ]
    passed = capfdbinary.readouterr().err
    assert b"Address already in use" in passed
    assert b"PUBLISH" not in passed


@settings(derandomize=True, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_words_of_a_shard_are_read(capfdbinary, found):
    watch = Watch()
    for line in found:
        watch.line("broker-0", line)
    assert all(len(each.client) <= 64 and len(each.reason) <= 200 for each in watch.taken())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_who_takes_anothers_topics_or_has_no_certificate_is_entered(tmp_path, pki, kind):
    if kind == "mosquitto" and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    home, (port, broker) = Home(tmp_path / "cloud"), ports()
    settings_ = Settings(port=port, broker_port=broker, embedded=kind == "embedded")
    initialise(home, settings_)
    pki.authority = Authority(home.ca)
    supervisor = Supervisor(home, settings_, serving=False)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    database = Database(home.database_url)

    def knock(context):
        with contextlib.suppress(OSError):
            peer = Peer("pi-1", broker, context)
            peer.connected.wait(1)
            peer.leave()

    def found():
        return {
            (each.actor, each.subject, each.detail["kind"])
            for each in entries(database, "connection-refused")
        }

    try:
        wait(lambda: reached(broker), 30)
        peer = Peer("pi-1", broker, pki.credential("pi-1")).ready()
        peer.say(topics.up("pi-2", "reported"), Reported(1, "running").to_bytes())
        peer.client.subscribe(topics.down("pi-2", "desired"), 1)
        wanted = {("broker-0", "pi-1", "publish"), ("broker-0", "pi-1", "subscribe")}
        if kind == "mosquitto":  # the package's broker hears nothing of a handshake that fails
            knock(pki.credential("pi-1", days=-0.01))
            knock(pki.credential("pi-1", authority=Authority.create(tmp_path / "other")))
            knock(ssl.create_default_context(cafile=str(home.ca / "ca.pem")))
            wanted.add(("broker-0", "unknown", "certificate"))
        wait(lambda: found() == wanted, 20)
        peer.leave()
        if kind == "mosquitto":
            wait(lambda: len(entries(database, "connection-refused")) == 5)
    finally:
        supervisor.stop.set()
        thread.join(40)
        database.close()


def reached(port):
    """Whether somebody listens there."""
    import socket

    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    time.sleep(0.1)
    return False
