"""Homomorphic encryption for small heads: the server adds updates that it cannot read (CKKS, by TenSEAL).

Cheon, Kim, Kim and Song 2017, "Homomorphic Encryption for Arithmetic of Approximate Numbers". One encryption holds
2,048 numbers. Only sums are wanted, so there is one prime of 54 bits and no level for products: 128-bit security at
ring dimension 4096 (Homomorphic Encryption Standard 2018, at most 109 bits), and a sixth of the size of common
settings. An update grows about eightfold over float32, where secure aggregation shrinks it, and time is spent on every
number: for a head of some thousand weights, where devices cannot answer several times in a round.

All devices hold one secret key, the server none. So a device that works together with the server opens any update;
secure aggregation needs a third of them to. The sum is right to about 1e-6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import BackendError, FleetError
from federated.robust.submission import Vector

_DIMENSION = 4096
_SLOTS = _DIMENSION // 2
_PRIMES = [54, 54]  # bits: the data's, and the special one of keys; 108 of the 109 that are safe
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
