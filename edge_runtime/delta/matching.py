"""Which tensors of two files, and of one file, belong together."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies in a file, in bytes, its type ("float32", "int8"), and how many rows it has."""

    offset: int
    length: int
    kind: str
    rows: int = 1


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the order of the file, without any that lies within another."""
    found, done = {}, 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        if tensor.offset >= done:
            found[name], done = tensor, tensor.offset + tensor.length
    return found


def between(size: int, tensors: Iterable[Tensor]) -> Iterator[tuple[int, int]]:
    """The spans of a file that are in no tensor."""
    done = 0
    for tensor in sorted(tensors, key=lambda each: each.offset):
        if tensor.offset > done:
            yield done, tensor.offset
        done = max(done, tensor.offset + tensor.length)
    yield done, size


def paired(
    old: bytes, new: bytes, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The old tensor that each new one is compared with: of its name, else of its content, else of its kind."""
    found = {n: before[n] for n, t in after.items() if n in before and _alike(before[n], t)}
    rest = {n: t for n, t in after.items() if n not in found}
    if not rest:
        return found
    taken = {each.offset for each in found.values()}
    content = {old[t.offset : t.offset + t.length]: t for t in before.values()}
    free = [t for t in before.values() if t.offset not in taken]
    for name, tensor in rest.items():
        same = content.get(new[tensor.offset : tensor.offset + tensor.length])
        like = same or next((t for t in free if _alike(t, tensor)), None)
        if like is not None:
            found[name] = like
            free = [t for t in free if t is not like]
    return found


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.length, one.kind) == (other.length, other.kind)


def multiples(new: bytes, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """The float tensors of a file that are another one times a number: where that is, and the number's bits.

    None is so by way of a third.
    """
    found: dict[str, tuple[int, int]] = {}
    bases: dict[int, list[Tensor]] = {}
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].length, item[1].offset)):
        if tensor.kind != "float32":
            continue
        values = np.frombuffer(new, "<f4", tensor.length // 4, tensor.offset)
        for base in bases.setdefault(tensor.length, []):
            factor = _factor(np.frombuffer(new, "<f4", base.length // 4, base.offset), values)
            if factor is not None:
                found[name] = base.offset, factor
                break
        else:
            bases[tensor.length].append(tensor)
    return found


def _factor(base: NDArray[np.float32], values: NDArray[np.float32]) -> int | None:
    """The bits of the float32 that times the base gives these values, to the last bit; None if there is none."""
    with np.errstate(all="ignore"):
        guess = np.float32(values[0] / base[0]) if base[0] else np.float32(0)
        if (
            not np.isfinite(guess)
            or guess == 0
            or not np.isclose(base[-1] * guess, values[-1], rtol=1e-5, atol=0)
        ):
            return None
        bits = int(guess.view("<u4"))
        for near in range(bits - 4, bits + 5):
            factor = np.frombuffer(struct.pack("<I", near & 0xFFFFFFFF), "<f4")[0]
            if (base * factor).astype("<f4").tobytes() == values.tobytes():
                return near & 0xFFFFFFFF
    return None
