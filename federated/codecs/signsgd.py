"""Signs alone, one bit an element: scaled by a tensor's mean magnitude, or put to the vote of all clients.

Bernstein et al. 2018, "signSGD: Compressed Optimisation for Non-Convex Problems", whose server goes one step in the
direction that most clients give; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD", scale the signs and keep what
is lost for the next round. An element that is 0 counts as positive.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs.codec import Context, Vector
from federated.codecs.reader import Reader
from federated.codecs.vector import bounds, flatten, length, split


@dataclass(frozen=True, slots=True)
class Sign:
    """Signs, times the mean magnitude of their tensor."""

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        vector = flatten(update)
        means = [np.abs(vector[begin:end]).sum() / max(end - begin, 1) for begin, end in bounds(update)]
        return np.array(means, "<f4").tobytes() + _write(vector)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        means = content.scales(len(like))
        vector = _read(content, length(like))
        for (begin, end), mean in zip(bounds(like), means, strict=True):
            vector[begin:end] *= mean
        return split(vector, like)


@dataclass(frozen=True, slots=True)
class Vote:
    """Signs alone. The server averages them as any update, then goes `step` where the majority points.

    With equal weights that is the majority vote; with the weights n_k / n, one in which each example has a vote.
    """

    step: float = 0.001

    def __post_init__(self) -> None:
        if not 0 < self.step < float("inf"):
            raise InputError(
                f"vote: step {self.step:g}: expected how far a weight moves in a round, such as 0.001"
            )

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        return _write(flatten(update))

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        return split(_read(content, length(like)) * np.float32(self.step), like)

    def settle(self, average: Mapping[str, Array]) -> dict[str, Array]:
        """The update to apply, from the average of all clients' decoded updates; a tie moves nothing."""
        return {name: (np.sign(array) * self.step).astype(array.dtype) for name, array in average.items()}


def _write(vector: Vector) -> bytes:
    return np.packbits(vector >= 0).tobytes()


def _read(content: Reader, count: int) -> Vector:
    bits = np.unpackbits(content.array("u1", -(-count // 8)), count=count)
    return bits.astype(np.float32) * 2 - 1
