"""What the cloud's tests share: databases (SQLite, and a real PostgreSQL server), certificates, brokers, clients."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud.broker.shards import Files, Shard, find_mosquitto, program
from cloud.database import Database
from cloud.identity import Authority

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name):
    folders = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _FOLDERS)])
    return shutil.which(name, path=folders)


def _as_somebody():
    """As whom PostgreSQL runs, which does not run as root: arguments of `subprocess`."""
    if os.getuid():
        return {}
    found = pwd.getpwnam("nobody")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres():
    """A function that gives the URL of a new, empty database of a server that runs as long as the tests."""
    initdb, server = _program("initdb"), _program("postgres")
    if not initdb or not server:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    somebody = _as_somebody()
    folder = Path(tempfile.mkdtemp(prefix="littoral-pg-"))
    os.chown(folder, somebody.get("user", -1), -1)
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", str(data), "-U", "littoral", "--auth", "trust", "-E", "UTF8", "--no-sync"],
        check=True, capture_output=True, cwd=folder, **somebody,
    )  # fmt: skip
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "fsync": "off",
        "max_connections": 50,
    }
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [server, "-D", str(data), *given],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **somebody,
    )  # fmt: skip
    try:
        _await(folder)
        yield lambda: _new(folder)
    finally:
        process.send_signal(signal.SIGINT)  # at once, whoever is connected
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _await(folder):
    import psycopg

    for _ in range(300):
        try:
            psycopg.connect(f"host={folder} user=littoral dbname=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("PostgreSQL did not start")


def _new(folder):
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(f"host={folder} user=littoral dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://littoral@/{name}?host={folder}"


@pytest.fixture
def sqlite(tmp_path):
    """A database with its tables, in SQLite."""
    database = Database(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """A database with its tables: each test that takes it runs in SQLite and in PostgreSQL."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    found = Database(request.getfixturevalue("postgres")())
    found.migrate()
    yield found
    found.close()


# ------------------------------------------------------------------------------------------ certificates, brokers
class Pki:
    """An authority, and credentials that it gave out: files of certificate and key by name."""

    def __init__(self, folder):
        self.authority = Authority.create(folder / "ca")
        self.folder = folder
        self.serials = {}
        certificate, key = self.authority.server(folder / "server", "server", ["localhost", "127.0.0.1"])
        self.files = Files(certificate, key, self.authority.certificate, self.authority.crl)

    def credential(self, name, days=30, authority=None):
        """TLS of a client that has this name."""

        def give(csr):
            issued = (authority or self.authority).issue(csr, name, days)
            self.serials[name] = issued.serial
            return {"certificate": issued.pem, "ca": self.authority.pem}

        return self.enrolled(name, give)

    def enrolled(self, name, give):
        """TLS of a client whose request was answered by `give`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whoever")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        found = give(csr.public_bytes(serialization.Encoding.PEM).decode())
        path = self.folder / f"{name}-{secrets.token_hex(4)}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(found["certificate"].encode() + secret)
        context = ssl.create_default_context(cadata=found["ca"])
        context.load_cert_chain(path)
        return context


@pytest.fixture
def pki(tmp_path):
    """An authority for the test."""
    return Pki(tmp_path)


def free_port():
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def shard(folder, files=None, kind="embedded", port=None):
    """A shard in a process of its own, as the supervisor runs it: (port, process)."""
    if kind == "mosquitto" and find_mosquitto() is None:
        if os.environ.get("CI"):
            pytest.fail("mosquitto is not installed: apt-get install mosquitto")
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    one = Shard(0, "127.0.0.1", port or free_port(), files)
    command = program(one, folder, embedded=kind == "embedded")
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(400):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", one.port), 1).close()
                break
            time.sleep(0.05)
        yield one.port, process
    finally:
        process.terminate()
        process.wait(10)


class Peer:
    """A client of a shard: what a device, a site or the controller sends and gets."""

    def __init__(self, name, port, context=None, *, client_id=None, will=None, wanted=()):
        self.name, self.got, self.refused = name, [], None
        self.connected, self.subscribed = threading.Event(), threading.Event()
        self.closed = threading.Event()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id or name, protocol=mqtt.MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        self.client.username_pw_set(name)
        if context:
            self.client.tls_set_context(context)
        if will:
            self.client.will_set(*will, qos=1)
        self.client.on_connect = self._connected
        self.client.on_disconnect = lambda *_: self.closed.set()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.got.append((message.topic, message.payload))
        self._wanted = list(wanted)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _connected(self, client, _data, _flags, reason, _properties):
        if reason.is_failure:
            self.refused = str(reason)
            return
        self.connected.set()
        if self._wanted:
            client.subscribe([(topic, 1) for topic in self._wanted])

    def ready(self):
        """Wait until it is connected and its subscriptions are answered."""
        assert self.connected.wait(10), self.refused
        assert not self._wanted or self.subscribed.wait(10)
        return self

    def say(self, topic, payload, qos=1):
        """Send, and wait for the broker to have it."""
        self.client.publish(topic, payload, qos).wait_for_publish(5)

    def until(self, count):
        """What came, once it is so much."""
        return wait(lambda: len(self.got) >= count and self.got)

    def topics(self):
        """The topics of what came."""
        return [topic for topic, _ in self.got]

    def leave(self):
        """Take leave: no last will."""
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self):
        """Be gone without a word."""
        sock = self.client.socket()
        if sock:
            sock.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()


def wait(condition, seconds=15.0):
    """What the condition gives once it is something; it fails after so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")
