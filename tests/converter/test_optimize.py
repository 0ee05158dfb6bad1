"""Optimisation: less to compute, the same function."""

import numpy as np
import pytest

from converter import optimize
from converter.model import to_bytes
from edge_runtime import ModelError, Session
from tests.models import HEADER, build, cnn, images

STATISTICS = "float[C] gamma, float[C] beta, float[C] mean, float[C] var"


def ops(model):
    return [node.op_type for node in model.graph.node]


def same(before, after, feeds):
    old, new = (list(Session(to_bytes(m)).run(feeds).values()) for m in (before, after))
    for a, b in zip(old, new, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_batch_normalisation_folds_into_the_convolution(seed):
    model = cnn(seed)
    fused = optimize(model)
    assert "BatchNormalization" in ops(model)
    assert "BatchNormalization" not in ops(fused)
    same(model, fused, {"images": images(3, seed)})


@pytest.mark.parametrize(
    "layer",
    ["Conv<pads=[1,1,1,1]>(x, w)", "ConvTranspose(x, w)"],
)
def test_layers_without_a_bias_fold_too(layer):
    model = build(
        HEADER
        + " m (float[n, 5, 6, 6] x) => (y) <float[5, 5, 3, 3] w, "
        + STATISTICS.replace("C", "5")
        + ">"
        + "{ c = %s  y = BatchNormalization<epsilon = 0.01>(c, gamma, beta, mean, var) }" % layer
    )
    fused = optimize(model)
    assert len(ops(fused)) == 1
    same(model, fused, {"x": np.random.default_rng(0).standard_normal((2, 5, 6, 6)).astype(np.float32)})


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_dense_layer_folds(transposed):
    shape = "6, 4" if transposed else "4, 6"
    model = build(
        HEADER
        + " m (float[n, 4] x) => (y) <float[%s] w, float[6] b, " % shape
        + STATISTICS.replace("C", "6")
        + ">"
        + "{ c = Gemm<transB = %d>(x, w, b)  y = BatchNormalization(c, gamma, beta, mean, var) }" % transposed
    )
    fused = optimize(model)
    assert ops(fused) == ["Gemm"]
    same(model, fused, {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)})


def test_a_value_that_others_read_is_not_folded_away():
    model = build(
        HEADER
        + " m (float[n, 5, 6, 6] x) => (y, c) <float[5, 5, 3, 3] w, "
        + STATISTICS.replace("C", "5")
        + ">"
        + "{ c = Conv(x, w)  y = BatchNormalization(c, gamma, beta, mean, var) }"
    )
    assert ops(optimize(model)) == ["Conv", "BatchNormalization"]


def test_constants_fold_and_dead_code_goes():
    model = build(
        HEADER
        + " m (float[n, 3] x) => (y) <float[3] a, float[3] b>"
        + "{ s = Add(a, b)  unused = Exp(x)  y = Mul(x, s) }"
    )
    assert ops(optimize(model)) == ["Mul"]


def test_a_path_is_read_and_nonsense_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(to_bytes(cnn()))
    assert ops(optimize(tmp_path / "m.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"\0\1\2")
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        optimize(tmp_path / "bad.onnx")
