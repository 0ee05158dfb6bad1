"""Ties, zeros and other corners of reductions and element-wise operators."""

import numpy as np
import pytest
import torch

from tests.converter.test_autodiff import against_torch, data, gradients, near


def test_products_with_zeros() -> None:
    x = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, -3.0]])
    text = "g(float[3,3] x) => (float[3] y) <int64[1] a = {1}> { y = ReduceProd<keepdims = 0>(x, a) }"
    against_torch(text, {"x": x}, lambda x: x.prod(1), ["x"])


@pytest.mark.parametrize("attributes", ["", "reverse = 1", "exclusive = 1", "exclusive = 1, reverse = 1"])
def test_running_products_with_zeros(attributes: str) -> None:
    x = np.array([[2.0, 0.0, 3.0, 4.0], [1.5, 2.0, -3.0, 0.0]])
    text = (
        f"g(float[2,4] x) => (float[2,4] y) <int64 a = {{1}}> {{ y = CumProd<{attributes}>(x, a) }}".replace(
            "<>", ""
        )
    )

    def torch_form(x: torch.Tensor) -> torch.Tensor:
        x = x.flip(1) if "reverse" in attributes else x
        if "exclusive" in attributes:
            x = torch.cat([torch.ones(2, 1, dtype=x.dtype), x[:, :-1]], 1)
        y = x.cumprod(1)
        return y.flip(1) if "reverse" in attributes else y

    from converter.autodiff import gradient_graph
    from tests.converter import test_autodiff

    model = test_autodiff.parser.parse_model(test_autodiff.HEADER.replace("21", "26") + text)
    graph = gradient_graph(model, ["x"])
    session = test_autodiff.onnxruntime.InferenceSession(graph.SerializeToString())
    dy = np.random.default_rng(0).standard_normal((2, 4))
    got = session.run(None, {"x": x.astype(np.float32), "cotangent": dy.astype(np.float32)})
    tensor = torch.tensor(x, requires_grad=True)
    out = torch_form(tensor)
    (out * torch.tensor(dy)).sum().backward()
    near(got[0], out.detach().numpy(), "y")
    near(got[1], tensor.grad.numpy(), "x")


@pytest.mark.parametrize("kind", ["ReduceMax", "ReduceMin"])
def test_equal_extrema_share(kind: str) -> None:
    x = np.array([[3.0, 3.0, 3.0], [1.0, 2.0, 1.0]])
    text = f"g(float[2,3] x) => (float[2,1] y) <int64[1] a = {{1}}> {{ y = {kind}(x, a) }}"
    against_torch(
        text, {"x": x}, lambda x: (x.amax if kind == "ReduceMax" else x.amin)(1, keepdim=True), ["x"]
    )


@pytest.mark.parametrize("kind", ["ReduceL2", "LpNormalization"])
def test_the_norm_of_nothing_has_no_gradient(kind: str) -> None:
    body = "<int64[1] a = {1}> { y = ReduceL2(x, a) }" if kind == "ReduceL2" else "{ y = LpNormalization(x) }"
    out = "2,1" if kind == "ReduceL2" else "2,3"
    _, _, got = gradients(f"g(float[2,3] x) => (float[{out}] y) {body}", {"x": np.zeros((2, 3))}, ["x"])
    assert np.isfinite(got["x"]).all()


def test_the_exponent_of_a_power() -> None:
    feeds = {"x": np.array([[0.0, 0.5, 2.0], [3.0, 1.0, 0.1]]), "p": np.array([2.0, 1.5, 3.0])}
    text = "g(float[2,3] x, float[3] p) => (float[2,3] y) { y = Pow(x, p) }"
    against_torch(text, feeds, torch.pow, ["x", "p"])


def test_learned_bounds_and_slope() -> None:
    feeds = {**data(x=(4, 5)), "low": np.array(-0.5), "high": np.array(0.4)}
    text = "g(float[4,5] x, float low, float high) => (float[4,5] y) { y = Clip(x, low, high) }"
    against_torch(text, feeds, torch.clamp, ["x", "low", "high"])
    text = "g(float[2,3,4] x, float[3,1] s) => (float[2,3,4] y) { y = PRelu(x, s) }"
    feeds = data(x=(2, 3, 4), s=(3, 1))
    against_torch(text, feeds, lambda x, s: torch.where(x > 0, x, s * x), ["x", "s"])


def test_the_determinant_of_a_singular_matrix() -> None:
    x = np.stack([np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]]), data(x=(3, 3))["x"]])
    text = "g(float[2,3,3] x) => (float[2] y) { y = Det(x) }"
    _, cotangent, got = gradients(text, {"x": x}, ["x"])
    cofactors = np.empty_like(x)
    for i in range(3):
        for j in range(3):
            minor = np.delete(np.delete(x, i, 1), j, 2)
            cofactors[:, i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    near(got["x"], cotangent[:, None, None] * cofactors, "x")
