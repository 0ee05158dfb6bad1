"""The repository's private keys in a folder: Ed25519 (RFC 8032), one file a role, readable by their owner alone.

::

    offline/root-ID.pem          sign who may sign; away from the machine except for a ceremony
    offline/targets-ID.pem       signs which key speaks for which model
    models/NAME-ID.pem           signs the versions of one model
    snapshot-ID.pem, timestamp-ID.pem   sign what is newest
    content/NAME.key             encrypts sealed bundles of one model
    signed.json                  what was signed here last: an older or another file in the store is refused

A file's ID is the beginning of its key's identifier in the metadata, so that a new key never takes the place of one
that still counts: the old file goes when the metadata that names the new key is written.
Where `LITTORAL_KEY_PASSWORD` is set, offline keys are written encrypted and read with it (PKCS #8).
"""

import fcntl
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edge_runtime import sealing
from edge_runtime.errors import InputError
from edge_runtime.files import atomic, write_text

PASSWORD = "LITTORAL_KEY_PASSWORD"  # noqa: S105 - the variable's name  # nosec B105
OFFLINE = ("root", "targets")
ONLINE = ("snapshot", "timestamp")
_MODEL = "model-"
_ID = 16  # digits of a key's identifier in its file's name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def role_of(name: str) -> str:
    """The role that signs a model's versions.

    Raises:
        InputError: the name would not do in a path.
    """
    return _MODEL + checked(name, "a model's name")


def role_name(role: str) -> str:
    """The model's name in the role that signs its versions."""
    return role.removeprefix(_MODEL)


def checked(name: str, what: str) -> str:
    """The name, if it will do in a path: letters, digits, '.', '_' and '-', at most 64, a letter or digit first.

    Raises:
        InputError: it will not.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no {what.removeprefix('a ')}: {_RULE}")
    return name


_RULE = "expected letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"


class Keys:
    """The keys in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signers(self, role: str, keyids: Collection[str]) -> list[CryptoSigner]:
        """The signers of a role that are here, of those keys that the metadata names.

        Raises:
            InputError: a key needs another password, or holds no key.
        """
        return [self._read(path) for path in self._files(role) if self._is_of(path, keyids)]

    def has(self, role: str, keyids: Collection[str]) -> bool:
        """Whether a key of the role is here."""
        return any(self._is_of(path, keyids) for path in self._files(role))

    def make(self, role: str, count: int = 1) -> list[CryptoSigner]:
        """New keys for a role, beside those that were."""
        made = [CryptoSigner.generate_ed25519() for _ in range(count)]
        for signer in made:
            self._write(self._file(role, signer.public_key.keyid), signer, locked=role in OFFLINE)
        return made

    def forget(self, role: str, keyids: Collection[str]) -> None:
        """Delete the keys of a role that the metadata names no more."""
        for path in self._files(role):
            if not self._is_of(path, keyids):
                path.unlink()

    def content_key(self, name: str) -> bytes:
        """The key that encrypts a model's sealed bundles, made when it is first asked for."""
        path = self._content(name)
        return sealing.read_key(path) or b"" if path.is_file() else sealing.write_key(path)

    def seals(self, name: str) -> bool:
        """Whether a model has a content key."""
        return self._content(name).is_file()

    def _content(self, name: str) -> Path:
        return self.folder / "content" / f"{checked(name, 'a model')}.key"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process signs at a time."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def signed(self) -> dict[str, tuple[int, str]]:
        """Version and SHA-256 of what was signed here last, by role."""
        path = self.folder / "signed.json"
        if not path.is_file():
            return {}
        return {role: (int(v), str(d)) for role, (v, d) in json.loads(path.read_text("utf-8")).items()}

    def note(self, signed: dict[str, tuple[int, str]]) -> None:
        """Write down what was signed."""
        write_text(self.folder / "signed.json", json.dumps(self.signed() | signed, indent=1) + "\n")

    def where(self, role: str) -> Path:
        """The pattern of a role's files, for a person."""
        return self._file(role, "*")

    def _file(self, role: str, keyid: str) -> Path:
        folder = "offline" if role in OFFLINE else "" if role in ONLINE else "models"
        return self.folder / folder / f"{role_name(role)}-{keyid[:_ID]}.pem"

    def _files(self, role: str) -> list[Path]:
        """Those with an ID of full length behind the name, as a name may hold hyphens too."""
        pattern = self._file(role, "?" * _ID)
        return sorted(pattern.parent.glob(pattern.name))

    def _is_of(self, path: Path, keyids: Collection[str]) -> bool:
        return path.stem[-_ID:] in {keyid[:_ID] for keyid in keyids}

    def _read(self, path: Path) -> CryptoSigner:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        password = os.environ.get(PASSWORD, "").encode() or None
        content = path.read_bytes()
        try:
            key = load_pem_private_key(content, password if b"ENCRYPTED" in content else None)
            return CryptoSigner(key)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path}: holds no key, or one under another password; set {PASSWORD} to its own"
            ) from error

    def _write(self, path: Path, signer: CryptoSigner, *, locked: bool) -> None:
        from cryptography.hazmat.primitives import serialization

        password = os.environ.get(PASSWORD, "").encode()
        content = signer.private_bytes
        if locked and password:
            content = serialization.load_pem_private_key(content, None).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password),
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic(path) as partial:
            partial.touch(0o600)
            partial.write_bytes(content)
