"""Ranges from histograms: narrower where that costs less, whole where every value counts."""

import numpy as np
import pytest

from compress.quantization.histogram import BINS, METHODS, Histogram, mean_squared_error, percentile


def histogram(values):
    return Histogram(np.zeros(BINS, np.int64), float(values.min()), float(values.max())).add(values)


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_a_long_tail_is_cut(method):
    tail = histogram(np.random.default_rng(0).laplace(size=60_000))
    low, high = METHODS[method](tail)
    assert tail.low < low < 0 < high < tail.high


@pytest.mark.parametrize("method", METHODS)
def test_a_box_is_kept_whole(method):
    box = histogram(np.clip(np.random.default_rng(0).standard_normal(60_000) * 3 + 2, 0, 6))
    assert METHODS[method](box) == pytest.approx((0, 6), abs=0.05)


def test_percentile_holds_its_share():
    values = np.random.default_rng(0).standard_normal(60_000)
    low, high = percentile(histogram(values), 0.99)
    assert np.mean((values >= low) & (values <= high)) == pytest.approx(0.99, abs=0.002)


def test_mean_squared_error_is_the_smallest_of_its_candidates():
    values = np.random.default_rng(0).laplace(size=60_000)

    def error(low, high):
        step = (high - low) / 255
        return np.square(values - np.clip(np.rint(values / step) * step, low, high)).mean()

    found = histogram(values)
    assert error(*mean_squared_error(found)) < 0.9 * error(found.low, found.high)
