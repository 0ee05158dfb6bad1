"""Updates as the small whole numbers that secure aggregation sums: compressed, and exact under addition modulo m.

Masked numbers look random, so no entropy coding shortens them and no device may choose its own positions. What can be
saved has to be the same for all devices of the group, known before they answer, and linear:

1. clip the update, times its weight n_k / cap, to norm C; C follows the devices (below);
2. rotate: random signs and a Hadamard matrix on blocks, after one shuffle of all elements, all from the round's seed.
   Every element of the result has about the deviation C / sqrt(d), whatever layer it is of, so one scale fits all
   (Suresh et al. 2017, "Distributed Mean Estimation with Limited Communication");
3. keep the share `keep` of the rotated elements, the same for all devices (a seeded mask, unbiased: / keep);
4. round each at random to L levels between -s and s, so that the mean is right (QSGD's rounding);
5. append a few numbers in digits of base L: n_k as weighted and as it is, the loss, and whether the norm was below C.

m = 2**bits is the least power of two above n (L - 1), so the sum of n devices is exact. The server takes the mean of
the sum, undoes 3 and 2, and moves C towards the norm that a fraction `_QUANTILE` of the devices stays below (Andrew et
al. 2021, "Differentially Private Learning with Adaptive Clipping"): it learns that share and no device's norm.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from federated.codecs import shared
from federated.codecs.drive import hadamard
from federated.privacy.keys import Words
from federated.robust.submission import Vector

Places = NDArray[np.int64]

_BLOCK = 1024  # elements that are rotated together; the last block is padded
_WIDTH = 3.0  # s, in deviations of a rotated element: one in 400 of them is cut
_LEAST = 4  # levels: with fewer, rounding adds more noise than the mask of positions
_QUANTILE = 0.8
_FOLLOW = 1.0  # how fast C follows, in log, a round
_LOSS = 1024.0  # parts of a unit of loss
_MOST_LOSS = 63.0
_MOST_EXAMPLES = 2**20


@dataclass(frozen=True, slots=True)
class Coding:
    """How one round's updates become words; the same for the server and all devices of a group.

    Args:
        size: elements of the update, d.
        devices: n, at most so many words are summed.
        bound: C.
        cap: examples from which a device counts in full; less count in proportion.
        keep: the share of elements that is sent.
        key: of the round, 0 to 2**32 - 1.
    """

    size: int
    devices: int
    bound: float
    cap: int
    keep: float = 1 / 16
    key: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1 or not self.bound > 0 or self.cap < 1 or self.size < 1:
            raise InputError(
                f"secure aggregation: keep {self.keep:g}, bound {self.bound:g}, cap {self.cap}: "
                "expected more than 0 to 1, a positive norm, and at least 1"
            )
        if not 1 <= self.devices <= 4096:
            raise InputError(
                f"secure aggregation: a group of {self.devices} devices; at most 4096 sum exactly"
            )

    @property
    def bits(self) -> int:
        """Of a word: the least with `_LEAST` levels and an exact sum."""
        return ((_LEAST - 1) * self.devices).bit_length()

    @property
    def levels(self) -> int:
        """L: as many as the bits allow."""
        return ((1 << self.bits) - 1) // self.devices + 1

    @property
    def count(self) -> int:
        """Words of a device: elements, then the digits of its numbers."""
        return self.kept + sum(map(self._digits, self._numbers))

    @property
    def kept(self) -> int:
        """How many of the rotated elements are sent."""
        return max(1, round(self.keep * self._blocks() * _BLOCK))

    @property
    def _numbers(self) -> tuple[int, ...]:
        """The largest value of each number that a device appends."""
        return self.cap, _MOST_EXAMPLES, int(_LOSS * _MOST_LOSS), 1

    @property
    def _step(self) -> float:
        return 2 * self._edge / (self.levels - 1)

    @property
    def _edge(self) -> float:
        """s: `_WIDTH` deviations of an element of an update of norm C."""
        return _WIDTH * self.bound / math.sqrt(self._blocks() * _BLOCK)

    def _blocks(self) -> int:
        return -(-self.size // _BLOCK)

    def _digits(self, most: int) -> int:
        digits = 1
        while self.levels**digits <= most:
            digits += 1
        return digits

    def _places(self) -> Places:
        """The rotated elements that are kept: a fixed number, drawn anew each round."""
        total = self._blocks() * _BLOCK
        order = np.argsort(shared.words(self.key, total), kind="stable")
        return np.sort(order[: self.kept])

    def _shuffle(self) -> Places:
        return np.argsort(shared.words(self.key ^ 1, self._blocks() * _BLOCK), kind="stable")

    def rotate(self, delta: Vector) -> Vector:
        """The change float64[d], shuffled, signed and rotated: float64[blocks of 1,024]."""
        padded = np.zeros(self._blocks() * _BLOCK, np.float32)
        padded[: self.size] = delta
        signed = padded[self._shuffle()] * shared.signs(self.key ^ 2, padded.size)
        return hadamard(signed.reshape(-1, _BLOCK)).reshape(-1).astype(np.float64)

    def unrotate(self, rotated: Vector) -> Vector:
        """What `rotate` was given."""
        signed = hadamard(rotated.astype(np.float32).reshape(-1, _BLOCK)).reshape(-1)
        padded = np.zeros(signed.size, np.float64)
        padded[self._shuffle()] = signed * shared.signs(self.key ^ 2, signed.size)
        return padded[: self.size]


@dataclass(frozen=True, slots=True)
class Sum:
    """What the server reads from the sum of a group: the mean change, and the devices' numbers together."""

    delta: Vector  # weighted by n_k, each at most the cap
    num_examples: int
    loss: float  # mean over devices
    below: float  # the share of devices whose norm was below C
    devices: int


def encode(coding: Coding, delta: Vector, num_examples: int, loss: float, rng: np.random.Generator) -> Words:
    """A device's words: uint16[count], each below L.

    Args:
        coding: of the round.
        delta: the change of the model, float64[d].
        num_examples: what it rests on; more than `coding.cap` weigh as that.
        loss: of training, 0 to 63.
        rng: of the rounding; the device's own.
    """
    counted = min(num_examples, coding.cap)
    weighted = delta * (counted / coding.cap)
    norm = float(np.linalg.norm(weighted))
    clipped = weighted * min(1.0, coding.bound / max(norm, 1e-300))
    kept = coding.rotate(clipped)[coding._places()]
    exact = (np.clip(kept, -coding._edge, coding._edge) + coding._edge) / coding._step
    words = np.minimum(np.floor(exact + rng.random(exact.shape)), coding.levels - 1)
    shown = min(max(loss, 0.0), _MOST_LOSS) if math.isfinite(loss) else _MOST_LOSS
    numbers = counted, min(num_examples, _MOST_EXAMPLES), round(shown * _LOSS), int(norm <= coding.bound)
    digits = [
        value // coding.levels**i % coding.levels
        for value, most in zip(numbers, coding._numbers, strict=True)
        for i in range(coding._digits(most))
    ]
    return np.concatenate([words, digits]).astype(np.uint16)


def decode(coding: Coding, total: Words, devices: int) -> Sum:
    """Read the sum of `devices` devices' words.

    Args:
        coding: of the round.
        total: uint16[count], the exact sum.
        devices: how many are in it; those that vanished are not.
    """
    sums = total.astype(np.int64)
    rotated = np.zeros(coding._blocks() * _BLOCK)
    rotated[coding._places()] = (sums[: coding.kept] * coding._step - devices * coding._edge) / coding.keep
    left, numbers = sums[coding.kept :].tolist(), []
    for most in coding._numbers:
        digits, left = left[: coding._digits(most)], left[coding._digits(most) :]
        numbers.append(sum(digit * coding.levels**i for i, digit in enumerate(digits)))
    counted, examples, loss, below = numbers
    mean = coding.unrotate(rotated) * (coding.cap / max(counted, 1))
    return Sum(mean, examples, loss / devices / _LOSS, below / devices, devices)


def follow(bound: float, below: float) -> float:
    """The next round's C, from the share of devices whose norm was below this one's."""
    return bound * math.exp(-_FOLLOW * (below - _QUANTILE))
