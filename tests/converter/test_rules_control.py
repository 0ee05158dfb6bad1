"""If, Loop and Scan where it is known what they will do."""

import numpy as np
import onnxruntime
import pytest
from onnx import parser

from converter.autodiff import gradient_graph
from converter.autodiff.canonical import lift_constants
from edge_runtime.errors import ModelError
from tests.converter.test_autodiff import HEADER, against_torch, data

BRANCHES = (
    "If(c) <then_branch = t() => (float[n,3] a) { s = Sin(x) a = Mul(s, w) }, "
    "else_branch = e() => (float[n,3] b) { b = Mul(x, w) }>"
)


def gradients(text: str, feeds, wanted):
    model = parser.parse_model(HEADER + text)
    lift_constants(model)
    session = onnxruntime.InferenceSession(gradient_graph(model, wanted).SerializeToString())
    return session.run(None, {name: np.asarray(x, np.float32) for name, x in feeds.items()})


@pytest.mark.parametrize("taken", [0, 1])
def test_the_branch_that_is_taken(taken: int) -> None:
    text = f"g(float[n,3] x, float[3] w) => (float[n,3] y) <bool c = {{{taken}}}> {{ y = {BRANCHES} }}"
    feeds = data(x=(2, 3), w=(3,))
    y, dx, dw = gradients(text, {**feeds, "cotangent": np.ones((2, 3))}, ["x", "w"])
    x, w = feeds["x"], feeds["w"]
    np.testing.assert_allclose(y, np.sin(x) * w if taken else x * w, rtol=1e-5)
    np.testing.assert_allclose(dx, np.cos(x) * w if taken else w + 0 * x, rtol=1e-5)
    np.testing.assert_allclose(dw, (np.sin(x) if taken else x).sum(0), rtol=1e-5)


def test_a_condition_that_depends_on_the_data_is_named() -> None:
    text = (
        "g(float[n,3] x, float[3] w) => (float[n,3] y) <float zero = {0}> "
        f"{{ m = ReduceSum<keepdims = 0>(x) c = Greater(m, zero) y = {BRANCHES} }}"
    )
    with pytest.raises(ModelError, match=r"node 'y' .If.: has a gradient only with a constant condition"):
        gradient_graph(parser.parse_model(HEADER + text), ["w"])


def test_a_loop_is_unrolled() -> None:
    """y = wⁿ x, with each turn's result as a row; an If inside on the number of the turn."""
    text = """g(float[3] x, float[3] w) => (float[3] y) <int64 n = {3}, bool go = {1}> {
        last, rows = Loop(n, go, x) <body = b(int64 i, bool c, float[3] v) => (bool c2, float[3] u, float[3] row) {
            c2 = Identity(c)
            two = Constant<value_int = 2>()
            third = Equal(i, two)
            u = If(third) <then_branch = t() => (float[3] a) { a = Sin(v) },
                           else_branch = e() => (float[3] b) { b = Mul(v, w) }>
            row = Identity(u)
        }>
        total = ReduceSum<keepdims = 0>(rows, axis)
        y = Add(last, total)
    }""".replace("bool go = {1}>", "bool go = {1}, int64[1] axis = {0}>")
    feeds = data(x=(3,), w=(3,))
    y, dx, dw = gradients(text, {**feeds, "cotangent": np.ones(3)}, ["x", "w"])
    x, w = feeds["x"], feeds["w"]
    np.testing.assert_allclose(y, 2 * np.sin(w * w * x) + w * x + w * w * x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(dx, 2 * np.cos(w * w * x) * w * w + w + w * w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(dw, 2 * np.cos(w * w * x) * 2 * w * x + x + 2 * w * x, rtol=1e-4, atol=1e-6)


def test_a_scan_runs_forwards_and_backwards() -> None:
    """A running product over rows, and over the rows in reverse."""
    body = "b(float[3] s, float[3] r) => (float[3] t, float[3] o) { t = Mul(s, r) o = Sin(t) }"
    text = (
        "g(float[4,3] x, float[3] w) => (float[3] y) { "
        f"first, a = Scan(w, x) <num_scan_inputs = 1, body = {body}> "
        "second, b = Scan(w, x) <num_scan_inputs = 1, scan_input_directions = [1], scan_output_directions = [1], "
        f"body = {body}> both = Add(a, b) p = ReduceProd<keepdims = 0>(both, axis) y = Add(p, first) }}"
    ).replace("(float[3] y) {", "(float[3] y) <int64[1] axis = {0}> {", 1)

    def torch_form(x, w):
        a = w * x.cumprod(0)
        b = w * x.flip(0).cumprod(0)
        return (a.sin() + b.sin().flip(0)).prod(0) + a[-1]

    against_torch(text, data(x=(4, 3), w=(3,)), torch_form, ["x", "w"])
