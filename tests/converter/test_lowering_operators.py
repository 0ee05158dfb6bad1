"""Each rule of the lowering against onnxruntime: random inputs, one operator or the few around which its rule turns."""

import numpy as np
import pytest

from converter.lowering import lower
from edge_runtime import Session
from edge_runtime.engines.litert import LiteRT
from edge_runtime.errors import ModelError
from edge_runtime.tensors import example
from tests.models import HEADER, build

pytest.importorskip("ai_edge_litert")

PICTURE = "float[n, 6, 9, 10] x"
# Input, weights, and the nodes from x to y.
CASES = {
    # convolutions
    "conv_pads": (PICTURE, "float[4, 6, 3, 3] w, float[4] b", "y = Conv<pads = [1, 1, 1, 1]>(x, w, b)"),
    "conv_no_bias": (PICTURE, "float[4, 6, 1, 1] w", "y = Conv(x, w)"),
    "conv_stride": (PICTURE, "float[4, 6, 3, 3] w", "y = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w)"),
    "conv_uneven": (PICTURE, "float[4, 6, 3, 2] w", "y = Conv<pads = [2, 0, 1, 1], strides = [1, 2]>(x, w)"),
    "conv_dilated": (PICTURE, "float[4, 6, 3, 3] w", "y = Conv<pads = [2, 2, 2, 2], dilations = [2, 2]>(x, w)"),
    "conv_same": (PICTURE, "float[4, 6, 3, 3] w", 'y = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(x, w)'),
    "conv_same_lower": (
        PICTURE, "float[4, 6, 3, 3] w",
        'y = Conv<auto_pad = "SAME_LOWER", strides = [2, 2]>(x, w)',
    ),
    "conv_groups": (PICTURE, "float[4, 3, 3, 3] w, float[4] b", "y = Conv<group = 2>(x, w, b)"),
    "conv_depthwise": (PICTURE, "float[6, 1, 3, 3] w", "y = Conv<group = 6, pads = [1, 1, 1, 1]>(x, w)"),
    "conv_multiplier": (PICTURE, "float[12, 1, 3, 3] w, float[12] b", "y = Conv<group = 6>(x, w, b)"),
    "conv_signal": ("float[n, 6, 20] x", "float[4, 6, 5] w", "y = Conv<pads = [2, 2], dilations = [2]>(x, w)"),
    "conv_relu": (PICTURE, "float[4, 6, 3, 3] w", "h = Conv(x, w) y = Relu(h)"),
    "conv_clip": (
        PICTURE, "float[4, 6, 3, 3] w, float lo = {0}, float hi = {6}", "h = Conv(x, w) y = Clip(h, lo, hi)"
    ),
    "conv_leaves_and_returns": (PICTURE, "float[6, 6, 1, 1] w", "h = Conv(x, w) y = Add(h, x)"),
    "transposed": (
        "float[2, 6, 5, 5] x", "float[6, 4, 2, 2] w, float[4] b",
        "y = ConvTranspose<strides = [2, 2]>(x, w, b)",
    ),
    "transposed_cut": (
        "float[1, 6, 5, 5] x", "float[6, 4, 3, 3] w",
        "y = ConvTranspose<strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]>(x, w)",
    ),
    "transposed_signal": (
        "float[1, 6, 7] x", "float[6, 4, 4] w",
        "y = ConvTranspose<strides = [2], pads = [1, 1]>(x, w)",
    ),
    # pools
    "max_pool": (PICTURE, "", "y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)"),
    "max_pool_pads": (PICTURE, "", "y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(x)"),
    "max_pool_ceil": (PICTURE, "", "y = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(x)"),
    "max_pool_signal": ("float[n, 6, 20] x", "", "y = MaxPool<kernel_shape = [2], strides = [2]>(x)"),
    "average_pool": (PICTURE, "", "y = AveragePool<kernel_shape = [3, 2]>(x)"),
    "average_pool_same": (PICTURE, "", "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x)"),
    "average_pool_uneven": (
        PICTURE, "",
        "y = AveragePool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 0, 0]>(x)",
    ),
    "average_pool_counted": (
        PICTURE, "", "y = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1>(x)"
    ),
    "average_pool_ceil": (
        PICTURE, "",
        "y = AveragePool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(x)",
    ),
    "global_average": (PICTURE, "", "y = GlobalAveragePool(x)"),
    "global_max": (PICTURE, "", "y = GlobalMaxPool(x)"),
    # dense
    "gemm": ("float[n, 5] x", "float[5, 3] w, float[3] b", "y = Gemm(x, w, b)"),
    "gemm_turned": ("float[n, 5] x", "float[3, 5] w", "y = Gemm<transB = 1>(x, w)"),
    "gemm_scaled": (
        "float[4, 5] x", "float[3, 5] w, float[4, 3] b",
        "y = Gemm<transB = 1, alpha = 0.5, beta = 2.0>(x, w, b)",
    ),
    "matmul_wide": ("float[n, 7, 5] x", "float[5, 3] w, float[3] b", "h = MatMul(x, w) y = Add(h, b)"),
    "matmul_batch": ("float[n, 4, 7, 5] x", "", "t = Transpose<perm = [0, 1, 3, 2]>(x) y = MatMul(x, t)"),
    "matmul_turned_left": ("float[n, 4, 7, 5] x", "", "t = Transpose<perm = [0, 1, 3, 2]>(x) y = MatMul(t, x)"),
    "flattened": (PICTURE, "float[5, 540] w", "h = Flatten(x) y = Gemm<transB = 1>(h, w)"),
    # arithmetic
    "broadcast_channel": (
        PICTURE, "float[6, 1, 1] w, float[4, 6, 1, 1] c",
        "h = Conv(x, c) g = Conv(x, c) k = Add(h, g) y = Abs(k)",
    ),
    "broadcast_row": (PICTURE, "float[10] w", "y = Mul(x, w)"),
    "broadcast_behind_conv": (PICTURE, "float[4, 6, 1, 1] w, float[4, 1, 1] s", "h = Conv(x, w) y = Sub(h, s)"),
    "broadcast_values": (PICTURE, "float[6, 6, 1, 1] w", "h = Conv(x, w) g = GlobalAveragePool(h) y = Mul(h, g)"),
    "divide": (PICTURE, "float one = {3}", "e = Exp(x) f = Add(e, one) y = Div(x, f)"),
    "power": (PICTURE, "float two = {2}", "y = Pow(x, two)"),
    "maximum": (PICTURE, "float[10] w, float[1] v", "y = Max(x, w, v)"),
    "sum": (PICTURE, "float[10] w", "y = Sum(x, w, x)"),
    "where": (PICTURE, "float zero = {0}", "c = Greater(x, zero) n = Neg(x) y = Where(c, x, n)"),
    "prelu": (PICTURE, "float[6, 6, 1, 1] w, float[6, 1, 1] s", "h = Conv(x, w) y = PRelu(h, s)"),
    # activations
    **{name: (PICTURE, "", f"y = {name}(x)") for name in (
        "Abs", "Ceil", "Cos", "Exp", "Floor", "HardSwish", "Neg", "Relu", "Round", "Sigmoid", "Sin", "Tanh",
        "LeakyRelu", "Gelu", "Elu", "Selu", "Celu", "HardSigmoid", "Softplus", "Mish", "Softsign", "Identity",
        "LogSoftmax", "Softmax", "Dropout",
    )},
    "gelu_tanh": (PICTURE, "", 'y = Gelu<approximate = "tanh">(x)'),
    "elu_alpha": (PICTURE, "", "y = Elu<alpha = 0.5>(x)"),
    "celu_alpha": (PICTURE, "", "y = Celu<alpha = 2.0>(x)"),
    "clip_any": (PICTURE, "float lo = {-0.3}, float hi = {0.7}", "y = Clip(x, lo, hi)"),
    "clip_unit": (PICTURE, "float lo = {0}, float hi = {1}", "y = Clip(x, lo, hi)"),
    "sqrt_log": (PICTURE, "float one = {1}", "a = Abs(x) b = Add(a, one) s = Sqrt(b) y = Log(s)"),
    "reciprocal": (PICTURE, "float one = {1}", "a = Abs(x) b = Add(a, one) y = Reciprocal(b)"),
    "softmax_axis": (PICTURE, "float[6, 6, 1, 1] w", "h = Conv(x, w) y = Softmax<axis = 1>(h)"),
    # reductions
    "mean": (PICTURE, "int64[2] a = {2, 3}", "y = ReduceMean<keepdims = 0>(x, a)"),
    "sum_axis": (PICTURE, "int64[1] a = {1}", "y = ReduceSum(x, a)"),
    "max_axis": (PICTURE, "int64[1] a = {-1}", "y = ReduceMax<keepdims = 0>(x, a)"),
    "min_axis": (PICTURE, "int64[1] a = {2}", "y = ReduceMin(x, a)"),
    "norm": (PICTURE, "int64[1] a = {1}", "y = ReduceL2(x, a)"),
    "arg_max": (PICTURE, "", "y = ArgMax<axis = 1, keepdims = 0>(x)"),
    "arg_min_keeps": (PICTURE, "", "y = ArgMin<axis = 3>(x)"),
    "cumulative": (PICTURE, "int64 a = {2}", "y = CumSum(x, a)"),
    # normalisations
    "layer_norm": ("float[n, 7, 12] x", "float[12] g, float[12] b", "y = LayerNormalization(x, g, b)"),
    "layer_norm_axes": (PICTURE, "float[9, 10] g", "y = LayerNormalization<axis = 2>(x, g)"),
    "instance_norm": (PICTURE, "float[6] g, float[6] b", "y = InstanceNormalization(x, g, b)"),
    "group_norm": (PICTURE, "float[6] g, float[6] b", "y = GroupNormalization<num_groups = 3>(x, g, b)"),
    "batch_norm": (
        PICTURE, "float[6] g, float[6] b, float[6] m, float[6] var", "y = BatchNormalization(x, g, b, m, var)"
    ),
    # shapes
    "concat": (PICTURE, "float[4, 6, 1, 1] w", "h = Conv(x, w) y = Concat<axis = 1>(h, x)"),
    "concat_rows": (PICTURE, "", "h = Neg(x) y = Concat<axis = 2>(x, h)"),
    "split": (
        PICTURE, "float[6, 6, 1, 1] w",
        "h = Conv(x, w) a, b = Split<axis = 1, num_outputs = 2>(h) y = Sub(a, b)",
    ),
    "split_uneven": (PICTURE, "int64[2] s = {2, 4}", "a, y = Split<axis = 1>(x, s)"),
    "slice": (PICTURE, "int64[2] s = {1, 2}, int64[2] e = {5, 100}, int64[2] a = {1, 3}", "y = Slice(x, s, e, a)"),
    "slice_steps": (
        PICTURE, "int64[2] s = {-1, 1}, int64[2] e = {-100, 8}, int64[2] a = {2, 3}, int64[2] t = {-2, 3}",
        "y = Slice(x, s, e, a, t)",
    ),
    "pad": (PICTURE, "int64[8] p = {0, 1, 2, 0, 0, 0, 1, 3}, float v = {1.5}", "y = Pad(x, p, v)"),
    "pad_zero": (
        PICTURE, "int64[4] p = {1, 2, 1, 2}, int64[2] a = {2, 3}",
        'y = Pad<mode = "constant">(x, p, , a)',
    ),
    "pad_reflect": (PICTURE, "int64[8] p = {0, 0, 2, 1, 0, 0, 1, 2}", 'y = Pad<mode = "reflect">(x, p)'),
    "reshape": (PICTURE, "int64[3] s = {0, 54, 10}", "y = Reshape(x, s)"),
    "shuffle": (
        "float[n, 6, 4, 5] x", "float[6, 6, 1, 1] w, int64[5] s = {-1, 2, 3, 4, 5}, int64[4] t = {-1, 6, 4, 5}",
        "h = Conv(x, w) a = Reshape(h, s) b = Transpose<perm = [0, 2, 1, 3, 4]>(a) c = Reshape(b, t) y = Conv(c, w)",
    ),
    "tokens": (
        PICTURE, "float[8, 6, 3, 5] w, int64[3] s = {0, 8, 6}, float[8, 4] d",
        "h = Conv<strides = [3, 5]>(x, w) r = Reshape(h, s) t = Transpose<perm = [0, 2, 1]>(r) y = MatMul(t, d)",
    ),
    "transpose": (PICTURE, "", "y = Transpose<perm = [0, 3, 1, 2]>(x)"),
    "squeeze": ("float[n, 1, 5, 1] x", "int64[1] a = {1}", "y = Squeeze(x, a)"),
    "unsqueeze": ("float[n, 5] x", "int64[2] a = {1, 3}", "y = Unsqueeze(x, a)"),
    "expand": ("float[2, 1, 5] x", "int64[3] s = {2, 4, 5}", "y = Expand(x, s)"),
    "tile": (PICTURE, "int64[4] r = {1, 1, 2, 3}", "y = Tile(x, r)"),
    "depth_to_space": ("float[n, 12, 3, 4] x", "", "y = DepthToSpace<blocksize = 2>(x)"),
    "depth_to_space_crd": ("float[n, 12, 3, 4] x", "", 'y = DepthToSpace<blocksize = 2, mode = "CRD">(x)'),
    "space_to_depth": ("float[n, 3, 4, 6] x", "", "y = SpaceToDepth<blocksize = 2>(x)"),
    "resize_nearest": (
        PICTURE, "float[4] s = {1, 1, 2, 2}",
        'y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , s)',
    ),
    "resize_linear": (PICTURE, "float[4] s = {1, 1, 2, 3}", 'y = Resize<mode = "linear">(x, , s)'),
    "resize_smaller": (
        "float[n, 6, 8, 10] x", "float[4] s = {1, 1, 0.5, 0.6}",
        'y = Resize<mode = "linear">(x, , s)',
    ),
    "resize_corners": (
        PICTURE, "float[4] s = {1, 1, 2, 2}",
        'y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, , s)',
    ),
    # selection
    "gather_one": (PICTURE, "int64 i = {-2}", "y = Gather<axis = 1>(x, i)"),
    "gather_range": (PICTURE, "int64[3] i = {1, 2, 3}", "y = Gather<axis = 2>(x, i)"),
    "gather_any": (PICTURE, "int64[2, 2] i = {5, 0, -1, 3}", "y = Gather<axis = 3>(x, i)"),
    "embedding": ("int64[n, 7] x", "float[2, 4] w", "y = Gather(w, x)"),
    "top_k": ("float[n, 9] x", "int64[1] k = {3}", "y, i = TopK(x, k)"),
    "cast": (PICTURE, "", "i = Cast<to = 6>(x) y = Cast<to = 1>(i)"),
    # written out by ONNX's own definition, or by an expansion
    "swish_by_function": (PICTURE, "", "s = Sigmoid(x) y = Mul(x, s)"),
    "rnn": ("float[5, n, 3] x", "float[1, 4, 3] w, float[1, 4, 4] r", "y = RNN<hidden_size = 4>(x, w, r)"),
    "lstm": (
        "float[5, n, 3] x", "float[1, 16, 3] w, float[1, 16, 4] r, float[1, 32] b",
        "y = LSTM<hidden_size = 4>(x, w, r, b)",
    ),
    "gru_both_ways": (
        "float[5, n, 3] x", "float[2, 12, 3] w, float[2, 12, 4] r",
        'y = GRU<hidden_size = 4, direction = "bidirectional", linear_before_reset = 1>(x, w, r)',
    ),
    "shape_arithmetic": (
        PICTURE, "int64[1] rest = {-1}",
        "s = Shape<start = 0, end = 2>(x) t = Concat<axis = 0>(s, rest) y = Reshape(x, t)",
    ),
}  # fmt: skip


def model(case: str):
    inputs, weights, nodes = CASES[case]
    kind = "int64" if case.startswith("arg_") else "float"
    text = f"{HEADER} g ({inputs}) => ({kind} y) <{weights}> {{ {nodes} }}"
    made = build(text)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_what_onnxruntime_gives(case):
    source = model(case)
    engine, session = LiteRT(lower(source), where=case, threads=1), Session(source.SerializeToString())
    for batch in (1, 3) if isinstance(engine.inputs[0].shape[0], str) else (1,):
        inputs = example(session.inputs, seed=batch, free=batch)
        expected, got = session.run(inputs)["y"], engine.run(inputs)["y"]
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "weights", "nodes", "sentence"),
    [
        ("float[n, 3, 4, 4, 4] x", "float[2, 3, 1, 1, 1] w", "y = Conv(x, w)", r"node 'y' \(Conv\): 3 spatial axes"),
        (PICTURE, "float[6, 2, 1, 1] w", "y = ConvTranspose<group = 2>(x, w)", r"\(ConvTranspose\): groups"),
        (PICTURE, "", "y = Erf(x)", r"node 'y' \(Erf\): the operator Erf has no form in TFLite"),
        (PICTURE, "int64[8] p = {0,0,1,1,0,0,1,1}", 'y = Pad<mode = "edge">(x, p)', r"\(Pad\): edge has no form"),
        (PICTURE, "float[4] s = {1, 1, 2, 2}", 'y = Resize<mode = "cubic">(x, , s)', r"\(Resize\): mode 'cubic'"),
        (PICTURE, "float[4] s = {1, 1, 0.5, 0.6}", 'y = Resize<mode = "linear">(x, , s)', "no whole number of places"),
        ("float[n, 5] x, int64[1] s, int64[1] e", "", "y = Slice(x, s, e)", r"\(Slice\): .* not known before a run"),
    ],
)  # fmt: skip
def test_what_has_no_form_is_named(inputs, weights, nodes, sentence):
    text = f"{HEADER} g ({inputs}) => (float y) <{weights}> {{ {nodes} }}"
    made = build(text)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ModelError, match=sentence):
        lower(made)
