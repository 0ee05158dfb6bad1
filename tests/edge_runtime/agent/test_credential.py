"""Enrolment and renewal against the fleet's own authority, over TLS and not."""

import hashlib
import http.server
import json
import ssl
import stat
import threading
import time

import pytest

from cloud.broker.shards import Files
from cloud.database import Database
from cloud.identity import Authority, Enrolments, Reach
from edge_runtime.agent import credential
from edge_runtime.errors import FleetError, InputError, TransferError
from edge_runtime.wrapping import wrap
from tests.edge_runtime.agent.conftest import broker, free_port, running


class Fleet:
    """POST /enrol and /renew, and GET /ca, as the API has them."""

    def __init__(self, folder, tls=True, port=8883):
        self.authority = Authority.create(folder / "ca")
        self.other = Authority.create(folder / "other")
        database = Database(f"sqlite:///{folder / 'fleet.sqlite'}")
        database.migrate()
        fleet, self.shown, self.asked = self, self.authority, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                fleet.asked.append(self.path)
                self.answer(200 if self.path == "/ca" else 404, fleet.shown.pem.encode())

            def do_POST(self):
                fleet.asked.append(self.path)
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                try:
                    if self.path == "/enrol":
                        found = fleet.enrolments.redeem(body["token"], body["csr"])
                    else:
                        found = fleet.enrolments.renew(body)
                except FleetError as error:
                    self.answer(403, json.dumps({"detail": str(error)}).encode())
                else:
                    self.answer(200, json.dumps(found).encode())

            def answer(self, status, content):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.authority.server(folder / "server", "server", ["127.0.0.1"]))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_port}"
        reach = Reach(
            self.url, (f"mqtts://127.0.0.1:{port}",), "https://127.0.0.1:8443/repository", lambda: b"{}"
        )
        self.enrolments = Enrolments(database, self.authority, reach)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def fleet(request, tmp_path):
    found = Fleet(tmp_path, request.param)
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_first_contact_and_renewal(tmp_path, fleet):
    store = tmp_path / "device"
    identity = credential.enrol(store, fleet.enrolments.token("pi-1"))
    assert (identity.device, identity.brokers) == ("pi-1", ("mqtts://127.0.0.1:8883",))
    assert credential.load(store) == identity
    assert identity.begins < identity.renewal < identity.ends
    for path in (store / "credential").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((store / "credential").stat().st_mode) == 0o700
    credential.context(store)
    before = (store / "credential/device.pem").read_text()
    renewed = credential.renew(store)
    assert renewed.ends >= identity.ends
    assert (store / "credential/device.pem").read_text() != before
    credential.context(store)  # the same key still fits


@pytest.mark.slow
def test_an_agent_over_tls_renews_its_certificate_and_comes_back(tmp_path):
    port = free_port()
    fleet = Fleet(tmp_path, port=port)
    server = fleet.authority.server(tmp_path / "broker-cert", "server", ["127.0.0.1"])
    files = Files(*server, fleet.authority.certificate, fleet.authority.crl)
    store = tmp_path / "device"
    credential.enrol(store, fleet.enrolments.token("pi-1"))
    identity = json.loads((store / "credential/identity.json").read_bytes())
    old = {**identity, "begins": 1, "ends": 2}  # it is time to renew
    (store / "credential/identity.json").write_text(json.dumps(old))
    before = (store / "credential/device.pem").read_text()
    for kind in ("mosquitto", "embedded"):
        with broker(tmp_path / kind, kind, port, files), running(store) as process:
            for _ in range(300):
                if (
                    process.lines.count("connected\n") >= 2
                    and "the certificate was renewed\n" in process.lines
                ):
                    break
                time.sleep(0.1)
            assert "the certificate was renewed\n" in process.lines
            assert process.lines.count("connected\n") >= 2  # it came back with the new one
        assert (store / "credential/device.pem").read_text() != before
        before = (store / "credential/device.pem").read_text()
        (store / "credential/identity.json").write_text(json.dumps(old))
    fleet.server.shutdown()
    fleet.server.server_close()


def test_a_token_serves_once_and_for_one_device(tmp_path, fleet):
    string = fleet.enrolments.token("pi-1")
    credential.enrol(tmp_path / "one", string)
    with pytest.raises(TransferError, match="has been used"):
        credential.enrol(tmp_path / "two", string)
    with pytest.raises(InputError, match="enrolled as 'pi-1' already"):
        credential.enrol(tmp_path / "one", string)
    with pytest.raises(InputError, match="not enrolled"):
        credential.load(tmp_path / "two")


def test_another_authority_never_sees_the_token(tmp_path, fleet):
    string = fleet.enrolments.token("pi-1")
    wrong = string[:-64] + hashlib.sha256(b"another").hexdigest()
    with pytest.raises(TransferError, match="authority"):
        credential.enrol(tmp_path / "one", wrong)
    if fleet.url.startswith("https"):
        assert "/enrol" not in fleet.asked
        fleet.shown = fleet.other  # whoever stands between shows another
        with pytest.raises(TransferError, match="does not show the authority"):
            credential.enrol(tmp_path / "two", string)
        assert "/enrol" not in fleet.asked
    assert not (tmp_path / "one/credential/identity.json").exists()


@pytest.mark.parametrize(
    ("string", "why"),
    [
        ("hello", "not whole"),
        ("https://host/#token#12", "not whole"),
        ("ftp://host/#t#" + "0" * 64, "not whole"),
        ("http://192.0.2.1:1/#t#" + "0" * 64, "in the clear"),
    ],
)
def test_strings_that_are_none(tmp_path, string, why):
    with pytest.raises(InputError, match=why):
        credential.enrol(tmp_path, string)


def test_a_fleet_that_is_away_is_said_so(tmp_path):
    with pytest.raises(TransferError, match="cannot be reached"):
        credential.enrol(tmp_path, "https://127.0.0.1:1/#t#" + "0" * 64)


def test_content_keys_open_for_the_device_alone(tmp_path, fleet):
    for name in ("one", "two"):
        credential.enrol(tmp_path / name, fleet.enrolments.token(name))
    wrapped = wrap(b"k" * 32, (tmp_path / "one/credential/device.pem").read_bytes())
    assert credential.content_key(tmp_path / "one", wrapped) == b"k" * 32
    credential.renew(tmp_path / "one")
    assert credential.content_key(tmp_path / "one", wrapped) == b"k" * 32  # also after a renewal
    with pytest.raises(FleetError, match="another device"):
        credential.content_key(tmp_path / "two", wrapped)
