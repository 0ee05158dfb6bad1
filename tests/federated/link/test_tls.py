"""The link over TLS: the broker proves itself, and with client certificates the devices do."""

import datetime
import ipaddress
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_runtime.errors import TransferError
from federated.link.brokers import Listener
from federated.link.hub import Hub
from federated.link.keys import COORDINATOR
from federated.link.peer import Peer
from tests.federated.link.conftest import KINDS, Inbox, address_of, run


class Authority:
    """Signs certificates for names; all files are in one folder."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {folder.name}")])
        self.file = self._write("ca", self._signed(self._name, self._key.public_key(), authority=True))

    def certificate(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._write(f"{name}.key", None, key)
        return self._write(name, self._signed(subject, key.public_key())), str(
            self._folder / f"{name}.key.pem"
        )

    def _signed(self, subject, public, *, authority=False):
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = x509.CertificateBuilder(self._name, subject, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
        return builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())

    def _write(self, name, certificate, key=None):
        path = self._folder / f"{name}.pem"
        if key is None:
            path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        else:
            form = serialization.PrivateFormat.PKCS8
            path.write_bytes(
                key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
            )
        return str(path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def hub_at(port, ring, inbox, **tls):
    return Hub(address_of(port, ring.own, tls=True, **tls), ring.devices, inbox)


@pytest.mark.parametrize("kind", KINDS)
def test_payloads_over_tls_and_an_unknown_broker_is_refused(kind, ring, authority, tmp_path):
    cert, cert_key = authority.certificate("broker")
    down, ann = Inbox(), ring.devices["ann"]
    other = Authority(tmp_path)
    with run(kind, ring.passwords, Listener(cert=cert, cert_key=cert_key)) as broker:
        with hub_at(broker.port, ring, Inbox(), ca=authority.file) as hub:
            hub.wait(10)
            with Peer(address_of(broker.port, ann, tls=True, ca=authority.file), ann, down):
                hub.send("ann", b"sealed" * 1000)
                assert bytes(down.wait(1)[0][0]) == b"sealed" * 1000
        with (
            Peer(address_of(broker.port, ann, tls=True, ca=other.file), ann, Inbox()) as misled,
            pytest.raises(TransferError, match=r"127\.0\.0\.1"),
        ):
            misled.wait(1.5)


@pytest.mark.parametrize("kind", KINDS)
def test_with_client_certificates_a_name_is_what_the_certificate_says(kind, ring, authority):
    cert, cert_key = authority.certificate("broker")
    up, ann = Inbox(), ring.devices["ann"]
    own, eve = ({"ca": authority.file} | dict(zip(("cert", "cert_key"), authority.certificate(name), strict=True))
                for name in (COORDINATOR, "eve"))  # fmt: skip
    mine = dict(zip(("cert", "cert_key"), authority.certificate("ann"), strict=True)) | {"ca": authority.file}
    with (
        run(kind, ring.passwords, Listener(cert=cert, cert_key=cert_key, ca=authority.file)) as broker,
        hub_at(broker.port, ring, up, **own) as hub,
    ):
        hub.wait(10)
        with Peer(
            address_of(broker.port, ann, tls=True, **eve), ann, Inbox()
        ) as forger:  # Ann's key, Eve's name
            forger.channel.send(b"poison")
            time.sleep(0.5)
            assert up.found == []
        with Peer(address_of(broker.port, ann, tls=True, **mine), ann, Inbox()) as peer:
            peer.wait(10)
            peer.channel.send(b"honest")
            device, payload = up.wait(1)[0]
            assert (device, bytes(payload)) == ("ann", b"honest")
        with (
            Peer(address_of(broker.port, ann, tls=True, ca=authority.file), ann, Inbox()) as nobody,
            pytest.raises(TransferError, match=r"127\.0\.0\.1"),
        ):
            nobody.wait(1.5)
