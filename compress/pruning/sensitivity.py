"""How much a model loses when one layer alone is pruned, as a table; and shares for the layers that lose least.

The measure is noise: the squared difference of the outputs as a share of their square. That of several layers is
close to the sum of theirs, so a budget is met by taking channels, a few at a time, wherever they cost the least noise
for what they save (as in ZipLM, Kurtić et al. 2023, and HALP, Shen et al. 2022).
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from compress.fidelity import Fidelity, compare
from compress.pruning.channels import Labels
from compress.pruning.cost import Costs
from edge_runtime.console import progress
from edge_runtime.console import table as _columns
from edge_runtime.tensors import Array

SHARES = (0.125, 0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One layer: the fidelity of the model with `shares` of this layer's channels gone, and no others."""

    layer: str
    channels: int
    shares: tuple[float, ...]
    fidelity: tuple[Fidelity, ...]

    @property
    def noise(self) -> Array:
        """The squared error of the outputs as a share of their square, float64[shares]; it never falls."""
        found = np.array([10 ** (-each.sqnr_db / 10) for each in self.fidelity])
        return np.asarray(np.maximum.accumulate(found))


def measure(
    names: Sequence[str],
    order: Sequence[Labels],
    run: Callable[[Labels], Array],
    reference: Array,
    shares: Sequence[float] = SHARES,
) -> list[Sensitivity]:
    """Prune one layer after the other by several shares.

    Args:
        names: the layers.
        order: for each layer the classes of its channels, the least important first.
        run: the outputs of the model without some classes, float32[n, ...].
        reference: the outputs of the whole model.
        shares: of the channels of a layer, rising.
    """
    found = []
    for name, mine in progress(list(zip(names, order, strict=True)), "sensitivity"):
        each = [compare(reference, run(mine[: round(share * len(mine))])) for share in shares]
        found.append(Sensitivity(name, len(mine), tuple(shares), tuple(each)))
    return found


def table(found: Sequence[Sensitivity]) -> str:
    """The agreement of each layer at each share, for people."""
    header = ["layer", "channels", *(f"{share:.0%}" for share in found[0].shares)]
    return _columns(
        header, [[s.layer, s.channels, *(f"{f.agreement:.3f}" for f in s.fidelity)] for s in found]
    )


def allocate(
    found: Sequence[Sensitivity],
    order: Sequence[Labels],
    costs: Costs,
    budget: str,
    goal: float,
    multiple: int,
    most: float,
) -> list[int]:
    """How many channels of each layer go, so that the cost is at most `goal`, with the least noise.

    Args:
        found: what each layer loses.
        order: for each layer the classes of its channels, the least important first.
        costs: of the model.
        budget: what `goal` counts.
        goal: the most that may be left; where it cannot be met, as little as can be is left.
        multiple: what the number of channels that stay is a multiple of.
        most: the largest share of a layer's channels that may go.
    """
    steps = [_steps(each, multiple, most) for each in found]
    at = [0] * len(found)
    counts = [0] * len(found)

    def removed() -> Labels:
        return np.concatenate([mine[:count] for mine, count in zip(order, counts, strict=True)]).astype(
            np.int64
        )

    def price(k: int) -> float:
        (old, before), (new, after) = steps[k][at[k]], steps[k][at[k] + 1]
        counts[k] = new
        saved = current - costs(budget, removed())
        counts[k] = old
        return (after - before) / max(saved, 1e-9)

    current = costs(budget, removed())
    heap = [(price(k), k) for k in range(len(found)) if len(steps[k]) > 1]
    heapq.heapify(heap)
    while current > goal and heap:
        _, k = heapq.heappop(heap)
        asked = price(k)
        if heap and asked > heap[0][0] * (
            1 + 1e-9
        ):  # others were pruned meanwhile, so this one saves less now
            heapq.heappush(heap, (asked, k))
            continue
        at[k] += 1
        before, counts[k] = counts[k], steps[k][at[k]][0]
        current = costs(budget, removed())
        while current <= goal and counts[k] - multiple > before:  # no further than the goal
            counts[k] -= multiple
            current = costs(budget, removed())
            if current > goal:
                counts[k] += multiple
                return counts
        if at[k] + 1 < len(steps[k]):
            heapq.heappush(heap, (price(k), k))
    return counts


def _steps(found: Sensitivity, multiple: int, most: float) -> list[tuple[int, float]]:
    """Numbers of channels that may go, with the noise of each, made convex so that no step hides a better one."""
    total = found.channels
    least = max(1, round(total * (1 - most)))
    stride = max(multiple, total // 32 // multiple * multiple)
    left = [n for n in range(total // multiple * multiple, 0, -stride) if n >= least]
    counts = [0, *(total - n for n in left if n < total)]
    shares, noise = [0.0, *found.shares], [0.0, *found.noise.tolist()]
    slope = (noise[-1] - noise[-2]) / (shares[-1] - shares[-2])
    far = noise[-1] + max(slope, 0.0) * (1 - shares[-1])
    curve = np.interp(np.array(counts) / total, [*shares, 1.0], [*noise, far])
    hull: list[tuple[int, float]] = []
    for point in zip(counts, curve.tolist(), strict=True):
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _above(a: tuple[int, float], b: tuple[int, float], c: tuple[int, float]) -> bool:
    """Whether b lies above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) > (c[1] - a[1]) * (b[0] - a[0]) * (1 + 1e-9) + 1e-15
