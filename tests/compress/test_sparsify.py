"""Single weights become zero: the smallest, or all but N of every M; training keeps the zeros."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.pruning.sparsify import Sparsify, cubic, gradually, largest, sparsify, structured
from compress.step import Work
from compress.training.retrain import keep_zeros, retrain
from converter.model import constants, set_constant
from edge_runtime import ModelError, Samples, Session, Target
from tests.models import HEADER, build, cnn


@given(st.floats(0, 0.99), st.integers(0, 30))
def test_the_smallest_share_goes(share, seed):
    weight = np.random.default_rng(seed).standard_normal((8, 9))
    keep = largest(np.abs(weight), share)
    assert (~keep).sum() == int(share * 72)
    if keep.any() and not keep.all():
        assert np.abs(weight[keep]).min() >= np.abs(weight[~keep]).max()


@given(st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 5)]), st.integers(1, 23), st.integers(0, 30))
def test_every_run_keeps_its_largest(pattern, length, seed):
    n, m = pattern
    weight = np.random.default_rng(seed).standard_normal((3, length, 2))
    keep = structured(np.abs(weight), n, m)
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
        (Sparsify(importance="luck"), "importance 'luck' is unknown"),
        (Sparsify(importance="taylor"), "needs samples"),
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
        return (Session(found.SerializeToString()).run({"x": x})["y"].argmax(axis=1) == y).mean()

    assert right(trained) > 0.95
    assert right(again) > right(sparse) + 0.05
    for name in ("w", "v"):
        zeros = constants(sparse.graph)[name] == 0
        assert (constants(again.graph)[name][zeros] == 0).all()
        assert not np.array_equal(constants(again.graph)[name], constants(sparse.graph)[name])


@given(st.integers(1, 12), st.floats(0, 0.99), st.floats(0, 0.99))
def test_the_schedule_rises_fast_and_then_slowly_to_its_end(rounds, start, further):
    final = start + (1 - start) * further
    shares = np.array([cubic(k, rounds, final, start) for k in range(rounds + 1)])
    assert shares[0] == pytest.approx(start)
    assert shares[-1] == pytest.approx(final)
    steps = np.diff(shares)
    assert (steps >= -1e-12).all()
    assert (np.diff(steps) <= 1e-12).all()


def test_gradual_sparsity_reaches_its_share_and_keeps_its_zeros():
    seen = []

    def between(current):
        weights = constants(current.graph)
        seen.append({name: weights[name] == 0 for name in ("w1", "w2", "w3")})
        return current

    gradually(cnn(), Sparsify(0.8, layers={"w2": 0.5}), 4, between)
    shares = [found["w1"].mean() for found in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(0.8, abs=0.01)
    assert seen[-1]["w2"].mean() == 0.5
    for early, late in itertools.pairwise(seen):
        assert all((late[name] | ~early[name]).all() for name in early)
    with pytest.raises(ModelError, match="rather than a pattern"):
        gradually(cnn(), Sparsify(pattern="2:4"), 2, between)


@pytest.mark.parametrize("criterion", ["taylor", "movement"])
def test_what_the_loss_does_not_see_goes_first(criterion):
    """Weights behind an input that is always zero have no gradient, whatever their size."""
    model = build(
        HEADER + " m (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w, float[3] b> { y = Gemm(x, w, b) }"
    )
    value = constants(model.graph)["w"].copy()
    value[1] = 9
    set_constant(model.graph, "w", value)
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    x[:, 1] = 0
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 2] > 0)
    work = Work(Samples(x, y), Target.load("rpi4"), model)
    share = 0.25 if criterion == "taylor" else 0.5
    sparse = constants(sparsify(model, Sparsify(share, importance=criterion), work).graph)["w"]
    assert (sparse == 0).sum() == int(12 * share)
    if criterion == "taylor":
        assert not sparse[1].any()
    else:  # the score of what does not move is 0: between what shrinks and what grows
        assert np.isfinite(sparse).all()
