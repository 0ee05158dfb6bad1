"""Secure aggregation: a server learns the sum of a group's numbers modulo m, and nothing of any one device.

Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning", Figure 4, without the
signatures of its active-adversary variant. Four messages of a device, each the answer to one of the server's:

1. advertise: two public keys. The server sends all of them to all: the roster.
2. share: the seeds of its mask key s and of its self mask b, each split so that any t of n devices can recover it,
   a share for each other device, sealed so that only that one can read it. The server passes them on: the mail.
3. masked input: ``y_u = x_u + PRG(b_u) + sum_(v > u) PRG(s_uv) - sum_(v < u) PRG(s_uv)  mod m``, over the v whose
   mail came. In the sum over all u the pairs cancel. The server sends the list of those who got so far: survivors.
4. unmask: for each device of the mail one share: of its self mask if it survived, else of its mask key. Never both,
   and only once: both together would open y_u.

A device may vanish after any message; t of them have to answer the last. t is more than half of the group, so no two
different lists of survivors can both be unmasked, whatever the server sends to whom. What is assumed: the server runs
this protocol and passes on true keys. One that invents devices of its own is held back by authenticating the
messages (the device link's business), not here.

`Device` and `Server` are state machines on bytes; what carries the bytes is not their concern. All numbers are little
endian.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import FleetError
from federated.codecs.reader import Reader
from federated.codecs.symbols import pack_bits, unpack_bits
from federated.privacy import keys, shamir
from federated.privacy.keys import KEY_BYTES, SEALED_BYTES, Words
from federated.privacy.shamir import BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_NUMBER = struct.Struct("<Q")
_ADVERT = 2 * KEY_BYTES
_NO_SHARE = bytes([255]) * BYTES  # above the prime, so it is no share


@dataclass(frozen=True)
class Group:
    """Who sums: the session's random salt, the members, t, and `count` words below m = 2**bits each."""

    session: bytes
    members: tuple[int, ...]
    threshold: int
    count: int
    bits: int

    def __post_init__(self) -> None:
        n = len(self.members)
        if len(set(self.members)) != n or n < 3:
            raise FleetError(f"secure aggregation needs a group of at least 3 different devices, got {n}")
        if not n < 2 * self.threshold <= 2 * n:
            raise FleetError(
                f"secure aggregation: threshold {self.threshold}: expected over half of {n}, at most {n}"
            )
        if not 1 <= self.bits <= 16 or self.count < 1:
            raise FleetError(
                f"secure aggregation: {self.count} words of {self.bits} bits: expected some of 1 to 16"
            )

    @cached_property
    def holders(self) -> dict[int, int]:
        """Each member's place, from 1: where its shares lie on the polynomials."""
        return {member: i for i, member in enumerate(sorted(self.members), 1)}

    @property
    def masked_bytes(self) -> int:
        """The length of a masked input."""
        return -(-self.count * self.bits // 8)


def threshold(devices: int) -> int:
    """Two thirds and one: 30 % may vanish, and a third of the devices together with the server learn nothing.

    >>> threshold(20), threshold(10)
    (14, 7)
    """
    return max(devices // 2 + 1, min(devices * 2 // 3 + 1, devices - int(devices * 0.3)))


class Device:
    """One device in one session; a message that comes out of turn, twice or altered is a FleetError."""

    def __init__(self, number: int, group: Group) -> None:
        """Draw the device's secrets.

        Args:
            number: of this device, one of the group's members.
            group: who sums what.
        """
        if number not in group.holders:
            raise FleetError(f"secure aggregation: device {number} is not of the group")
        self._number, self._group = number, group
        self._mask_seed, self._self_seed = shamir.draw(), shamir.draw()
        self._seal_key = keys.private_key(shamir.draw(), group.session, "seal")
        self._mask_key = keys.private_key(self._mask_seed, group.session, "mask")
        self._roster: dict[int, bytes] = {}
        self._own_shares: tuple[int, int] = (0, 0)
        self._mail: dict[int, bytes] = {}
        self._done = 0

    def advertise(self) -> bytes:
        """Message 1."""
        self._turn(1)
        return keys.public_bytes(self._seal_key) + keys.public_bytes(self._mask_key)

    def share(self, roster: bytes) -> bytes:
        """Message 2, from the server's roster.

        Raises:
            FleetError: the roster lacks this device or is too short, or a key is in it twice.
        """
        self._turn(2)
        found = _read_numbered(roster, _ADVERT, self._group)
        halves = [advert[i : i + KEY_BYTES] for advert in found.values() for i in (0, KEY_BYTES)]
        mine = keys.public_bytes(self._seal_key) + keys.public_bytes(self._mask_key)
        if found.get(self._number) != mine or len(set(halves)) < len(halves):
            raise FleetError("secure aggregation: the roster has not this device's keys, or one key twice")
        self._enough(found, "answered with keys")
        self._roster = found
        holders = [self._group.holders[member] for member in found]
        split = [
            shamir.split(seed, holders, self._group.threshold) for seed in (self._mask_seed, self._self_seed)
        ]
        own = self._group.holders[self._number]
        self._own_shares = split[0][own], split[1][own]
        return b"".join(self._sealed(other, split) for other in sorted(found) if other != self._number)

    def mask(self, mail: bytes, words: Words) -> bytes:
        """Message 3, from the server's mail: uint16[count] words, each below m, under their masks.

        Raises:
            FleetError: too few devices' mail came, or the words do not fit the group.
        """
        self._turn(3)
        group = self._group
        if words.shape != (group.count,) or (words >> np.uint16(group.bits)).any():
            raise FleetError(f"secure aggregation: expected {group.count} words of {group.bits} bits")
        found = _read_numbered(mail, SEALED_BYTES, group)
        if not found.keys() <= self._roster.keys() - {self._number}:
            raise FleetError("secure aggregation: mail of a device that is not in the roster")
        self._enough([*found, self._number], "shared their seeds")
        self._mail = found
        total = words + _self_mask(self._self_seed, group)
        for other in found:
            public = self._roster[other][KEY_BYTES:]
            total = total + _pair_mask(self._mask_key, self._number, other, public, group)
        return pack_bits(total & np.uint16((1 << group.bits) - 1), group.bits)

    def unmask(self, survivors: bytes) -> bytes:
        """Message 4, from the server's list: for each device of the mail, and itself, one share of 16 bytes.

        Raises:
            FleetError: the list lacks this device, is too short, or names one whose mail did not come.
        """
        self._turn(4)
        alive = _read_list(survivors, self._group)
        everybody = {*self._mail, self._number}
        if self._number not in alive or not alive <= everybody:
            raise FleetError("secure aggregation: the list of survivors lacks this device, or has strangers")
        self._enough(alive, "sent a masked update")
        return b"".join(self._revealed(other, other in alive) for other in sorted(everybody))

    def _turn(self, message: int) -> None:
        if self._done != message - 1:
            raise FleetError(
                f"secure aggregation: message {message} after message {self._done}; each comes once"
            )
        self._done = message

    def _enough(self, devices: Iterable[int], what: str) -> None:
        count = len(list(devices))
        if count < self._group.threshold:
            raise FleetError(
                f"secure aggregation: {count} devices {what}; {self._group.threshold} are needed"
            )

    def _sealed(self, other: int, split: Sequence[Mapping[int, int]]) -> bytes:
        at = self._group.holders[other]
        text = b"".join(shares[at].to_bytes(BYTES, "little") for shares in split)
        secret = keys.agree(self._seal_key, self._roster[other][:KEY_BYTES])
        return keys.seal(secret, self._group.session, self._number, other, text)

    def _revealed(self, other: int, survived: bool) -> bytes:
        if other == self._number:
            return self._own_shares[1].to_bytes(BYTES, "little")
        secret = keys.agree(self._seal_key, self._roster[other][:KEY_BYTES])
        text = keys.unseal(secret, self._group.session, other, self._number, self._mail[other])
        if text is None or len(text) != 2 * BYTES:
            return _NO_SHARE  # the other device's fault; enough others hold shares of it
        return text[BYTES:] if survived else text[:BYTES]


class Server:
    """The server's side of one session: it passes messages on, and unmasks the sum of the survivors."""

    def __init__(self, group: Group) -> None:
        """Begin a session for a group."""
        self._group = group
        self._adverts: dict[int, bytes] = {}
        self._shared: tuple[int, ...] = ()
        self._sum: Words = np.zeros(group.count, np.uint16)
        self._alive: tuple[int, ...] = ()

    def roster(self, adverts: Mapping[int, bytes]) -> bytes:
        """The answer to messages 1 by device: for all who sent one."""
        self._adverts = {
            d: adverts[d] for d in sorted(self._usable(adverts, _ADVERT)) if d in self._group.holders
        }
        self._enough(self._adverts, "answered with keys")
        return _write_numbered(self._adverts)

    def mail(self, shares: Mapping[int, bytes]) -> dict[int, bytes]:
        """The answers to messages 2 by device: to each its sealed shares from all others that sent some."""
        whole = self._usable(shares, SEALED_BYTES * (len(self._adverts) - 1)) & self._adverts.keys()
        self._shared = tuple(sorted(whole))
        self._enough(self._shared, "shared their seeds")
        return {
            receiver: _write_numbered(
                {
                    sender: self._letter(shares[sender], sender, receiver)
                    for sender in self._shared
                    if sender != receiver
                }
            )
            for receiver in self._shared
        }

    def survivors(self, masked: Mapping[int, bytes]) -> bytes:
        """The answer to messages 3 by device: the list of those who sent one. They are summed at once."""
        alive = self._usable(masked, self._group.masked_bytes) & set(self._shared)
        self._alive = tuple(sorted(alive))
        self._enough(self._alive, "sent a masked update")
        for device in self._alive:
            words = unpack_bits(Reader(masked[device]), self._group.count, self._group.bits)
            self._sum = self._sum + words.astype(np.uint16)
        return b"".join(_NUMBER.pack(device) for device in self._alive)

    def total(self, revealed: Mapping[int, bytes]) -> tuple[Words, tuple[int, ...]]:
        """From messages 4 by device: the sum of the survivors' words modulo m, uint16[count], and who they are.

        Raises:
            FleetError: too few answered, or their shares do not fit together.
        """
        group = self._group
        answered = self._usable(revealed, BYTES * len(self._shared)) & set(self._alive)
        self._enough(answered, "revealed their shares")
        total = self._sum
        for place, device in enumerate(self._shared):
            seed = self._recovered(place, {each: revealed[each] for each in answered})
            if device in self._alive:
                total = total - _self_mask(seed, group)
                continue
            key = keys.private_key(seed, group.session, "mask")
            if keys.public_bytes(key) != self._adverts[device][KEY_BYTES:]:
                raise FleetError(
                    f"secure aggregation: the shares of device {device}'s key do not fit together"
                )
            for other in self._alive:
                total = total + _pair_mask(key, device, other, self._adverts[other][KEY_BYTES:], group)
        return total & np.uint16((1 << group.bits) - 1), self._alive

    def _recovered(self, place: int, revealed: Mapping[int, bytes]) -> int:
        part = slice(BYTES * place, BYTES * (place + 1))
        shares = {
            self._group.holders[d]: int.from_bytes(text[part], "little") for d, text in revealed.items()
        }
        return shamir.join(
            {x: share for x, share in shares.items() if share < shamir.PRIME}, self._group.threshold
        )

    def _letter(self, bundle: bytes, sender: int, receiver: int) -> bytes:
        others = [device for device in self._adverts if device != sender]
        at = SEALED_BYTES * others.index(receiver)
        return bundle[at : at + SEALED_BYTES]

    def _usable(self, messages: Mapping[int, bytes], length: int) -> set[int]:
        """Devices whose message has the right length; another is as good as none."""
        return {device for device, message in messages.items() if len(message) == length}

    def _enough(self, devices: Iterable[int], what: str) -> None:
        count = len(list(devices))
        if count < self._group.threshold:
            raise FleetError(
                f"secure aggregation: {count} devices {what}; {self._group.threshold} are needed"
            )


def _self_mask(seed: int, group: Group) -> Words:
    key = keys.derive(seed.to_bytes(BYTES, "big"), group.session, "self")
    return keys.mask(key, group.count, group.bits)


def _pair_mask(key: "X25519PrivateKey", device: int, other: int, public: bytes, group: Group) -> Words:
    """What `device`, whose key it is, adds for its pair with `other`; modulo 2**16, of which m is a divisor."""
    low, high = sorted((device, other))
    shared = keys.derive(keys.agree(key, public), group.session, "pair", low, high)
    found = keys.mask(shared, group.count, group.bits)
    return found if device == low else np.negative(found)


def _write_numbered(parts: Mapping[int, bytes]) -> bytes:
    return b"".join(_NUMBER.pack(number) + part for number, part in parts.items())


def _read_numbered(text: bytes, length: int, group: Group) -> dict[int, bytes]:
    size = _NUMBER.size + length
    if len(text) % size:
        raise FleetError("secure aggregation: a message of the server was cut short")
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    found = {_NUMBER.unpack(part[: _NUMBER.size])[0]: part[_NUMBER.size :] for part in parts}
    if len(found) < len(parts) or not found.keys() <= group.holders.keys():
        raise FleetError("secure aggregation: a device is named twice, or is not of the group")
    return found


def _read_list(text: bytes, group: Group) -> set[int]:
    return set(_read_numbered(text, 0, group))
