"""The cryptography of secure aggregation, by the `cryptography` package: agree on keys, seal shares, draw masks.

X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869) give two devices a key that the server between them does not know;
AES-128-GCM seals a share; AES-256-CTR over zeros is the generator of masks. A key is used once: each has the session's
salt, its purpose and both devices' numbers in it, which is why a fixed nonce is safe.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import BackendError, FleetError
from federated.privacy.shamir import BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES = 32
SEALED_BYTES = 2 * BYTES + 16  # two shares and the tag
_NONCE = bytes(12)

Words = NDArray[np.uint16]
"""Numbers below the modulus, a power of two of at most 16 bits."""


def derive(secret: bytes, salt: bytes, purpose: str, *numbers: int, size: int = KEY_BYTES) -> bytes:
    """Key material for one purpose alone.

    Raises:
        BackendError: the `cryptography` package is missing.
    """
    try:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise BackendError("secure aggregation needs cryptography: pip install 'littoral[seal]'") from error
    info = purpose.encode() + b"".join(number.to_bytes(8, "big") for number in numbers)
    return bytes(HKDF(SHA256(), size, salt, info).derive(secret))


def private_key(seed: int, salt: bytes, purpose: str) -> "X25519PrivateKey":
    """The key pair that follows from a seed, so that sharing 16 bytes shares the key."""
    material = derive(seed.to_bytes(BYTES, "big"), salt, purpose)  # first: it says what is missing
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(material)


def public_bytes(key: "X25519PrivateKey") -> bytes:
    """The public half, 32 bytes."""
    return bytes(key.public_key().public_bytes_raw())


def agree(key: "X25519PrivateKey", other: bytes) -> bytes:
    """The secret that both sides compute: this side's key and the other's public half.

    Raises:
        FleetError: the other's is no public key.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        return bytes(key.exchange(X25519PublicKey.from_public_bytes(other)))
    except ValueError as error:
        raise FleetError("secure aggregation: a public key is not one") from error


def seal(secret: bytes, salt: bytes, sender: int, receiver: int, text: bytes) -> bytes:
    """`text` for the receiver alone, and unaltered."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = derive(secret, salt, "shares", sender, receiver, size=16)
    return bytes(AESGCM(key).encrypt(_NONCE, text, None))


def unseal(secret: bytes, salt: bytes, sender: int, receiver: int, sealed: bytes) -> bytes | None:
    """What the sender sealed for this receiver; None where it was altered or is of another session."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = derive(secret, salt, "shares", sender, receiver, size=16)
    try:
        return bytes(AESGCM(key).decrypt(_NONCE, sealed, None))
    except InvalidTag:
        return None


def mask(key: bytes, count: int, bits: int) -> Words:
    """`count` words, each uniform below 2**bits (1 to 16): the same for everybody who has the key."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    stream = Cipher(AES(key), CTR(bytes(16))).encryptor().update(bytes(2 * count))
    return (np.frombuffer(stream, "<u2") & np.uint16((1 << bits) - 1)).astype(np.uint16)
