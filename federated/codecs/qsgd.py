"""QSGD: stochastic rounding to a few levels, one scale for each bucket of elements; unbiased.

Alistarh et al. 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding": an element v of a
bucket with scale s becomes ``sign(v) s l / levels``, where l is ``levels |v| / s`` rounded up or down at random so
that the mean is v. With s the L2 norm of a large bucket and one level, nearly all elements become 0 and entropy
coding leaves a fraction of a bit of each; the noise that comes with it averages out over clients and rounds.

Three scales: `l2`, the norm of the bucket (the paper's); `max`, its largest magnitude, for 2 to 8 bits; and
`shared`, one for the whole update: the root mean square of the buckets' L2 norms. With equal scales the noise is least
for the same number of elements that are not 0 (each costs about the same bits, and brings noise in proportion to its
scale). An element beyond the scale then takes as many levels as it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError, TransferError
from edge_runtime.tensors import Array
from federated.codecs import levels as coding
from federated.codecs.codec import Context, Vector
from federated.codecs.reader import Reader, varint
from federated.codecs.symbols import read_bytes, write_bytes
from federated.codecs.vector import flatten, length, split

_MOST = 127
_STEPS = 8  # of a bucket's scale: to an octave, in one byte, below the largest
_NORMS = ("shared", "l2", "max")


@dataclass(frozen=True, slots=True)
class QSGD:
    """`levels` above 0 (1 to 127), buckets of so many elements, and which scale: shared, l2 or max.

    `bits` 1 to 8 stands for the levels that as many bits hold: 2 bits are ternary (1 level), 8 bits 127 levels. One
    bit has no zero: an element becomes the scale or its negative.
    """

    levels: int = 1
    bucket: int = 512
    norm: str = "shared"
    bits: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= _MOST:
            raise InputError(f"qsgd: levels {self.levels}: expected 1 to {_MOST}")
        if not 1 <= self.bucket <= 1 << 24:
            raise InputError(f"qsgd: bucket {self.bucket}: expected 1 to {1 << 24} elements")
        if self.norm not in _NORMS:
            raise InputError(f"qsgd: norm '{self.norm}': expected one of {', '.join(_NORMS)}")
        if not 0 <= self.bits <= 8:
            raise InputError(f"qsgd: bits {self.bits}: expected 1 to 8")
        if self.bits == 1 and self.norm != "max":
            raise InputError("qsgd: one bit needs norm=max, for an element must not be beyond its scale")

    @property
    def most(self) -> int:
        """The levels above 0."""
        return max(2 ** (self.bits - 1) - 1, 1) if self.bits else self.levels

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        vector = flatten(update)
        if not vector.any():
            return bytes(4)
        if self.norm == "shared":
            return self._shared(vector, context)
        head, scales = _write_scales(self._norms(vector))
        each = np.repeat(scales, self.bucket)[: len(vector)]
        ratio = np.divide(np.abs(vector), each, out=np.zeros_like(vector), where=each > 0)
        dither = context.generator().random(len(vector), np.float32)
        if self.bits == 1:
            up = dither < (1 + np.sign(vector) * ratio) / 2
            return head + np.packbits(up).tobytes()
        found = np.minimum(np.floor(ratio * self.most + dither), self.most)
        return head + coding.encode(np.copysign(found, vector).astype(np.int16), self.most)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        count = length(like)
        if self.norm == "shared":
            return split(_read_shared(content, count), like)
        scales = _read_scales(content, -(-count // self.bucket))
        if scales is None:
            return split(np.zeros(count, np.float32), like)
        if self.bits == 1:
            bits = np.unpackbits(content.array("u1", -(-count // 8)), count=count)
            quantised = bits.astype(np.float32) * 2 - 1
        else:
            quantised = coding.decode(content, count, self.most).astype(np.float32) / np.float32(self.most)
        return split(quantised * np.repeat(scales, self.bucket)[:count], like)

    def _norms(self, vector: Vector) -> Vector:
        padded = np.zeros(-(-len(vector) // self.bucket) * self.bucket, np.float32)
        padded[: len(vector)] = vector
        buckets = padded.reshape(-1, self.bucket)
        if self.norm == "max":
            return np.asarray(np.abs(buckets).max(axis=1))
        largest = np.abs(vector).max()  # squares of very small or large numbers do not fit
        return np.asarray(np.sqrt(np.square(buckets / largest).sum(axis=1)) * largest)

    def _shared(self, vector: Vector, context: Context) -> bytes:
        largest = float(np.abs(vector).max())
        rms = largest * float(np.sqrt(np.mean(np.square(vector / largest, dtype=np.float64))))
        scale = np.float32(max(rms * self.bucket**0.5, largest * self.levels / _MOST) / self.levels)
        dither = context.generator().random(len(vector), np.float32)
        found = np.minimum(np.floor(np.abs(vector) / scale + dither), _MOST)
        most = max(int(found.max()), 1)
        levels = np.copysign(found, vector).astype(np.int16)
        return bytes(scale.astype("<f4").data) + varint(most) + coding.encode(levels, most)


def _read_shared(content: Reader, count: int) -> Vector:
    (scale,) = content.scales(1)
    if scale == 0:
        return np.zeros(count, np.float32)
    most = content.varint(_MOST)
    if not most:
        raise TransferError("update is damaged: it has no levels")
    with np.errstate(over="ignore"):
        return np.asarray(coding.decode(content, count, most).astype(np.float32) * scale)


def _write_scales(scales: Vector) -> tuple[bytes, Vector]:
    """The largest as float32, each as a byte below it, rounded up; and what the receiver will read.

    Rounding a scale keeps the codec unbiased, since the levels are drawn with the rounded one; rounding it up keeps
    every element within it.
    """
    largest = scales.max()
    with np.errstate(divide="ignore"):
        below = np.floor(np.log2(largest / scales.astype(np.float64)) * _STEPS + 1e-9)
    codes = np.where(scales > 0, np.clip(below, 0, 254), 255).astype(np.uint8)
    return largest.astype("<f4").tobytes() + write_bytes(codes), _scales(largest, codes)


def _read_scales(content: Reader, count: int) -> Vector | None:
    (largest,) = content.scales(1)
    return None if largest == 0 else _scales(largest, read_bytes(content, count))


def _scales(largest: np.float32, codes: Array) -> Vector:
    # A table of exact quotients of two, times one of eight constants: the same on every machine.
    octaves, eighths = np.divmod(codes.astype(np.int64), _STEPS)
    fine = np.array([2 ** (-i / _STEPS) for i in range(_STEPS)], np.float32)
    found = np.ldexp(largest * fine[eighths], -octaves)
    found[codes == 255] = 0
    return np.asarray(found, np.float32)
