"""Ranges that leave out rare values: percentile, mean squared error and entropy, from histograms of activations.

Each method takes a histogram (`counts` int64[bins] between `low` and `high`) and gives the range to quantise. Values
outside saturate; what is lost there is weighed against the finer step inside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_runtime.tensors import Array

BINS = 2048
_MOST = 65_536  # values of one activation that one batch contributes: enough for a histogram, whatever the map's size


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values fall into equal bins between `low` and `high`."""

    counts: Array
    low: float
    high: float

    @property
    def centres(self) -> Array:
        """The middle of each bin: float64[bins]."""
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return (edges[:-1] + edges[1:]) / 2

    def add(self, values: Array, weights: Array | None = None) -> "Histogram":
        """This histogram and these values, each as often as its weight says; of many, evenly spaced ones."""
        step = max(1, values.size // _MOST)
        bins = len(self.counts)
        width = max((self.high - self.low) / bins, 1e-30)
        places = ((values.reshape(-1)[::step] - np.float32(self.low)) / np.float32(width)).astype(np.int64)
        inside = np.clip(places, 0, bins - 1)
        counts = np.bincount(inside, None if weights is None else weights.reshape(-1)[::step] * step, bins)
        return Histogram(self.counts + counts, self.low, self.high)


def percentile(histogram: Histogram, share: float = 0.9999) -> tuple[float, float]:
    """The smallest range around the median that holds `share` of the values, both tails cut alike."""
    total = np.cumsum(histogram.counts)
    if not total[-1]:
        return histogram.low, histogram.high
    tail = (1 - share) / 2 * total[-1]
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    first = int(np.searchsorted(total, tail, side="right"))
    last = int(np.searchsorted(total, total[-1] - tail, side="left"))
    return float(edges[first]), float(edges[min(last + 1, len(edges) - 1)])


def mean_squared_error(histogram: Histogram) -> tuple[float, float]:
    """The range with the smallest mean squared error of 8-bit quantisation, among 40 shrunken ones."""
    centres, weights = histogram.centres, histogram.counts

    def error(share: float) -> float:
        low, high = min(histogram.low * share, 0.0), max(histogram.high * share, 0.0)
        step = max((high - low) / 255, 1e-30)
        rounded = np.clip(np.rint(centres / step) * step, low, high)
        return float((weights * np.square(centres - rounded)).sum())

    best = min(np.linspace(1.0, 0.3, 40).tolist(), key=error)
    return histogram.low * best, histogram.high * best


def weighted_error(histogram: Histogram, levels: int = 256, finest: float = 0.1) -> tuple[float, float]:
    """The range with the smallest squared error, saturation and rounding together, both ends chosen alone.

    Args:
        histogram: of float counts: what a squared error in each value is worth.
        levels: of the quantiser.
        finest: the smallest part of an end that is tried.
    """
    centres, weights = histogram.centres, histogram.counts
    total = weights.sum()
    if not total > 0:  # nothing that the output depends on
        return _ends(histogram)
    shares = np.linspace(1.0, finest, 37)
    lows, highs = (np.unique(np.array([0.0, end]) if end == 0 else end * shares) for end in _ends(histogram))
    below = np.array([(weights * np.square(np.maximum(low - centres, 0))).sum() for low in lows])
    above = np.array([(weights * np.square(np.maximum(centres - high, 0))).sum() for high in highs])
    steps = (highs[None] - lows[:, None]) / (levels - 1)
    errors = below[:, None] + above[None] + total * np.square(steps) / 12
    low, high = np.unravel_index(errors.argmin(), errors.shape)
    return float(lows[low]), float(highs[high])


def _ends(histogram: Histogram) -> tuple[float, float]:
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def entropy(histogram: Histogram, levels: int = 255) -> tuple[float, float]:
    """The range whose quantised distribution is closest to the real one in Kullback-Leibler divergence.

    Migacz, "8-bit Inference with TensorRT", 2017; two-sided, shrunk towards zero from both ends in proportion.
    """
    centres, counts = histogram.centres, histogram.counts.astype(np.float64)
    # Zero is represented exactly whatever the range, and after a Relu most values are zero: left in, they decide alone.
    counts[np.abs(centres).argmin()] = 0

    def divergence(share: float) -> float:
        inside = (centres >= histogram.low * share) & (centres <= histogram.high * share)
        if inside.sum() <= levels:
            return np.inf
        real = counts[inside].copy()
        kept = real.copy()
        real[0] += counts[centres < histogram.low * share].sum()  # what saturates lands at the ends
        real[-1] += counts[centres > histogram.high * share].sum()
        groups = np.minimum(np.arange(len(kept)) * levels // len(kept), levels - 1)
        filled = kept > 0
        mass = np.bincount(groups, kept, levels)
        places = np.maximum(np.bincount(groups, filled, levels), 1)
        coarse = np.where(filled, (mass / places)[groups], 0)
        p, q = real / max(real.sum(), 1), coarse / max(coarse.sum(), 1)
        both = (p > 0) & (q > 0)
        lost = p[(p > 0) & (q == 0)].sum()  # a bin that the quantised distribution says cannot occur
        return float((p[both] * np.log(p[both] / q[both])).sum() + lost * 10)

    best = min(np.linspace(1.0, 0.3, 40).tolist(), key=divergence)
    return histogram.low * best, histogram.high * best


METHODS: Mapping[str, Callable[[Histogram], tuple[float, float]]] = {
    "percentile": percentile,
    "mse": mean_squared_error,
    "entropy": entropy,
}
