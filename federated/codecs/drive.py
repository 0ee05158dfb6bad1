"""DRIVE and EDEN: a random rotation makes every element alike, then one bit or a few are enough for each; unbiased.

Vargaftik et al. 2021, "DRIVE: One-bit Distributed Mean Estimation", and 2022, "EDEN: Communication-Efficient and Robust
Distributed Mean Estimation for Federated Learning". A block x is rotated by ``R = H D``, H the orthonormal Hadamard
matrix and D random signs drawn from a seed in the message. The rotated elements are nearly normal, so each is sent as
the nearest centroid of the best quantiser of a normal distribution (Max 1960; for one bit, its sign). The scale
``|x|² / <Rx, q>`` makes the estimate unbiased over rotations.

Below one bit: a seeded mask before it, as in ``mask:fraction=0.25(drive)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs import shared
from federated.codecs.codec import Context
from federated.codecs.reader import Reader
from federated.codecs.symbols import pack_bits, unpack_bits
from federated.codecs.vector import flatten, length, split

Blocks = NDArray[np.float32]

# Positive centroids of the Lloyd-Max quantiser of the standard normal distribution, by bits.
CENTROIDS = {
    1: (0.797885,),
    2: (0.452780, 1.510418),
    3: (0.245094, 0.756005, 1.343909, 2.151946),
    4: (0.128395, 0.388048, 0.656759, 0.942340, 1.256231, 1.618046, 2.069017, 2.732590),
}


@dataclass(frozen=True, slots=True)
class Drive:
    """`bits` an element (1 to 4), rotated in blocks of `block` elements, a power of two."""

    bits: int = 1
    block: int = 4096

    def __post_init__(self) -> None:
        if self.bits not in CENTROIDS:
            raise InputError(f"drive: bits {self.bits}: expected 1 to {len(CENTROIDS)}")
        if self.block & (self.block - 1) or not 2 <= self.block <= 1 << 20:
            raise InputError(f"drive: block {self.block}: expected a power of two, 2 to {1 << 20}")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        vector = flatten(update)
        key, width = context.key(1), self._width(len(vector))
        blocks = np.zeros((-(-len(vector) // width), width), np.float32)
        blocks.reshape(-1)[: len(vector)] = vector
        largest = np.abs(blocks).max(axis=1, initial=0, keepdims=True)
        blocks = np.divide(blocks, largest, out=np.zeros_like(blocks), where=largest > 0)
        rotated = hadamard(blocks * shared.signs(key, blocks.size).reshape(blocks.shape))
        energy = np.square(blocks).sum(axis=1, keepdims=True)
        spread = np.sqrt(energy / width)
        normal = np.divide(rotated, spread, out=np.zeros_like(rotated), where=spread > 0)
        codes = self._codes(normal)
        product = (rotated * self._values(codes)).sum(axis=1, keepdims=True)
        scales = np.divide(energy * largest, product, out=np.zeros_like(energy), where=product > 0)
        head = key.to_bytes(4, "little") + bytes(scales.astype("<f4").data)
        return head + pack_bits(codes.reshape(-1), self.bits)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        count = length(like)
        key, width = int.from_bytes(content.take(4), "little"), self._width(count)
        shape = -(-count // width), width
        scales = content.scales(shape[0])
        codes = unpack_bits(content, shape[0] * width, self.bits).reshape(shape)
        turned = hadamard(self._values(codes)) * shared.signs(key, codes.size).reshape(shape)
        with np.errstate(over="ignore"):
            vector = (turned * scales[:, None]).reshape(-1)[:count]
        return split(vector, like)

    def _width(self, count: int) -> int:
        return min(self.block, 1 << max(count - 1, 1).bit_length())

    def _codes(self, normal: Blocks) -> NDArray[np.int64]:
        """The index of the nearest centroid, from the lowest up."""
        centroids = self._centroids()
        return np.asarray(np.searchsorted((centroids[1:] + centroids[:-1]) / 2, normal))

    def _values(self, codes: NDArray[np.int64]) -> Blocks:
        return self._centroids()[codes]

    def _centroids(self) -> Blocks:
        positive = np.array(CENTROIDS[self.bits], np.float32)
        return np.concatenate([-positive[::-1], positive])


def hadamard(blocks: Blocks) -> Blocks:
    """Each row times the orthonormal Hadamard matrix, which is its own inverse: float32[n, 2^k].

    Additions in a fixed order, so the same on every machine.
    """
    count, width = blocks.shape
    found, half = blocks, 1
    while half < width and count:
        pairs = found.reshape(count, -1, 2, half)
        found = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        half *= 2
    return found.reshape(count, width) / np.float32(np.sqrt(width))
