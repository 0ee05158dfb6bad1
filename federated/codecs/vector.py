"""Named arrays as one float32 vector and back, in the order of their names."""

from collections.abc import Mapping

import numpy as np

from edge_runtime.tensors import Array
from federated.codecs.codec import Vector


def flatten(update: Mapping[str, Array]) -> Vector:
    """All elements, tensor by tensor in the order of the names: float32[n]."""
    parts = [np.asarray(update[name], np.float32).reshape(-1) for name in sorted(update)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def split(vector: Vector, like: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors of `like` that `vector` holds, in their own dtypes; what a dtype cannot hold becomes infinite."""
    found, place = {}, 0
    with np.errstate(over="ignore"):
        for name in sorted(like):
            size = like[name].size
            part = vector[place : place + size].reshape(like[name].shape)
            found[name] = part.astype(like[name].dtype)
            place += size
    return found


def length(like: Mapping[str, Array]) -> int:
    """How many elements there are."""
    return sum(array.size for array in like.values())


def bounds(like: Mapping[str, Array]) -> list[tuple[int, int]]:
    """Where each tensor begins and ends in the vector."""
    ends = np.cumsum([like[name].size for name in sorted(like)], dtype=np.int64).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
