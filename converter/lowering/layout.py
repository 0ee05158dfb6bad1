"""The order in which a tensor holds the axes of a value, and how to change it as rarely as possible.

ONNX has channels first, TFLite's kernels have channels last. A value may be held with its axes in any order: axis
``k`` of the tensor is axis ``order[k]`` of the value. A Transpose then costs nothing: it names the same tensor with
another order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from converter.lowering.program import Free, Lengths

Order = tuple[int, ...]
_PRIME = 8191
"""Stands for a length that varies, so that it is never taken for one that happens to be equal."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the ONNX graph: the tensor that holds it, and the order of the value's axes there."""

    tensor: int
    order: Order


def natural(rank: int) -> Order:
    """The order that ONNX means."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """Axis 1 behind all others: what convolutions, pools and Resize of TFLite take."""
    return (0, *range(2, rank), 1) if rank > 2 else natural(rank)


def last(order: Order, axis: int) -> Order:
    """`order` with `axis` at the end."""
    return (*(k for k in order if k != axis), axis)


def permuted(shape: Sequence[int], order: Order) -> Lengths:
    """A value's shape as a tensor of that order has it."""
    return tuple(shape[k] for k in order)


def transposition(have: Order, want: Order) -> Order:
    """`perm` for which ``transpose(tensor of order have, perm)`` has the order `want`."""
    return tuple(have.index(axis) for axis in want)


def inverse(perm: Sequence[int]) -> Order:
    """The permutation that undoes `perm`."""
    return tuple(perm.index(k) for k in range(len(perm)))


def same_memory(shape: Sequence[int], have: Order, want: Order) -> bool:
    """Whether both orders put every element in the same place: only axes of length 1 move."""
    return [k for k in have if _long(shape[k])] == [k for k in want if _long(shape[k])]


def groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]] | None:
    """The axes that a Reshape makes into which: the smallest groups of neighbours with equal products.

    Returns:
        Pairs of axes of `before` and of `after`; None if the lengths do not tell.
    """
    a, b = ([_size(length) for length in shape] for shape in (before, after))
    if 0 in a or 0 in b:
        return None
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        left, right = list(range(i, min(i + 1, len(a)))), list(range(j, min(j + 1, len(b))))
        p, q = (a[i] if left else 1), (b[j] if right else 1)
        i, j = i + len(left), j + len(right)
        while p != q:
            if p < q and i < len(a):
                p, i = p * a[i], i + 1
                left.append(i - 1)
            elif q < p and j < len(b):
                q, j = q * b[j], j + 1
                right.append(j - 1)
            else:
                return None
        found.append((left, right))
    return found


def reshaped(before: Sequence[int], after: Sequence[int], order: Order) -> tuple[Order, Order]:
    """How to reshape a value that is held in `order` with as little movement as possible.

    A Reshape that only merges or splits neighbouring axes does the same in memory, wherever the group of axes lies,
    if the group lies together and in its order.

    Returns:
        The order that the value must have before, and the order that the result has then.
    """
    found = groups(before, after)
    if found is None:
        return natural(len(before)), natural(len(after))
    places: list[float] = []
    for left, _ in found:
        long = [order.index(axis) for axis in left if _long(before[axis])]
        places.append(min(long) if long else places[-1] if places else -1.0)
    ranked = sorted(range(len(found)), key=places.__getitem__)
    return (
        tuple(axis for k in ranked for axis in found[k][0]),
        tuple(axis for k in ranked for axis in found[k][1]),
    )


def without(order: Order, axes: Sequence[int]) -> Order:
    """`order` when the value's `axes` are gone and those behind have moved up."""
    kept = [k for k in order if k not in axes]
    return tuple(k - sum(axis < k for axis in axes) for k in kept)


def _size(length: int) -> int:
    return length * _PRIME if isinstance(length, Free) else length


def _long(length: int) -> bool:
    return isinstance(length, Free) or length != 1
