"""The device's credential: a key that never leaves it, and the certificate that the fleet's authority gives for it.

First contact goes by a string such as ``https://host:8443/#TOKEN#SHA256``: the token lets the device in once, and the
digest is that of the authority's certificate in DER, so that the device knows whom it talks to before it says the
token. The private key stays the same when the certificate is renewed, because content keys are wrapped for it.

::

    credential/device.key     private key, P-256, PEM        (all files: mode 0600)
    credential/device.pem     its certificate; the CN is the device's name
    credential/ca.pem         the authority
    credential/root.json      the repository's root metadata at enrolment
    credential/identity.json  what else the fleet said; written last, so with it the device is enrolled
"""

import base64
import hashlib
import http.client
import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_runtime.agent import durable
from edge_runtime.errors import BackendError, FleetError, InputError, TransferError
from edge_runtime.messages.fields import Fields

FOLDER, KEY, CERTIFICATE, AUTHORITY, ROOT, IDENTITY = (
    *("credential", "device.key", "device.pem"),
    *("ca.pem", "root.json", "identity.json"),
)
_STRING = re.compile(r"(https?://[^#\s]+?)/?#([^#\s]+)#([0-9a-fA-F]{64})")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANSWER_BYTES = 1 << 20
_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the device is, and where its fleet is; times of the certificate in seconds since 1970."""

    device: str
    url: str
    brokers: tuple[str, ...]
    repository: str
    site: str = ""
    begins: int = 0
    ends: int = 0

    @property
    def renewal(self) -> float:
        """When the certificate is to be renewed: after two thirds of its life."""
        return self.begins + (self.ends - self.begins) * 2 / 3


def load(store: Path) -> Identity:
    """The identity of an enrolled device.

    Raises:
        InputError: it is not enrolled.
    """
    try:
        get = Fields(json.loads((store / FOLDER / IDENTITY).read_bytes()), "identity.json")
        return Identity(
            device=get.name("device"),
            url=get.text("url"),
            brokers=get.names("brokers"),
            repository=get.text("repository"),
            site=get.text("site", default=""),
            begins=get.number("begins", default=0),
            ends=get.number("ends", default=0),
        )
    except (OSError, ValueError, FleetError) as error:
        raise InputError(
            f"{store}: this device is not enrolled; enrol it with: littoral agent --store {store} --enrol STRING"
        ) from error


def enrol(store: Path, string: str) -> Identity:
    """First contact: make a key, have it certified, and write down what the fleet says.

    Raises:
        InputError: the string is none, or the device is enrolled already.
        TransferError: the fleet cannot be reached, is another than the string says, or refuses.
    """
    found = _STRING.fullmatch(string.strip())
    if not found:
        raise InputError("the enrolment string is not whole; expected https://HOST:PORT/#TOKEN#SHA256")
    url, token, pin = found[1], found[2], found[3].lower()
    home = store / FOLDER
    if (home / IDENTITY).exists():
        raise InputError(
            f"{store}: this device is enrolled as '{load(store).device}' already; give another store"
        )
    context = None
    if url.startswith("https"):
        context = ssl.create_default_context(cadata=_pinned(url, pin))
    elif urlsplit(url).hostname not in _LOOPBACK:
        raise InputError(f"{url}: a token is not sent in the clear; expected https://")
    key = _own_key(home)
    answer = _post(url, "/enrol", {"token": token, "csr": _request(key, "device")}, context)
    if hashlib.sha256(_der(answer.text("ca", most=65_536))).hexdigest() != pin:
        raise TransferError(
            f"{url}: gives another authority than the enrolment string names; nothing was kept"
        )
    return _keep(home, url, answer, key)


def renew(store: Path) -> Identity:
    """Have the same key certified for another term; the old certificate, and a signature by the key, say who asks.

    Raises:
        InputError: the device is not enrolled.
        TransferError: the fleet cannot be reached, or refuses.
    """
    identity, home = load(store), store / FOLDER
    key = _own_key(home)
    request, stamp = _request(key, identity.device), int(time.time())
    body = {
        "csr": request,
        "certificate": (home / CERTIFICATE).read_text("ascii"),
        "time": stamp,
        "signature": base64.b64encode(_sign(key, f"littoral renew {stamp}\n{request}".encode())).decode(),
    }
    answer = _post(identity.url, "/renew", body, context(store) if identity.url.startswith("https") else None)
    begins, ends = _certified(answer.text("certificate", most=65_536), key, identity.device)
    durable.write(home / CERTIFICATE, answer.text("certificate", most=65_536).encode(), 0o600)
    renewed = replace(identity, begins=begins, ends=ends, brokers=answer.names("brokers") or identity.brokers)
    durable.write(home / IDENTITY, json.dumps(asdict(renewed)).encode(), 0o600)
    return renewed


def context(store: Path) -> ssl.SSLContext:
    """TLS towards the fleet: its authority alone is trusted, and the device proves itself.

    Raises:
        InputError: the files cannot be read.
    """
    home = store / FOLDER
    try:
        made = ssl.create_default_context(cafile=str(home / AUTHORITY))
        made.load_cert_chain(str(home / CERTIFICATE), str(home / KEY))
    except OSError as error:  # SSLError is one
        raise InputError(f"{home}: the credential cannot be read: {error}; enrol the device again") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def content_key(store: Path, wrapped: str) -> bytes:
    """The content key of a sealed bundle, from `Release.key`.

    Raises:
        FleetError: it was not wrapped for this device, or is damaged.
    """
    from edge_runtime.wrapping import unwrap

    return unwrap(wrapped, (store / FOLDER / KEY).read_bytes())


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise BackendError("a credential needs cryptography: pip install 'littoral[agent]'") from error
    return ec, hashes


# ------------------------------------------------------------------------------------------ key and certificate
def _own_key(home: Path) -> Any:
    """The device's private key; made on first use."""
    ec, _ = _library()
    from cryptography.hazmat.primitives import serialization as form

    if not (home / KEY).exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = ec.generate_private_key(ec.SECP256R1())
        plain = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        durable.write(home / KEY, plain, 0o600)
    return form.load_pem_private_key((home / KEY).read_bytes(), None)


def _request(key: Any, name: str) -> str:
    """A certificate signing request (PKCS #10), PEM; the fleet decides the name."""
    _, hashes = _library()
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    text: str = made.public_bytes(Encoding.PEM).decode()
    return text


def _sign(key: Any, content: bytes) -> bytes:
    ec, hashes = _library()
    made: bytes = key.sign(content, ec.ECDSA(hashes.SHA256()))
    return made


def _certified(certificate: str, key: Any, device: str) -> tuple[int, int]:
    """From when to when the certificate holds, if it is for this key and this device."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        names = [each.value for each in found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    except ValueError as error:
        raise TransferError(f"what the fleet gave as certificate is none: {error}") from error
    if found.public_key() != key.public_key() or names != [device]:
        raise TransferError(f"the certificate that came is not for this device's key and the name '{device}'")
    return int(found.not_valid_before_utc.timestamp()), int(found.not_valid_after_utc.timestamp())


def _keep(home: Path, url: str, answer: Fields, key: Any) -> Identity:
    device, certificate = answer.name("device"), answer.text("certificate", most=65_536)
    begins, ends = _certified(certificate, key, device)
    identity = Identity(
        *(device, url, answer.names("brokers"), answer.text("repository")),
        *(answer.name("site", default=""), begins, ends),
    )
    try:
        root = base64.b64decode(answer.text("root", default="", most=1 << 20), validate=True)
    except ValueError as error:
        raise TransferError(f"{url}: the repository's root is no base64") from error
    durable.write(home / AUTHORITY, answer.text("ca", most=65_536).encode(), 0o600)
    durable.write(home / CERTIFICATE, certificate.encode(), 0o600)
    durable.write(home / ROOT, root, 0o600)
    durable.write(home / IDENTITY, json.dumps(asdict(identity)).encode(), 0o600)
    return identity


# ------------------------------------------------------------------------------------------ talking to the fleet
def _post(url: str, path: str, body: Mapping[str, Any], tls: ssl.SSLContext | None) -> Fields:
    status, content = _ask(url, "POST", path, tls, json.dumps(body).encode())
    if status != 200 and status != 201:
        said = ""
        try:
            problem = json.loads(content)
            said = str(problem.get("detail") or problem.get("error") or problem.get("title") or "")[:300]
        except (ValueError, AttributeError):
            pass
        raise TransferError(f"{url}{path}: refused with {status}{': ' if said else ''}{said}")
    try:
        return Fields(json.loads(content), f"the answer of {url}{path}")
    except (ValueError, TypeError) as error:
        raise TransferError(f"{url}{path}: the answer is no JSON") from error


def _ask(
    url: str, method: str, path: str, tls: ssl.SSLContext | None, body: bytes | None = None
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    made = (
        http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT_S, context=tls)
        if tls
        else http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)
    )
    try:
        made.request(method, parts.path.rstrip("/") + path, body, {"Content-Type": "application/json"})
        answer = made.getresponse()
        return answer.status, answer.read(_ANSWER_BYTES)
    except ssl.SSLError as error:
        raise TransferError(f"{url}: TLS failed: {error.reason or error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransferError(f"{url}: cannot be reached: {error}") from error
    finally:
        made.close()


def _pinned(url: str, pin: str) -> str:
    """The authority's certificate, PEM, if the server at the URL has the one with this digest.

    It is in the chain that the server shows, or is asked for; nothing is believed of it but its digest.
    """
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    status, content = _ask(url, "GET", "/ca", blind)
    try:
        found = content.decode("ascii") if status == 200 else ""
        if hashlib.sha256(_der(found)).hexdigest() == pin:
            return found
    except (ValueError, TransferError):
        pass
    raise TransferError(f"{url}: the server does not show the authority that the enrolment string names")


def _der(pem: str) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(pem.strip())
    except ValueError as error:
        raise TransferError("what should be the authority's certificate is no PEM") from error
