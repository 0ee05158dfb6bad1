"""Homomorphic encryption for small heads: the server adds updates that it cannot read (CKKS, by TenSEAL).

Cheon, Kim, Kim and Song 2017, "Homomorphic Encryption for Arithmetic of Approximate Numbers". One encryption holds
2,048 numbers. Only sums are wanted, so there is one prime of 54 bits and no level for products: 128-bit security at
ring dimension 4096 (Homomorphic Encryption Standard 2018, at most 109 bits), and a sixth of the size of common
settings. An update grows about eightfold over float32, where secure aggregation shrinks it, and time is spent on every
number: for a head of some thousand weights, where devices cannot answer several times in a round.

All devices hold one secret key, the server none. So a device that works together with the server opens any update;
secure aggregation needs a third of them to. The sum is right to about 1e-6.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import BackendError, FleetError, InputError
from edge_runtime.files import atomic, existing
from federated.privacy.masked import Sum
from federated.robust.submission import Vector

_DIMENSION = 4096
_SLOTS = _DIMENSION // 2
_PRIMES = [54, 54]  # bits: the data's, and the special one of keys; 108 of the 109 that are safe
_DEVICE, _SERVER = b"littoral device key\n", b"littoral server key\n"  # what a key's file begins with
_UNIT = 1000  # examples: what a weight of 1 stands for, so that sums stay within range
_LENGTH = struct.Struct(">I")
_SCALE = 2.0**36  # leaves 17 bits before the point: sums up to 100,000


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """What the devices share and the server must not have: encrypts and decrypts."""

    context: bytes

    def encrypt(self, delta: Vector) -> list[bytes]:
        """Encrypt a change float64[d], 2,048 numbers to a message."""
        ts, context = _open(self.context)
        parts = np.split(delta, range(_SLOTS, len(delta), _SLOTS))
        return [ts.ckks_vector(context, part.tolist()).serialize() for part in parts]

    def decrypt(self, sums: Sequence[bytes], size: int) -> Vector:
        """The change float64[size] that the messages hold.

        Raises:
            FleetError: they are not of this key, or hold another number of elements.
        """
        ts, context = _open(self.context)
        try:
            parts = [np.array(ts.ckks_vector_from(context, each).decrypt()) for each in sums]
        except (ValueError, RuntimeError) as error:
            raise FleetError(f"homomorphic encryption: a sum cannot be decrypted: {error}") from error
        found = np.concatenate([np.zeros(0), *parts])
        if found.shape != (size,):
            raise FleetError(f"homomorphic encryption: expected a sum of {size} numbers, got {found.size}")
        return found


@dataclass(frozen=True, slots=True)
class ServerKey:
    """What the server gets: it adds with it and can read nothing."""

    context: bytes

    def add(self, updates: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The encrypted sum of the devices' encrypted changes.

        Raises:
            FleetError: there is none, or one cannot be read or has another size.
        """
        if not updates or len({len(update) for update in updates}) > 1:
            raise FleetError("homomorphic encryption: updates to sum must be there, and of one size")
        ts, context = _open(self.context)
        try:
            found = []
            for parts in zip(*updates, strict=True):
                total = ts.ckks_vector_from(context, parts[0])
                for part in parts[1:]:
                    total += ts.ckks_vector_from(context, part)
                found.append(total.serialize())
        except (ValueError, RuntimeError) as error:
            raise FleetError(f"homomorphic encryption: an update cannot be added: {error}") from error
        return found


def pack(parts: Sequence[bytes]) -> bytes:
    """Several messages as one."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def unpack(text: bytes) -> list[bytes]:
    """The messages that `pack` made one of.

    Raises:
        FleetError: it is cut short.
    """
    found, at = [], 0
    while at < len(text):
        end = at + _LENGTH.size
        length = _LENGTH.unpack_from(text, at)[0] if end <= len(text) else -1
        if not 0 < length <= len(text) - end:
            raise FleetError("homomorphic encryption: an update is cut short")
        found.append(text[end : end + length])
        at = end + length
    return found


def seal(key: DeviceKey, delta: Vector, num_examples: int, loss: float) -> bytes:
    """A device's encrypted change float64[d], weighted by its examples, with their number and its loss."""
    weight = num_examples / _UNIT
    return pack(key.encrypt(np.concatenate([weight * delta, [weight, weight * loss]])))


def read_sum(opened: bytes, size: int, devices: int) -> Sum:
    """What a device says that the sum of the devices' changes is.

    Args:
        opened: float64[size + 2] as bytes.
        size: of a change.
        devices: that are in the sum.

    Raises:
        FleetError: it cannot be one.
    """
    if len(opened) != 8 * (size + 2):
        raise FleetError("homomorphic encryption: the opened sum has another size")
    found = np.frombuffer(opened, np.float64)
    weight = found[size]
    if not np.isfinite(found).all() or weight < 0.5 / _UNIT:
        raise FleetError("homomorphic encryption: the opened sum is none")
    examples = max(round(float(weight) * _UNIT), devices)
    return Sum(found[:size] / weight, examples, float(found[size + 1] / weight), below=1.0, devices=devices)


def save(key: "DeviceKey | ServerKey", path: str | os.PathLike[str]) -> Path:
    """Write a key, for its owner alone to read."""
    with atomic(path) as partial:
        partial.touch(mode=0o600)
        partial.write_bytes((_DEVICE if isinstance(key, DeviceKey) else _SERVER) + key.context)
    return Path(path)


def load_device(path: str | os.PathLike[str]) -> DeviceKey:
    """Read the devices' key.

    Raises:
        InputError: it is not there, or another.
    """
    return DeviceKey(_read(path, _DEVICE, "the devices' key"))


def load_server(path: str | os.PathLike[str]) -> ServerKey:
    """Read the server's key.

    Raises:
        InputError: it is not there, or another: above all the devices', with which the server could read.
    """
    return ServerKey(_read(path, _SERVER, "the server's key"))


def _read(path: str | os.PathLike[str], magic: bytes, what: str) -> bytes:
    text = existing(path, f"{what}, as 'littoral federate encryption' makes it").read_bytes()
    if not text.startswith(magic):
        raise InputError(
            f"{path}: is not {what} of homomorphic encryption; make both with: littoral federate encryption"
        )
    return text.removeprefix(magic)


def generate() -> tuple[DeviceKey, ServerKey]:
    """A new pair of keys: one for all devices, one for the server.

    Raises:
        BackendError: TenSEAL is missing.
    """
    ts = _tenseal()
    context = ts.context(ts.SCHEME_TYPE.CKKS, _DIMENSION, coeff_mod_bit_sizes=_PRIMES)
    context.global_scale = _SCALE
    device = context.serialize(
        save_public_key=True, save_secret_key=True, save_galois_keys=False, save_relin_keys=False
    )
    server = context.serialize(
        save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )
    return DeviceKey(device), ServerKey(server)


def _open(context: bytes) -> tuple[Any, Any]:
    ts = _tenseal()
    return ts, ts.context_from(context)


def _tenseal() -> Any:
    try:
        import tenseal
    except ImportError as error:
        raise BackendError("homomorphic encryption needs TenSEAL: pip install 'littoral[he]'") from error
    return tenseal
