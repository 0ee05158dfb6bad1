"""A key for each device: it seals every frame, and its broker password is derived from it.

A frame travels with the first 128 bits of HMAC-SHA-256 (RFC 2104) over the link's version, the topic and the frame: not
less than half of the output, as RFC 2104, section 5 asks, and more than NIST SP 800-107 Rev. 1, section 5.3.3 needs
where a guess can only be tried by sending it. Who does not hold a device's key can
neither speak for the device nor, to the device, for the coordinator; whatever the broker lets through. A frame that
is played again does nothing: a transfer is known by its digest, and work by its id.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.errors import InputError, TransferError
from edge_runtime.files import atomic, existing

TAG_BYTES = 16
KEY_BYTES = 32
COORDINATOR = "coordinator"
_OWN = "coordinator.secret"
_FIRST_TAG_BYTES = 32  # of version 1
_SINCE = b"\2"  # the link's version, since which seals are made like this
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class OldPeerError(TransferError):
    """What came is sealed with the right key, in the way of an earlier version of the link."""


@dataclass(frozen=True, slots=True)
class Key:
    """A device's name, its number among the devices (its node id), and the secret that both ends hold."""

    device: str
    number: int
    secret: bytes = field(repr=False)

    @property
    def password(self) -> str:
        """What the device says to the broker; the secret cannot be found from it."""
        return hmac.new(self.secret, b"broker password", hashlib.sha256).hexdigest()

    def seal(self, topic: str, frame: bytes) -> bytes:
        """The frame and its tag for this topic."""
        return frame + self._tag(topic, frame)

    def open(self, topic: str, sealed: bytes) -> bytes:
        """The frame, if it was sealed with this key for this topic.

        Raises:
            OldPeerError: it was, by an end of the link that is older than this one.
            TransferError: it was not.
        """
        frame, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(topic, frame)):
            first = hmac.new(self.secret, topic.encode() + b"\0" + sealed[:-_FIRST_TAG_BYTES], hashlib.sha256)
            if hmac.compare_digest(sealed[-_FIRST_TAG_BYTES:], first.digest()):
                raise OldPeerError(
                    f"'{self.device}' speaks version 1 of the device link, and this end speaks version {_SINCE[0]}; "
                    f"update the device's littoral"
                )
            raise TransferError(
                f"a message on {topic} is not sealed with the key of '{self.device}'; refused"
            )
        return frame

    def _tag(self, topic: str, frame: bytes) -> bytes:
        seal = hmac.new(self.secret, _SINCE + topic.encode() + b"\0", hashlib.sha256)
        seal.update(frame)
        return seal.digest()[:TAG_BYTES]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the key, for its owner alone to read."""
        text = json.dumps({"device": self.device, "number": self.number, "key": self.secret.hex()})
        with atomic(path) as partial:
            partial.touch(mode=0o600)
            partial.write_text(text + "\n", encoding="utf-8")
        return Path(path)


def load(path: str | os.PathLike[str]) -> Key:
    """Read a key.

    Raises:
        InputError: there is none at the path, or it is damaged.
    """
    key = _read(path)
    check_name(key.device)
    return key


def _read(path: str | os.PathLike[str]) -> Key:
    try:
        found = json.loads(existing(path, "a key, as 'littoral federate enrol' makes it").read_text("utf-8"))
        key = Key(str(found["device"]), int(found["number"]), bytes.fromhex(found["key"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a device's key; make one with: littoral federate enrol") from error
    if len(key.secret) != KEY_BYTES or key.number < 0:
        raise InputError(f"{path}: not a device's key; make one with: littoral federate enrol")
    return key


def enrol(device: str, folder: str | os.PathLike[str]) -> Path:
    """Make a new device's key in the coordinator's folder of keys, and return its path: the device needs a copy.

    Raises:
        InputError: the device has one already, or its name cannot be one.
    """
    path = Path(folder) / f"{check_name(device)}.key"
    if path.exists():
        raise InputError(f"{path}: '{device}' is enrolled; remove the file first to give it another key")
    numbers = [key.number for key in load_all(folder, empty=True).values()]
    return Key(device, max(numbers, default=-1) + 1, secrets.token_bytes(KEY_BYTES)).save(path)


def load_all(folder: str | os.PathLike[str], *, empty: bool = False) -> Mapping[str, Key]:
    """The keys of all enrolled devices, by name, in the order of their numbers.

    Raises:
        InputError: there are none (unless `empty`), or one is damaged, or two devices have one number.
    """
    found = sorted((load(path) for path in Path(folder).glob("*.key")), key=lambda key: key.number)
    if not found and not empty:
        raise InputError(f"{folder}: no keys; make one for each device with: littoral federate enrol")
    if len({key.number for key in found}) != len(found):
        raise InputError(f"{folder}: two devices have the same number; enrol one of them anew")
    return {key.device: key for key in found}


def coordinator(folder: str | os.PathLike[str]) -> Key:
    """The coordinator's own key, for the broker alone; made on first use."""
    path = Path(folder) / _OWN
    if not path.exists():
        Key(COORDINATOR, 0, secrets.token_bytes(KEY_BYTES)).save(path)
    return _read(path)


def check_name(device: str) -> str:
    """The name, if it can be a device's.

    Raises:
        InputError: it cannot.
    """
    if not _NAME.fullmatch(device) or device == COORDINATOR:
        raise InputError(
            f"device '{device}': expected a name of up to 64 letters, digits, '.', '_' and '-', "
            f"and not '{COORDINATOR}'"
        )
    return device
