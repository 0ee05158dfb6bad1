"""Pixels joined along the row: the same integers, by a window of fewer places."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.quantization.quantize import Quantize, quantize
from converter.lowering import lower
from converter.lowering.flatbuffer import schema
from converter.lowering.pixels import joined
from converter.lowering.window import Window
from edge_runtime.engines import onnx as ort
from edge_runtime.engines.litert import LiteRT
from tests.models import HEADER, build

pytest.importorskip("ai_edge_litert")


def convolved(x, weight, w):
    """The convolution of x [h, w, channels] in integers."""
    padded = np.pad(x, [(w.before[0], w.behind[0]), (w.before[1], w.behind[1]), (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(0, 1))
    return np.einsum("hwcij,ocij->hwo", views[:: w.stride[0], :: w.stride[1]], weight)


@given(
    st.integers(1, 4), st.integers(2, 4), st.integers(1, 5), st.integers(1, 7),
    st.integers(0, 3), st.integers(0, 3), st.integers(0, 99),
)  # fmt: skip
def test_joined_pixels_give_the_same_sums(channels, step, groups, columns, before, behind, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, (5, groups * step, channels))
    weight = rng.integers(-9, 9, (2, channels, 3, columns))
    w = Window((3, columns), (2, step), (1, 1), (1, before), (0, behind))
    if groups * step + before + behind < columns:
        return
    wanted = convolved(x, weight, w)
    found = joined(weight, w, x.shape[:2], wanted.shape[1])
    if found is not None:
        made, window = found
        assert made.shape[3] < columns
        got = convolved(x.reshape(5, groups, step * channels), made, window)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    ("stride", "dilation", "channels", "size"),
    [(1, 1, 3, 16), (2, 2, 3, 16), (2, 1, 8, 16), (2, 1, 3, 15)],
    ids=["no stride", "dilated", "as many products", "odd"],
)
def test_what_would_gain_nothing_or_cannot_be_joined_stays(stride, dilation, channels, size):
    w = Window((3, 3), (2, stride), (dilation, dilation), (1, 1), (1, 1))
    assert joined(np.ones((4, channels, 3, 3), np.int8), w, (16, size), 8) is None


def test_a_quantised_first_layer_reads_two_pixels_at_a_time():
    model = build(
        HEADER
        + """ g (float[n, 3, 16, 16] x) => (float[n, 4] y)
        <float[6, 3, 3, 3] w, float[6] b, float[384, 4] v> {
        c = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w, b)  r = Relu(c)  f = Flatten(r)  y = Gemm(f, v) }"""
    )
    x = np.random.default_rng(0).standard_normal((16, 3, 16, 16)).astype(np.float32)
    small = quantize(model, x, Quantize())
    content = lower(small)
    graph = schema().ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    assert [6, 3, 2, 6] in [list(tensor.shape) for tensor in graph.tensors]
    plain = schema().ModelT.InitFromPackedBuf(lower(small, native=True), 0).subgraphs[0]
    assert [6, 3, 3, 3] in [list(tensor.shape) for tensor in plain.tensors], "an NPU has its own ways"
    exact = ort.open_session(small.SerializeToString(), where="m", config={"session.disable_quant_qdq": "1"})
    engine = LiteRT(content, where="m")
    for k in range(8):
        part = x[k : k + 1]
        np.testing.assert_allclose(engine.run({"x": part})["y"], exact.run(None, {"x": part})[0], atol=1e-5)
