"""What an update codec is: a dict of named float arrays in, bytes out, and back.

A codec is a frozen value that says how; whatever changes from call to call is in its `Context`. A codec may hold
another one: top-k finds positions and hands the values on. So a body is read front to back, each codec taking exactly
what it wrote, and needs no lengths of its parts.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_runtime.tensors import Array
from federated import seeds
from federated.codecs.reader import Reader

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Context:
    """Where a message falls, from which all its random choices follow, and what its sender remembers.

    `client` is -1 for the server. `memory` belongs to the caller, who keeps it from one message to the next;
    error feedback holds its residual there.
    """

    seed: int = 0
    round_number: int = 0
    client: int = 0
    memory: MutableMapping[str, Array] = field(default_factory=dict)

    def key(self, *numbers: int) -> int:
        """A seed for this message (0 to 2**32 - 1): the same wherever it is asked for."""
        return seeds.number(self.seed, "codec", self.round_number, self.client + 1, *numbers)

    def round_key(self, *numbers: int) -> int:
        """A seed that all clients of the round share."""
        return seeds.number(self.seed, "codec", self.round_number, 0, 0, *numbers)

    def generator(self) -> np.random.Generator:
        """Random numbers that only the sender needs: the noise of stochastic rounding."""
        return np.random.Generator(np.random.Philox(self.key()))


@runtime_checkable
class Codec(Protocol):
    """One way to write an update."""

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """The body of a message: `update` holds float arrays, all finite."""
        ...

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """Read what `encode` wrote. Of `like` only names, dtypes and shapes are used.

        Raises:
            TransferError: the content cannot be that.
        """
        ...
