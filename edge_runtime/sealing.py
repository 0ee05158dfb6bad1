"""Encryption of a bundle's files at rest: AES-256-GCM, a key for each device, decrypted in memory only.

NIST SP 800-38D. A sealed file is a nonce of 12 bytes and the ciphertext with its tag; the bundle's name and the
file's are authenticated with it, so that a file cannot be put into another's place. The nonce is derived from key and
content, which keeps bundles reproducible and never pairs one nonce with two contents (as in AES-GCM-SIV's synthetic
nonces, RFC 8452). A device's key is derived from a master key by HKDF-SHA-256 (RFC 5869).
"""

import os
from pathlib import Path
from typing import Any

from edge_runtime.errors import BackendError, BundleError, InputError
from edge_runtime.files import atomic, existing

SUFFIX = ".sealed"
KEY_VARIABLE = "LITTORAL_KEY_FILE"
"""Environment variable that names the file with the device's key."""
_LENGTH, _NONCE = 32, 12


def seal(content: bytes, bundle: str, name: str, key: bytes) -> bytes:
    """Encrypt the file `name` of a bundle.

    Raises:
        BackendError: the cryptography package is missing.
    """
    import hashlib
    import hmac  # as the others here: none is needed to read a bundle that is not encrypted

    nonce = hmac.digest(key, b"nonce" + _about(bundle, name) + hashlib.sha256(content).digest(), "sha256")[
        :_NONCE
    ]
    ciphertext: bytes = _cipher(key).encrypt(nonce, content, _about(bundle, name))
    return nonce + ciphertext


def unseal(content: bytes, bundle: str, name: str, key: bytes | None) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        InputError: there is no key.
        BundleError: it is the wrong key, or the content was altered.
        BackendError: the cryptography package is missing.
    """
    if key is None:
        raise InputError(
            f"{bundle}: {name} is encrypted; set {KEY_VARIABLE} to the file with the device's key"
        )
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = cipher.decrypt(content[:_NONCE], content[_NONCE:], _about(bundle, name))
    except (InvalidTag, ValueError) as error:
        raise BundleError(
            f"{bundle}: {name} cannot be decrypted: another key, or the file was altered"
        ) from error
    return plain


def _about(bundle: str, name: str) -> bytes:
    return f"littoral\0{bundle}\0{name}".encode()


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise BackendError("encrypted bundles need cryptography: pip install 'littoral[seal]'") from error
    return AESGCM(key)


def read_key(path: str | os.PathLike[str] | None = None) -> bytes | None:
    """The key in a file of 64 hexadecimal digits; without a path that which `KEY_VARIABLE` names, or None.

    Raises:
        InputError: there is no such file, or no key in it.
    """
    chosen = path or os.environ.get(KEY_VARIABLE)
    if not chosen:
        return None
    text = existing(chosen, "a file with a key: 64 hexadecimal digits").read_bytes().strip()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _LENGTH:
        raise InputError(f"{chosen}: holds no key; expected 64 hexadecimal digits")  # never its content
    return key


def write_key(path: str | os.PathLike[str], key: bytes | None = None) -> bytes:
    """Write a key, a new one unless it is given, to a file that only its owner reads.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    final = Path(path)
    if final.exists():
        raise InputError(f"{final}: exists already; a key that is overwritten is lost")
    import secrets

    chosen = key or secrets.token_bytes(_LENGTH)
    with atomic(final) as partial:
        partial.touch(0o600)
        partial.write_text(chosen.hex() + "\n", encoding="ascii")
    return chosen


def device_key(master: bytes, device: str) -> bytes:
    """The key of one device: HKDF-SHA-256 of the master key, with the device's name as info."""
    import hmac

    extracted = hmac.digest(b"littoral device key", master, "sha256")
    return hmac.digest(extracted, device.encode() + b"\x01", "sha256")
