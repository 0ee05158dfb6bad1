"""Low rank: a matrix W of an update as A B, with few columns in A.

Two ways to A. `power`: one step of power iteration from the last round's factor (Vogels et al. 2019, "PowerSGD:
Practical Low-Rank Gradient Compression for Distributed Optimization"); A and B are sent, the best fit for the rank, and
biased: use it with error feedback. `seeded`: A is random signs drawn from a seed, only ``B = A' W / rank`` is sent
(Konečný et al. 2016, structured updates); unbiased, for the mean of ``A A'`` is rank times the identity, but noisy.

A tensor of more than two dimensions is the matrix of its first and all others. Where the factors would not be
smaller, and for vectors, the tensor itself is sent. `inner` codes the factors and those tensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.errors import InputError, TransferError
from edge_runtime.tensors import Array
from federated.codecs import shared
from federated.codecs.codec import Codec, Context, Vector
from federated.codecs.half import Half
from federated.codecs.reader import Reader

_BASES = ("power", "seeded")


@dataclass(frozen=True, slots=True)
class LowRank:
    """Factors of `rank` columns; `basis` is power or seeded."""

    rank: int = 4
    basis: str = "power"
    inner: Codec = field(default_factory=Half)

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 1024:
            raise InputError(f"lowrank: rank {self.rank}: expected 1 to 1024")
        if self.basis not in _BASES:
            raise InputError(f"lowrank: basis '{self.basis}': expected {' or '.join(_BASES)}")

    def encode(self, update: Mapping[str, Array], context: Context) -> bytes:
        """See `Codec`."""
        key = context.key(3)
        parts: dict[str, Array] = {}
        for i, name in enumerate(sorted(update)):
            array = update[name]
            if not self._factored(array.shape):
                parts[name] = array
                continue
            matrix = array.reshape(len(array), -1).astype(np.float32)
            if self.basis == "seeded":
                parts[_right(name)] = self._random(key, i, len(matrix)).T @ matrix / np.float32(self.rank)
            else:
                parts |= self._power(name, matrix, context)
        head = key.to_bytes(4, "little") if self.basis == "seeded" else b""
        return head + self.inner.encode(parts, context)

    def decode(self, content: Reader, like: Mapping[str, Array]) -> dict[str, Array]:
        """See `Codec`."""
        key = int.from_bytes(content.take(4), "little") if self.basis == "seeded" else 0
        parts = self.inner.decode(content, self._parts(like))
        found: dict[str, Array] = {}
        for i, name in enumerate(sorted(like)):
            array = like[name]
            if not self._factored(array.shape):
                found[name] = parts[name]
                continue
            seeded = self.basis == "seeded"
            left = self._random(key, i, len(array)) if seeded else parts[_left(name)]
            found[name] = _product(left, parts[_right(name)]).reshape(array.shape).astype(array.dtype)
            if not np.isfinite(found[name]).all():
                raise TransferError(f"update is damaged: the factors of '{name}' are too large")
        return found

    def _factored(self, shape: tuple[int, ...]) -> bool:
        if len(shape) < 2:
            return False
        rows, columns = shape[0], int(np.prod(shape[1:]))
        sent = columns if self.basis == "seeded" else rows + columns
        return self.rank <= min(rows, columns) and self.rank * sent < rows * columns

    def _parts(self, like: Mapping[str, Array]) -> dict[str, Array]:
        """What the inner codec is given, as far as names, dtypes and shapes go."""
        parts: dict[str, Array] = {}
        for name, array in like.items():
            if not self._factored(array.shape):
                parts[name] = array
                continue
            columns = array.size // len(array)
            parts[_right(name)] = np.empty((self.rank, columns), np.float32)
            if self.basis == "power":
                parts[_left(name)] = np.empty((len(array), self.rank), np.float32)
        return parts

    def _power(self, name: str, matrix: Vector, context: Context) -> dict[str, Array]:
        """Orthonormal A and B = A' W, from where the last round's B points; the first time from random signs."""
        remembered = context.memory.get(_right(name))
        if remembered is None or remembered.shape != (self.rank, matrix.shape[1]) or not remembered.any():
            right = matrix.T @ (matrix @ self._random(0, 0, matrix.shape[1]))
        else:
            right = remembered.T
        left = np.linalg.qr(matrix @ right)[0].astype(np.float32)
        factors = {_left(name): left, _right(name): left.T @ matrix}
        context.memory[_right(name)] = factors[_right(name)].copy()
        return factors

    def _random(self, key: int, tensor: int, rows: int) -> Vector:
        return shared.signs(key + tensor, rows * self.rank).reshape(rows, self.rank)


def _left(name: str) -> str:
    return f"{name}:left"


def _right(name: str) -> str:
    return f"{name}:right"


def _product(left: Array, right: Array) -> Array:
    """A B, summed in a fixed order, so that every machine gets the same bits."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.zeros((len(left), right.shape[1]), np.float32)
        for column, row in zip(left.T, right, strict=True):
            found += np.outer(column, row)
    return found
