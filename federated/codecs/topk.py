"""Sparsity: only the elements of largest magnitude, as positions and values.

Top-k keeps a fixed share (Aji and Heafield 2017, "Sparse Communication for Distributed Gradient Descent"); a threshold
keeps what stands out from the update's root mean square, so that quiet rounds cost less (Strom 2015). With signs and
one mean magnitude for the values it is sparse binary compression (Sattler et al. 2019). Both are biased: use them with
error feedback.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs import positions
from federated.codecs.codec import Codec, Context, Vector
from federated.codecs.positions import Positions
from federated.codecs.reader import Reader
from federated.codecs.signsgd import Sign
from federated.codecs.vector import flatten, length, split

VALUES = "values"
"""The name under which an inner codec gets one vector."""


@dataclass(frozen=True, slots=True)
class TopK:
    """The share `fraction` of all elements with the largest magnitudes; `inner` codes their values."""

    fraction: float = 0.01
    inner: Codec = field(default_factory=Sign)

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"topk: fraction {self.fraction:g}: expected more than 0 and at most 1")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        vector = flatten(update)
        kept = min(max(round(self.fraction * len(vector)), 1), len(vector))
        places = np.sort(np.argpartition(-np.abs(vector), kept - 1)[:kept]) if kept else np.zeros(0, np.int64)
        return _write(vector, places, self.inner, context)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        return _read(content, like, self.inner)


@dataclass(frozen=True, slots=True)
class Threshold:
    """The elements beyond `times` the root mean square of all; `inner` codes their values."""

    times: float = 4.0
    inner: Codec = field(default_factory=Sign)

    def __post_init__(self) -> None:
        if not 0 <= self.times < float("inf"):
            raise InputError(f"threshold: times {self.times:g}: expected 0 or more, such as 4")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        vector = flatten(update)
        rms = np.sqrt(np.mean(np.square(vector, dtype=np.float64))) if len(vector) else 0.0
        return _write(vector, np.flatnonzero(np.abs(vector) > self.times * rms), self.inner, context)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        return _read(content, like, self.inner)


def _write(vector: Vector, places: Positions, inner: Codec, context: Context) -> bytes:
    return positions.encode(places, len(vector)) + inner.encode({VALUES: vector[places]}, context)


def _read(content: Reader, like: Mapping[str, Array], inner: Codec) -> dict[str, Array]:
    vector = np.zeros(length(like), np.float32)
    places = positions.decode(content, len(vector))
    vector[places] = inner.decode(content, {VALUES: np.empty(len(places), np.float32)})[VALUES]
    return split(vector, like)
