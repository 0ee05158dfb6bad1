"""Norm clipping around a codec: before it, as privacy and robustness ask for; and again after decoding.

An unbiased codec makes norms larger, by much where it is coarse, so the bound that held before does not hold for what
the server decodes. It is re-established there, whoever wrote the message.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs.codec import Codec, Context
from federated.codecs.qsgd import QSGD
from federated.codecs.reader import Reader


@dataclass(frozen=True, slots=True)
class Clip:
    """The L2 norm of the whole update is `norm` at most, of what is encoded and of what is decoded."""

    norm: float = 1.0
    inner: Codec = field(default_factory=QSGD)

    def __post_init__(self) -> None:
        if not 0 < self.norm < float("inf"):
            raise InputError(f"clip: norm {self.norm:g}: expected a positive L2 norm, such as 1")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        return self.inner.encode(clip(update, self.norm), context)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        return clip(self.inner.decode(content, like), self.norm)


def norm(update: Mapping[str, Array]) -> float:
    """The L2 norm of all elements together."""
    return float(np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in update.values())))


def clip(update: Mapping[str, Array], most: float) -> dict[str, Array]:
    """The update, scaled down where its L2 norm is more than `most`.

    >>> clip({"w": np.array([3.0, 4.0])}, 1.0)
    {'w': array([0.6, 0.8])}
    """
    found = norm(update)
    factor = 1.0 if found <= most else most / found
    return {name: (array * factor).astype(array.dtype) for name, array in update.items()}
