"""Clustering: few values, close to the weights; zero stays zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.quantization.cluster import Cluster, cluster, share
from converter.model import constants
from edge_runtime import ModelError, Session
from tests.models import HEADER, build


def weights(count=4096, seed=0):
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


@given(st.integers(1, 8), st.integers(0, 50))
def test_at_most_that_many_values_and_no_further_than_the_spacing(bits, seed):
    weight = weights(500, seed)
    found = share(weight, Cluster(bits))
    assert len(np.unique(found)) <= 2**bits
    assert np.abs(found - weight).max() <= (weight.max() - weight.min()) / 2


def test_more_values_are_closer():
    weight = weights()
    errors = [np.square(share(weight, Cluster(bits)) - weight).mean() for bits in (2, 4, 6)]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_k_means_beats_even_spacing():
    weight = weights()
    step = (weight.max() - weight.min()) / 16
    even = (np.floor((weight - weight.min()) / step) + 0.5) * step + weight.min()
    assert np.square(share(weight, Cluster(4)) - weight).mean() < 0.7 * np.square(even - weight).mean()


def test_zero_stays_zero():
    weight = weights()
    weight[::3] = 0
    found = share(weight, Cluster(3))
    np.testing.assert_array_equal(found == 0, weight == 0)
    np.testing.assert_array_equal(share(np.zeros(9, np.float32), Cluster()), np.zeros(9))


def test_the_graph_keeps_its_form():
    model = build(
        HEADER
        + " m (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w, float[32] b> { y = Gemm(x, w, b) }"
    )
    found = cluster(model, Cluster(4))
    assert len(np.unique(constants(found.graph)["w"])) <= 16
    np.testing.assert_array_equal(constants(found.graph)["b"], constants(model.graph)["b"])
    x = weights(640).reshape(10, 64)
    before, after = (Session(m.SerializeToString()).run({"x": x})["y"] for m in (model, found))
    assert np.abs(before - after).max() < 0.15 * np.abs(before).max()
    with pytest.raises(ModelError, match="expected 1 to 8"):
        cluster(model, Cluster(9))
