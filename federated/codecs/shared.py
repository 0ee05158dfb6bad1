"""Random bits that sender and receiver draw alike from a seed in the message.

NumPy may change what its distributions draw from one version to the next, but never the raw words of a bit
generator (NEP 19); so everything here is made of those: Philox (Salmon et al. 2011).
"""

import numpy as np
from numpy.typing import NDArray


def words(key: int, count: int) -> NDArray[np.uint32]:
    """`count` random words of 32 bits."""
    raw = np.random.Philox(key).random_raw(-(-count // 2)).astype("<u8")
    return raw.view("<u4")[:count].astype(np.uint32)


def signs(key: int, count: int) -> NDArray[np.float32]:
    """`count` random signs, -1 or 1."""
    bits = np.unpackbits(words(key, -(-count // 32)).astype("<u4").view(np.uint8), count=count)
    return bits.astype(np.float32) * 2 - 1


def chosen(key: int, count: int, fraction: float) -> NDArray[np.int64]:
    """The positions below `count` that a coin with probability `fraction` chooses, in order."""
    return np.flatnonzero(words(key, count) < fraction * 2**32)
