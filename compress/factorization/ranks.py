"""Which rank each layer gets: the ways in which it can be written, what each costs and loses, and the choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from compress.factorization.decompose import Svd, cp, modes, tucker, tucker_error
from compress.factorization.rewrite import Part
from compress.pruning.linear import Linear
from edge_runtime.tensors import Array

METHODS = ("svd", "tucker", "cp")
_GRID = 16  # ranks tried for each layer


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to write a layer: multiply-accumulates and parameters, the share of its output's square that is lost.

    `parts` makes the chain; it is empty for the layer as it is. `ranks` are for the report.
    """

    macs: float
    parameters: float
    error: float
    ranks: tuple[int, ...] = ()
    parts: Callable[[], list[Part]] = list


@dataclass(frozen=True, slots=True)
class Size:
    """How many positions a layer's input and output have: what its weights are multiplied with."""

    before: float
    after: float


def choices(
    layer: Linear,
    weight: Array,
    method: str,
    size: Size,
    multiple: int,
    patches: Array | None,
    inputs: Array | None,
) -> list[Choice]:
    """The layer as it is, and each factorisation that has fewer multiply-accumulates and fewer parameters.

    Args:
        layer: which.
        weight: its weight, as ONNX has it.
        method: "svd", or for a convolution of several taps "tucker" or "cp".
        size: positions of its input and output.
        multiple: of the ranks.
        patches: a square root of the second moment of its features, float64[features, features]; None for all alike.
        inputs: the same of its input channels.
    """
    dense = Choice(weight.size * size.after, weight.size, 0.0)
    if layer.repeats == 1 or method == "svd":
        made = _svd(layer, weight, size, multiple, patches)
    else:
        made = (_tucker if method == "tucker" else _cp)(weight, size, multiple, inputs)
    return [dense, *(c for c in made if c.macs < dense.macs and c.parameters < dense.parameters)]


def _grid(most: int, multiple: int) -> list[int]:
    """Ranks up to `most`, all multiples, denser where they are small."""
    steps = np.geomspace(multiple, max(most, multiple), _GRID)
    return sorted({min(most, max(multiple, round(step / multiple) * multiple)) for step in steps.tolist()})


def _svd(layer: Linear, weight: Array, size: Size, multiple: int, scale: Array | None) -> list[Choice]:
    """Two layers: the first makes `rank` channels, the second is of one tap."""
    matrix = layer.matrix(weight).T  # [outputs, features]
    svd = Svd.of(matrix, scale)
    errors = svd.errors()

    def parts(rank: int) -> list[Part]:
        out, into = svd.cut(rank)
        if layer.kind != "Conv":
            pair = (into, out) if layer.transposed else (into.T, out.T)
            return [Part(each) for each in pair]
        ones = (1,) * (weight.ndim - 2)
        return [
            Part(into.reshape(rank, *weight.shape[1:]), strided=True),
            Part(out.reshape(*out.shape, *ones)),
        ]

    return [
        Choice(
            size.after * rank * sum(matrix.shape),
            rank * sum(matrix.shape),
            float(errors[rank]),
            (rank,),
            lambda rank=rank: parts(rank),  # type: ignore[misc]
        )
        for rank in _grid(len(svd.values), multiple)
    ]


def _tucker(weight: Array, size: Size, multiple: int, scale: Array | None) -> list[Choice]:
    """1x1, k x k, 1x1; both ranks at the same share of their mode's squares."""
    out, into, taps = weight.shape[0], weight.shape[1], prod(weight.shape[2:])
    lost = [svd.errors() for svd in modes(weight, scale)]
    found: dict[tuple[int, int], Choice] = {}
    for share in np.geomspace(1e-3, 0.9, _GRID):
        least = [int(np.argmax(errors <= share)) for errors in lost]
        a, b = (
            min(most, -(-max(rank, 1) // multiple) * multiple)
            for rank, most in zip(least, (out, into), strict=True)
        )

        def parts(a: int = a, b: int = b) -> list[Part]:
            ones = (1,) * (weight.ndim - 2)
            last, core, first = tucker(weight, (a, b), scale)
            chain = [first.reshape(*first.shape, *ones), core, last.reshape(*last.shape, *ones)]
            return [Part(each, strided=k == 1) for k, each in enumerate(chain)]

        parameters = into * b + a * b * taps + a * out
        macs = size.before * into * b + size.after * (a * b * taps + a * out)
        if (a, b) not in found:
            found[a, b] = Choice(macs, parameters, tucker_error(weight, (a, b), scale), (a, b), parts)
    return list(found.values())


def _cp(weight: Array, size: Size, multiple: int, scale: Array | None) -> list[Choice]:
    """1x1, depthwise k x k, 1x1."""
    out, into, taps = weight.shape[0], weight.shape[1], prod(weight.shape[2:])
    found = []
    ones = (1,) * (weight.ndim - 2)
    for rank in _grid(min(2 * max(out, into), taps * min(out, into)), multiple)[::2]:
        (last, kernel, first), lost = cp(weight, rank, scale)
        chain = [
            Part(first.reshape(*first.shape, *ones)),
            Part(kernel, strided=True, depthwise=True),
            Part(last.reshape(*last.shape, *ones)),
        ]
        parameters = rank * (into + taps + out)
        macs = size.before * into * rank + size.after * rank * (taps + out)
        found.append(Choice(macs, parameters, lost, (rank,), lambda chain=chain: chain))  # type: ignore[misc]
    return found


def by_energy(options: Sequence[Sequence[Choice]], energy: float) -> list[Choice]:
    """For each layer the cheapest choice that keeps this share of the squares."""
    return [min((c for c in layer if c.error <= 1 - energy), key=lambda c: c.macs) for layer in options]


def by_budget(
    options: Sequence[Sequence[Choice]], goal: float, cost: Callable[[Choice], float]
) -> list[Choice]:
    """The choices of least total error whose cost is at most `goal`, or those of least cost if none is.

    By Lagrange: each layer takes the choice of least ``error + price · cost``, and the price is found by halving.
    """

    def at(price: float) -> list[Choice]:
        return [min(layer, key=lambda c: c.error + price * cost(c)) for layer in options]

    high = 1e3 / max(min(cost(c) for layer in options for c in layer), 1e-9)
    low = high * 1e-15
    if sum(map(cost, at(low))) <= goal:
        return at(low)
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if sum(map(cost, at(middle))) <= goal else (middle, high)
    return at(high)
