"""The fleet's own certificate authority: ECDSA on P-256, X.509 (RFC 5280).

A certificate's common name is the device's name, or the site's for a gateway; the broker takes it for the user's name,
so nothing else has to be set up for a device. What a request says of itself is ignored: the name comes from who
allowed it. A device's certificate is good for clients only, so that none can pass for the cloud.
"""

import datetime
import hashlib
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_runtime.errors import InputError
from edge_runtime.files import atomic

CONTROLLER, COORDINATOR, SERVER = "controller", "coordinator", "server"
RESERVED = (CONTROLLER, COORDINATOR, SERVER, "cloud", "all")
"""Names that no device may have: the broker lets the first two read and write everything."""
_AUTHORITY_DAYS, _CRL_DAYS, _SOON_DAYS = 3650, 30, 30
_SKEW = datetime.timedelta(hours=1)  # a device's clock may be behind
_MAX_CSR = 8192
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was given out: PEM, serial number in hexadecimal, SHA-256 of its DER, when it expires.

    `key` is its public key, PEM.
    """

    pem: str
    key: str
    serial: str
    digest: str
    expires: float


class Authority:
    """The authority in a folder: ca.pem, ca.key, crl.pem.

    Raises:
        InputError: there is none in the folder; `Authority.create` makes one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.certificate, self.key, self.crl = (
            self.folder / name for name in ("ca.pem", "ca.key", "crl.pem")
        )
        try:
            self._certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{self.folder}: no certificate authority here; littoral cloud init makes one"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InputError(f"{self.key}: expected an ECDSA key")
        self._key = key

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        """Make a new authority, with an empty revocation list.

        Raises:
            InputError: there is one in the folder already.
        """
        if (Path(folder) / "ca.key").exists():
            raise InputError(f"{folder}: a certificate authority is here already")
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Littoral {os.urandom(4).hex()}")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        signed = (
            _builder(name, name, key.public_key(), _AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _save_key(Path(folder) / "ca.key", key)
        with atomic(Path(folder) / "ca.pem") as partial:
            partial.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        made = cls(folder)
        made.write_crl(())
        return made

    @property
    def digest(self) -> str:
        """SHA-256 of the authority's certificate (DER), by which a device knows it at first contact."""
        return _digest(self._certificate)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return str(self._certificate.public_bytes(serialization.Encoding.PEM).decode())

    def issue(
        self, csr: str | bytes, name: str, days: float = 365, *, hosts: Iterable[str] | None = None
    ) -> Issued:
        """Sign a request.

        Args:
            csr: PKCS #10 in PEM, signed by its own key, which is one of P-256; its subject is ignored.
            name: whom the certificate is for.
            days: for how long.
            hosts: names and addresses that it may serve at; None for a client alone.

        Raises:
            InputError: it is no such request.
        """
        return self._issue(read_csr(csr), name, days, hosts)

    def server(
        self, path: Path, name: str, hosts: Iterable[str] | None, days: float = 365
    ) -> tuple[Path, Path]:
        """Certificate and key of a part of the cloud itself, at PATH.pem and PATH.key; made anew before they expire."""
        certificate, key = path.with_suffix(".pem"), path.with_suffix(".key")
        wanted = None if hosts is None else list(dict.fromkeys(hosts))
        if certificate.exists() and key.exists() and self._good(certificate, wanted):
            return certificate, key
        secret = ec.generate_private_key(ec.SECP256R1())
        made = self._issue(secret.public_key(), name, days, wanted)
        _save_key(key, secret)
        with atomic(certificate) as partial:
            partial.write_text(made.pem + self.pem, "ascii")  # first contact finds the authority in the chain
        return certificate, key

    def verify(self, pem: str | bytes) -> x509.Certificate:
        """A certificate that this authority gave out and that has not expired.

        Raises:
            InputError: it is not one. Whether it was revoked is not looked at here.
        """
        try:
            found = x509.load_pem_x509_certificate(pem if isinstance(pem, bytes) else pem.encode())
            found.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InputError("a certificate that this authority did not give out") from error
        if not found.not_valid_before_utc <= _now() <= found.not_valid_after_utc:
            raise InputError(f"a certificate that expired at {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
        return found

    def write_crl(self, revoked: Iterable[tuple[str, float]]) -> Path:
        """Write the revocation list (RFC 5280, section 5) of (serial number, when); valid for 30 days."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(self._after_the_last())
            .next_update(_now() + _CRL_DAYS * _DAY)
            .add_extension(x509.CRLNumber(int(_now().timestamp() * 1000)), critical=False)
        )
        for serial, when in revoked:
            at = datetime.datetime.fromtimestamp(when, datetime.UTC)
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(at)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(self._key, hashes.SHA256())
        with atomic(self.crl) as partial:
            partial.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return self.crl

    def _after_the_last(self) -> datetime.datetime:
        """A minute ago, but after the list before: who knows both goes by the later one."""
        chosen = _now() - datetime.timedelta(minutes=1)
        if not self.crl.exists():
            return chosen
        before: datetime.datetime = x509.load_pem_x509_crl(self.crl.read_bytes()).last_update_utc
        return max(chosen, before + datetime.timedelta(seconds=1))

    def _issue(
        self, key: ec.EllipticCurvePublicKey, name: str, days: float, hosts: Iterable[str] | None
    ) -> Issued:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_name(name), self._certificate.subject, key, days)
        if hosts is not None:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(hosts)), critical=False)
        signed = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return Issued(
            signed.public_bytes(serialization.Encoding.PEM).decode(),
            key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode(),
            f"{signed.serial_number:x}",
            _digest(signed),
            signed.not_valid_after_utc.timestamp(),
        )

    def _good(self, path: Path, hosts: list[str] | None) -> bool:
        try:
            found = self.verify(path.read_bytes())
        except InputError:
            return False
        if found.not_valid_after_utc - _now() < _SOON_DAYS * _DAY:
            return False
        try:
            held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return hosts is None
        return hosts is not None and list(held) == _alternatives(hosts)


def read_csr(csr: str | bytes) -> ec.EllipticCurvePublicKey:
    """The key that a request (PKCS #10, PEM) asks a certificate for.

    Raises:
        InputError: it is damaged, not signed by that key, or the key is none of P-256.
    """
    content = csr.encode() if isinstance(csr, str) else csr
    try:
        if len(content) > _MAX_CSR:
            raise ValueError(f"{len(content)} bytes")
        request = x509.load_pem_x509_csr(content)
        signed, key = request.is_signature_valid, request.public_key()
    except Exception as error:  # the parser meets hostile bytes, and raises what it likes
        raise InputError("the certificate request is damaged; expected PKCS #10 in PEM") from error
    if not signed:
        raise InputError("the certificate request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise InputError("the certificate request has another kind of key; expected ECDSA on P-256")
    return key


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def common_name(certificate: x509.Certificate) -> str:
    """Whom a certificate is for."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _SKEW)
        .not_valid_after(_now() + days * _DAY)
    )


def _alternatives(hosts: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _digest(certificate: x509.Certificate) -> str:
    return str(certificate.fingerprint(hashes.SHA256()).hex())


def _save_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with atomic(path) as partial:
        partial.touch(mode=0o600)
        partial.write_bytes(content)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
