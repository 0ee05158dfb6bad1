"""Single weights become zero: the smallest, or all but N of every M; training keeps the zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.pruning.sparsify import Sparsify, largest, sparsify, structured
from compress.training.retrain import keep_zeros, retrain
from converter.model import constants
from edge_runtime import ModelError, Samples
from tests.models import HEADER, build, cnn


@given(st.floats(0, 0.99), st.integers(0, 30))
def test_the_smallest_share_goes(share, seed):
    weight = np.random.default_rng(seed).standard_normal((8, 9))
    keep = largest(weight, share)
    assert (~keep).sum() == int(share * 72)
    if keep.any() and not keep.all():
        assert np.abs(weight[keep]).min() >= np.abs(weight[~keep]).max()


@given(st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 5)]), st.integers(1, 23), st.integers(0, 30))
def test_every_run_keeps_its_largest(pattern, length, seed):
    n, m = pattern
    weight = np.random.default_rng(seed).standard_normal((3, length, 2))
    keep = structured(weight, n, m)
    whole = length // m * m
    runs = np.moveaxis(keep, 1, -1)[..., :whole].reshape(3, 2, -1, m)
    assert (runs.sum(axis=-1) == n).all()
    assert keep[:, whole:].all()


def test_layers_may_have_shares_of_their_own():
    result = constants(sparsify(cnn(), Sparsify(0.5, layers={"w1": 0.0})).graph)
    assert (result["w1"] != 0).all()
    assert (result["w2"] == 0).mean() == 0.5
    assert (result["b1"] != 0).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Sparsify(1.0), "not between 0 and 1"),
        (Sparsify(layers={"w9": 0.5}), "no layer has a weight 'w9'"),
        (Sparsify(pattern="4:2"), "expected N:M"),
        (Sparsify(pattern="half"), "expected N:M"),
    ],
)
def test_what_is_wrong_is_named(options, sentence):
    with pytest.raises(ModelError, match=sentence):
        sparsify(cnn(), options)


def test_training_brings_accuracy_back_and_keeps_the_zeros():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((512, 16)).astype(np.float32)
    y = (x @ rng.standard_normal((16, 4))).argmax(axis=1)
    text = (
        HEADER
        + " m (float[n, 16] x) => (float[n, 4] y) <float[16, 32] w, float[32] b, float[32, 4] v, float[4] c>"
    )
    model = build(text + "{ h = Gemm(x, w, b)  r = Relu(h)  y = Gemm(r, v, c) }")
    samples = Samples(x, y)
    trained = retrain(model, samples, epochs=20, lr=0.05)
    sparse = sparsify(trained, Sparsify(0.8))
    again = retrain(sparse, samples, epochs=20, lr=0.05, constraint=keep_zeros(sparse))

    def right(found):
        from edge_runtime import Session

        return (Session(found.SerializeToString()).run({"x": x})["y"].argmax(axis=1) == y).mean()

    assert right(trained) > 0.95
    assert right(again) > right(sparse) + 0.05
    for name in ("w", "v"):
        zeros = constants(sparse.graph)[name] == 0
        assert (constants(again.graph)[name][zeros] == 0).all()
        assert not np.array_equal(constants(again.graph)[name], constants(sparse.graph)[name])
