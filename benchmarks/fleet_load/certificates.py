"""Certificates for simulated devices: each has a key of its own, and the cloud's authority signs as at enrolment."""

import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert

from cloud.database import Database
from cloud.database.tables import certificates
from cloud.identity import Authority


def issue(authority: Authority, database: Database, names: list[str], folder: Path) -> float:
    """Write NAME.pem, key and certificate in one file, for each name, and ca.pem, into the folder.

    Returns:
        Seconds that the authority took, without the making of keys and requests, which is the devices' work.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_text(authority.pem, "ascii")
    rows, taken = [], 0.0
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        request = _request(key, name)
        began = time.perf_counter()
        made = authority.issue(request, name)
        taken += time.perf_counter() - began
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(plain + made.pem.encode())
        rows.append(
            {
                "serial": made.serial, "device": name, "digest": made.digest, "key": made.key,
                "issued": time.time(), "expires": made.expires,
            }
        )  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(certificates), rows)
    return taken


def _request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return bytes(signed.public_bytes(serialization.Encoding.PEM))
