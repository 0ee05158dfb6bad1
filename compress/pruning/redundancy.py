r"""How much of a layer's output nothing else can replace: the importance of channels that are to be reconstructed.

With ``H`` the covariance of a layer's input features and ``W`` its weight, removing the features ``B`` and refitting
what is left costs ``tr W_Bᵀ [(H⁻¹)_BB]⁻¹ W_B`` of the squared output, and what is left becomes
``W - H⁻¹_:B [(H⁻¹)_BB]⁻¹ W_B`` (the Optimal Brain Surgeon, Hassibi and Stork 1993, for a layer's output as in Frantar
and Alistarh 2022, and for whole channels as in Kurtić et al., "ZipLM", 2023, section 3.1). The channels of a layer are
removed one after the other, the cheapest first, each time with the others refitted; a channel scores by the sum of what
had been lost when it went, as a share of the output's variance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compress.pruning.channels import Channels, Labels
from compress.pruning.linear import Linear, Moments
from compress.pruning.units import Units
from edge_runtime.tensors import Array

_RIDGE = 0.01
_STEPS = 48  # times that a layer is ranked anew; what goes between two rankings goes at once


@dataclass(slots=True)
class _Reader:
    """One layer that reads the channels: `blocks` int64[channels, features of each], and what is left of it."""

    blocks: Array
    inverse: Array
    weight: Array
    energy: float

    def costs(self, alive: Array) -> Array:
        """The share of the output that is lost with each of the channels `alive` int64[m]."""
        blocks = self.blocks[alive]
        inner = self.inverse[blocks[:, :, None], blocks[:, None, :]]
        weight = self.weight[blocks]
        inner = inner + 1e-12 * np.trace(inner, axis1=1, axis2=2)[:, None, None] * np.eye(inner.shape[1])
        return np.asarray((weight * np.linalg.solve(inner, weight)).sum(axis=(1, 2)) / self.energy)

    def remove(self, gone: Array) -> None:
        """Refit the rest without these channels."""
        at = self.blocks[gone].reshape(-1)
        inner = self.inverse[np.ix_(at, at)]
        inner = inner + 1e-12 * np.trace(inner) * np.eye(len(at))
        solved = np.linalg.solve(inner, np.concatenate([self.weight[at], self.inverse[at]], axis=1))
        across = self.inverse[:, at]
        self.weight -= across @ solved[:, : self.weight.shape[1]]
        self.inverse -= across @ solved[:, self.weight.shape[1] :]


def redundancy(
    channels: Channels,
    units: Units,
    layers: Sequence[Linear],
    seen: Mapping[str, Moments],
    fallback: Array,
) -> Array:
    """Score every unit.

    Args:
        channels: the analysis of the model.
        units: what can be removed.
        layers: the model's linear layers.
        seen: the moments of their features.
        fallback: scores for the channels that no linear layer reads alone.

    Returns:
        float64[n]; within a layer the order in which the channels go.
    """
    scores = np.array(fallback, np.float64)
    for k in range(len(units.names)):
        mine = np.flatnonzero(units.layer == k)
        readers = [
            _reader(channels, layer, seen[layer.y], units.roots[mine]) for layer in layers if layer.y in seen
        ]
        found = [reader for reader in readers if reader is not None]
        if found:
            scores[mine] = _eliminated(found, len(mine))
    return scores


def _reader(channels: Channels, layer: Linear, seen: Moments, roots: Labels) -> _Reader | None:
    tie = channels.ties.get((layer.weight, layer.input_axis))
    if tie is None:
        return None
    labels = channels.classes.root(tie.labels)
    counts = np.array([(labels == root).sum() for root in roots.tolist()])
    if counts.min() == 0 or counts.min() != counts.max():
        return None
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], roots)
    at = order[first[:, None] + np.arange(counts[0])]
    blocks = (at[:, :, None] * layer.repeats + np.arange(layer.repeats)).reshape(len(roots), -1)
    weight = layer.matrix(channels.known[layer.weight])
    energy = float(np.einsum("fo,fg,go->", weight, seen.second, weight, optimize=True))
    ridge = _RIDGE * np.trace(seen.second) / len(seen.second) + 1e-12
    return _Reader(
        blocks, np.linalg.inv(seen.second + ridge * np.eye(len(seen.second))), weight, max(energy, 1e-30)
    )


def _eliminated(readers: Sequence[_Reader], count: int) -> Array:
    """What has been lost when each channel goes: float64[count]."""
    scores, alive, lost = np.zeros(count), np.arange(count), 0.0
    while len(alive):
        costs = np.sum([reader.costs(alive) for reader in readers], axis=0)
        ranked = np.argsort(costs, kind="stable")[: max(1, count // _STEPS)]
        going = alive[ranked]
        scores[going] = lost + np.cumsum(costs[ranked])
        lost = float(scores[going[-1]])
        alive = np.delete(alive, ranked)
        if len(alive):
            for reader in readers:
                reader.remove(going)
    return scores
