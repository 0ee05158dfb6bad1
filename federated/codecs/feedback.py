"""Error feedback: what a biased codec leaves out of one message is added to the next.

Seide et al. 2014; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes". It
needs a codec that shrinks the error each time. One that is unbiased does the opposite, the residual grows: measured
with ternary QSGD it costs 1.7 points of accuracy, so it is refused. The residual is the sender's to keep:
`Context.memory`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.codecs.codec import Codec, Context
from federated.codecs.half import Half
from federated.codecs.lossless import Lossless
from federated.codecs.lowrank import LowRank
from federated.codecs.reader import Reader
from federated.codecs.signsgd import Sign
from federated.codecs.topk import Threshold, TopK

_RESIDUAL = "residual:"


@dataclass(frozen=True, slots=True)
class Feedback:
    """`inner`, with its error carried over; topk, threshold, sign, lowrank with basis=power, half or lossless."""

    inner: Codec = field(default_factory=TopK)

    def __post_init__(self) -> None:
        shrinks = isinstance(self.inner, TopK | Threshold | Sign | LowRank | Half | Lossless)
        if not shrinks or (isinstance(self.inner, LowRank) and self.inner.basis != "power"):
            raise InputError(
                f"feedback({type(self.inner).__name__.lower()}): an unbiased codec needs no error feedback and "
                "diverges with it; leave feedback away, or take topk, threshold, sign or lowrank:basis=power"
            )

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`; the memory holds a residual for each tensor afterwards."""
        whole = {name: array + self._kept(name, array, context) for name, array in update.items()}
        content = self.inner.encode(whole, context)
        received = self.inner.decode(Reader(content), whole)
        for name, array in whole.items():
            context.memory[_RESIDUAL + name] = array - received[name]
        return content

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        return self.inner.decode(content, like)

    def _kept(self, name: str, array: Array, context: Context) -> Array:
        kept = context.memory.get(_RESIDUAL + name)
        # Of another model, or never written: begin anew.
        return np.zeros_like(array) if kept is None or kept.shape != array.shape else kept
