"""Which shard a device connects to: rendezvous hashing (Thaler and Ravishankar, 1998).

Every device ranks all shards by a hash of both names and takes the best that answers. A shard that goes moves only its
own devices, each to the second of its own list, and one that comes takes an equal share from each of the others.
"""

import hashlib
from collections.abc import Sequence


def placed(device: str, shards: Sequence[str]) -> tuple[str, ...]:
    """The shards in the order in which the device tries them.

    >>> placed("pi-1", ["mqtts://a:8883", "mqtts://b:8883"])
    ('mqtts://b:8883', 'mqtts://a:8883')
    """
    return tuple(sorted(shards, key=lambda shard: _weight(device, shard), reverse=True))


def _weight(device: str, shard: str) -> bytes:
    return hashlib.sha256(f"{shard}\0{device}".encode()).digest()
