"""Half precision: IEEE 754 binary16, two bytes an element; for looking at updates, or as another codec's values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.tensors import Array
from federated.codecs.codec import Context
from federated.codecs.reader import Reader
from federated.codecs.vector import flatten, length, split


@dataclass(frozen=True, slots=True)
class Half:
    """Rounded to the nearest float16; beyond ±65,504 it is cut off there."""

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        most = np.finfo(np.float16).max
        return np.clip(flatten(update), -most, most).astype("<f2").tobytes()

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        return split(content.array("<f2", length(like)).astype(np.float32), like)
