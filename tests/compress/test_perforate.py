"""Perforation: fewer positions before a mean, the same answers where all positions are alike."""

import numpy as np
import pytest

from compress.pruning.perforate import Perforate, perforate
from compress.pruning.prune import sizes
from converter.model import constants, copy
from edge_runtime import ModelError, Session
from tests.models import HEADER, build

LAYERS = """
    h = Conv<pads = [1, 1, 1, 1]>(x, w)  r = Relu(h)
    c = Conv(r, v, b)  k = Relu(c)"""
TEXT = (
    HEADER
    + " g (float[n, 3, 9, 9] x) => (float[n, 5] y) <float[6, 3, 3, 3] w, float[8, 6, 1, 1] v, float[8] b,"
    + f" float[5, 8] u> {{ {LAYERS} m = GlobalAveragePool(k)  f = Flatten(m)  y = Gemm<transB = 1>(f, u) }}"
)
MAPS = (
    HEADER
    + " g (float[n, 3, 9, 9] x) => (float[n, 8, 9, 9] k) <float[6, 3, 3, 3] w, float[8, 6, 1, 1] v, float[8] b>"
    + f" {{ {LAYERS} }}"
)


def run(model, x):
    return next(iter(Session(model.SerializeToString(), threads=1).run({"x": x}).values()))


@pytest.mark.parametrize("every", [2, 3])
def test_the_answer_is_that_of_the_mean_over_the_lattice(every):
    model = build(TEXT)
    before = copy(model)
    made = perforate(model, Perforate(every))
    assert model == before
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype(np.float32)
    rows, columns = np.indices((9, 9))
    means = run(build(MAPS), x)[:, :, (rows + columns) % every == every // 2].mean(axis=2)
    wanted = means @ constants(model.graph)["u"].T
    np.testing.assert_allclose(run(made, x), wanted, rtol=1e-4, atol=1e-5)


def test_it_saves_the_work_of_the_positions_that_are_gone():
    model = build(TEXT)
    assert sizes(model)["macs"] - sizes(perforate(model))["macs"] == 54 * 6 * 8


def test_positions_that_are_alike_cost_nothing():
    model = build(TEXT.replace("<pads = [1, 1, 1, 1]>", ""))
    x = np.broadcast_to(np.array([0.5, -1.0, 2.0], np.float32)[:, None, None], (1, 3, 9, 9)).copy()
    np.testing.assert_allclose(run(perforate(model), x), run(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("k = Relu(c)", "k = MaxPool<kernel_shape = [2, 2]>(c)"),
        ("=> (float[n, 5] y)", "=> (float[n, 5] y, float[n, 8, 9, 9] k)"),
    ],
    ids=["a pool between", "an output"],
)
def test_what_does_not_only_go_into_a_mean_is_refused(old, new):
    with pytest.raises(ModelError, match="no 1×1 convolutions"):
        perforate(build(TEXT.replace(old, new)))


def test_every_position_cannot_go():
    with pytest.raises(ModelError, match="expected 2 or more"):
        perforate(build(TEXT), Perforate(1))
