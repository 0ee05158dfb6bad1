"""A bundle's content key, wrapped so that one device alone can open it: ECIES on the device's own P-256 key.

An ephemeral key agrees with the device's (ECDH, NIST SP 800-56A), HKDF-SHA-256 (RFC 5869) makes of that a key which
encrypts the content key by AES-256-GCM (SP 800-38D). Layout, in base64: the ephemeral public key as an uncompressed
point, 65 bytes, then the ciphertext with its tag, 48 bytes. The same sealed bundle serves all devices that way, so that
it can be cached; who may read it is said by what is sent to each.
"""

import base64
import binascii
from typing import Any

from edge_runtime.errors import BackendError, FleetError, InputError

_POINT, _LENGTH = 65, 32
_NONCE = bytes(12)  # the key that it goes with is used once


def wrap(key: bytes, device: bytes) -> str:
    """Wrap a content key for a device.

    Args:
        key: of 32 bytes.
        device: the device's public key or its certificate, PEM.

    Raises:
        InputError: it is no P-256 key.
        BackendError: the cryptography package is missing.
    """
    ec, serialization, aead = _modules()
    public = _public(device, serialization)
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise InputError("a content key is wrapped for a device's P-256 key; this is a key of another kind")
    own = ec.generate_private_key(ec.SECP256R1())
    point = _point(own.public_key(), serialization)
    shared = own.exchange(ec.ECDH(), public)
    sealed = aead.AESGCM(_derived(shared, point, _point(public, serialization))).encrypt(_NONCE, key, None)
    return base64.b64encode(point + sealed).decode()


def unwrap(text: str, private: bytes) -> bytes:
    """The content key in what `wrap` gave.

    Args:
        text: `Release.key`.
        private: the device's private key, PEM.

    Raises:
        FleetError: it is damaged, or was wrapped for another device.
        BackendError: the cryptography package is missing.
    """
    ec, serialization, aead = _modules()
    from cryptography.exceptions import InvalidTag

    own = serialization.load_pem_private_key(private, None)
    try:
        content = base64.b64decode(text, validate=True)
        point = content[:_POINT]
        other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = own.exchange(ec.ECDH(), other)
        mine = _point(own.public_key(), serialization)
        key: bytes = aead.AESGCM(_derived(shared, point, mine)).decrypt(_NONCE, content[_POINT:], None)
    except (InvalidTag, ValueError, binascii.Error) as error:
        raise FleetError("the content key is damaged, or was wrapped for another device") from error
    if len(key) != _LENGTH:
        raise FleetError(f"the content key has {len(key)} bytes; expected {_LENGTH}")
    return key


def _derived(shared: bytes, point: bytes, device: bytes) -> bytes:
    import hmac

    extracted = hmac.digest(b"littoral content key", shared, "sha256")
    return hmac.digest(extracted, point + device + b"\x01", "sha256")


def _point(public: Any, serialization: Any) -> bytes:
    point: bytes = public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return point


def _public(pem: bytes, serialization: Any) -> Any:
    try:
        if b"BEGIN CERTIFICATE" in pem:
            from cryptography import x509

            return x509.load_pem_x509_certificate(pem).public_key()
        return serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise InputError("this is neither a public key nor a certificate in PEM") from error


def _modules() -> tuple[Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError as error:
        raise BackendError("encrypted bundles need cryptography: pip install 'littoral[seal]'") from error
    return ec, serialization, aead
