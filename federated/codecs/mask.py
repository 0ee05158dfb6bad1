"""A random mask: the elements that a seed chooses, so that no positions need to be sent.

Konečný et al. 2016, "Federated Learning: Strategies for Improving Communication Efficiency", section 2. What is kept
is divided by the share that is kept, which makes the update unbiased.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs import shared
from federated.codecs.codec import Codec, Context
from federated.codecs.half import Half
from federated.codecs.reader import Reader
from federated.codecs.topk import VALUES
from federated.codecs.vector import flatten, length, split


@dataclass(frozen=True, slots=True)
class Mask:
    """About the share `fraction` of all elements; `inner` codes their values.

    With `common` all clients of a round keep the same elements, as sums under encryption need it; else each its own,
    whose noise averages out over the clients.
    """

    fraction: float = 0.1
    common: bool = False
    inner: Codec = field(default_factory=Half)

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise InputError(f"mask: fraction {self.fraction:g}: expected more than 0 and at most 1")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        vector = flatten(update)
        key = context.round_key(2) if self.common else context.key(2)
        kept = vector[shared.chosen(key, len(vector), self.fraction)] / np.float32(self.fraction)
        return key.to_bytes(4, "little") + self.inner.encode({VALUES: kept}, context)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        vector = np.zeros(length(like), np.float32)
        places = shared.chosen(int.from_bytes(content.take(4), "little"), len(vector), self.fraction)
        vector[places] = self.inner.decode(content, {VALUES: np.empty(len(places), np.float32)})[VALUES]
        return split(vector, like)
