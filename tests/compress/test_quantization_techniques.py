"""Equalisation, splitting, learned rounding, mixed precision, dynamic, half precision and weight-only storage."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.fidelity import compare
from compress.quantization.dynamic import Dynamic, quantize_dynamic
from compress.quantization.equalize import Equalize, equalize, streams
from compress.quantization.half import Half, halve
from compress.quantization.quantize import Quantize, quantize
from compress.quantization.rounding import Rounding, descend, learn_rounding
from compress.quantization.sensitivity import MixedPrecision, mix_precision, sensitivity
from compress.quantization.split import SplitOutliers, split_outliers
from compress.quantization.weight_only import WeightOnly, blocks, quantize_weights
from compress.quantization.weights import integers, rows, symmetric, worst_pair
from converter import optimize
from converter.model import constants, set_constant, to_bytes
from edge_runtime import ModelError, Session
from edge_runtime.engines.onnx import HEADROOM
from tests.models import HEADER, build, cnn, images

X = images(64)

CHAIN = (
    HEADER
    + " m (float[n, 3, 8, 8] x) => (float[n, 5] y) <float[8, 3, 3, 3] w1, float[8] b1, float[8, 1, 3, 3] w2,"
    " float[8] b2, float[8, 8, 1, 1] w3, float[8] b3, float[8, 8, 1, 1] w4, float[8] b4, float[5, 8] w5, float[5] b5,"
    " float lo = {0}, float hi = {6}>"
    "{ c1 = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)  r1 = ACTIVATION1"
    "  c2 = Conv<pads = [1, 1, 1, 1], group = 8>(r1, w2, b2)  r2 = ACTIVATION2  c3 = Conv(r2, w3, b3)"
    "  r3 = Relu(c3)  c4 = Conv(r3, w4, b4)  s = Add(c3, c4)  r = Relu(s)  p = GlobalAveragePool(r)"
    "  f = Flatten(p)  y = Gemm<transB = 1>(f, w5, b5) }"
)
RELU = CHAIN.replace("ACTIVATION1", "Relu(c1)").replace("ACTIVATION2", "Relu(c2)")
RELU6 = CHAIN.replace("ACTIVATION1", "Clip(c1, lo, hi)").replace("ACTIVATION2", "Clip(c2, lo, hi)")


def chain(text, spread=2.0, seed=0):
    """The network with channels of very different size in every layer."""
    model = build(text, seed)
    rng = np.random.default_rng(seed)
    known = constants(model.graph)
    for k in "1234":
        factors = np.exp(rng.uniform(-spread, 0, 8))
        put(model, f"w{k}", known[f"w{k}"] * factors.reshape(-1, 1, 1, 1))
        put(model, f"b{k}", known[f"b{k}"] * factors)
    return model


def put(model, name, value):
    set_constant(model.graph, name, np.asarray(value, np.float32))


def run(model, x=X):
    session = Session(to_bytes(model))
    return session.run({session.inputs[0].name: x})[session.outputs[0].name]


def relative(model, other, x=X):
    reference = run(model, x)
    return np.abs(run(other, x) - reference).max() / np.abs(reference).max()


@pytest.mark.parametrize("text", [RELU, RELU6])
@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_equalisation_leaves_the_outputs(text, strength):
    model = chain(text)
    result = equalize(model, X, Equalize(strength, samples=64))
    assert relative(model, result) < 1e-5
    assert any(
        not np.array_equal(value, constants(result.graph)[name])
        for name, value in constants(model.graph).items()
    )


def test_equalisation_through_relu_holds_for_every_input():
    model = chain(RELU)
    assert relative(model, equalize(model, X, Equalize(1.0)), 100 * images(16, seed=5)) < 1e-5


def test_streams_run_through_residuals_depthwise_layers_and_pooling():
    found = {tuple(each.names): (len(each.writers), len(each.readers)) for each in streams(chain(RELU).graph)}
    assert found[("c1", "r1")] == (1, 1)
    assert found[("c2", "r2")] == (1, 1)
    assert found[("c3", "r3", "c4", "s", "r", "p", "f")] == (2, 2)


def test_equalisation_helps_activations_of_one_scale():
    model = chain(RELU, spread=4.0)
    options = Quantize(calibrator="minmax")
    reference = run(model)
    plain = compare(reference, run(quantize(model, X, options))).sqnr_db
    better = compare(reference, run(quantize(equalize(model, X), X, options))).sqnr_db
    assert better > plain + 1


@pytest.mark.parametrize("text", [RELU, RELU6])
def test_splitting_leaves_the_outputs_and_halves_the_outlier(text):
    model = chain(text)
    value = constants(model.graph)["w3"].copy()
    value[2, 5] = 30.0
    put(model, "w3", value)
    result = split_outliers(model, SplitOutliers(0.1))
    assert relative(model, result) < 1e-5
    known = constants(result.graph)
    assert known["w3"].shape == (8, 9, 1, 1)
    assert known["w2"].shape == (9, 1, 3, 3)
    assert known["w1"].shape == (9, 3, 3, 3)
    assert np.abs(known["w3"]).max() == pytest.approx(15, rel=0.02)


def test_split_weights_of_one_scale_are_closer():
    """What the two halves make together, after rounding, is closer to the weight than one rounding with the outlier."""
    model = chain(RELU6, spread=0.0)
    value = constants(model.graph)["w3"].copy()
    value[2, 5] = 8.0
    put(model, "w3", value)
    halves = constants(split_outliers(model, SplitOutliers(0.1, bits=5)).graph)["w3"]
    plain, split = (
        scale * values for scale, values in (symmetric(value, None, 5), symmetric(halves, None, 5))
    )
    split[:, 5] += split[:, 8]
    assert np.square(split[:, :8] - value).sum() < 0.6 * np.square(plain - value).sum()


@given(st.integers(0, 1000), st.integers(2, 8), st.booleans())
def test_learned_rounding_never_raises_the_error_of_a_row(seed, bits, paired):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((5, 12))
    x = rng.standard_normal((12, 12)) @ rng.standard_normal((12, 40))
    covariance = x @ x.T / 40
    limit = 2 ** (bits - 1) - 1
    scale = np.abs(weight).max(axis=1) / limit
    if paired:
        scale = np.maximum(scale, worst_pair(weight) / 120)
    start = np.clip(np.rint(weight / scale[:, None]), -limit, limit)
    found = descend(weight, start, scale, covariance, limit, 4, paired=paired)

    def error(q):
        d = q * scale[:, None] - weight
        return np.einsum("rk,kl,rl->r", d, covariance, d)

    assert (error(found) <= error(start) * (1 + 1e-9)).all()
    assert error(found).sum() < error(start).sum() or bits > 6
    assert np.abs(found).max() <= limit
    assert np.array_equal(found, np.rint(found))
    if paired:
        assert worst_pair(found).max() <= 128


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_learned_rounding_keeps_a_layers_output(groups):
    shape = f"float[8, {8 // groups}, 3, 3]"
    model = build(
        HEADER + f" m (float[n, 8, 9, 9] x) => (float[n, 8, 5, 5] y) <{shape} w, float[8] b>"
        f"{{ y = Conv<group = {groups}, strides = [2, 2], pads = [1, 1, 1, 1]>(x, w, b) }}"
    )
    x = np.random.default_rng(0).standard_normal((64, 8, 9, 9)).astype(np.float32)
    x = x.cumsum(axis=2) + x.cumsum(axis=3)  # neighbours that are alike, as in pictures
    reference = run(model, x)
    nearest, learned = (
        compare(reference, run(learn_rounding(model, x, Rounding(4, passes)), x)).sqnr_db for passes in (0, 4)
    )
    assert learned > nearest + 0.4


@given(st.integers(0, 1000), st.sampled_from(["Conv", "Gemm", "MatMul"]), st.booleans(), st.integers(6, 8))
def test_headroom_holds_for_every_pair_in_the_kernels_order(seed, kind, per_channel, bits):
    shape = (6, 3, 3, 3) if kind == "Conv" else (27, 6)
    weight = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    node = onnx.helper.make_node(kind, ["x", "w"], ["y"])
    found = integers(node, weight, bits, per_channel=per_channel, headroom=True)
    assert worst_pair(rows(node, found.values)).max() <= 128
    # What is quantised still comes back within half a step.
    step = (
        found.scale
        if not per_channel
        else np.expand_dims(found.scale, [k for k in range(weight.ndim) if k != found.axis])
    )
    assert (np.abs(found.restored - weight) <= 0.5001 * step).all()
    free = integers(node, weight, bits, per_channel=per_channel)
    assert (found.scale >= free.scale).all()


def saturating_product(a, w):
    """What VPMADDUBSW and VPMADDWD make of a row: pairs in saturating int16, their sums exact."""
    pairs = a[..., ::2].astype(np.int64) * w[..., ::2] + a[..., 1::2].astype(np.int64) * w[..., 1::2]
    return np.clip(pairs, -32768, 32767).sum(axis=-1)


@given(st.integers(0, 1000))
def test_saturating_arithmetic_is_exact_with_headroom_and_is_not_without(seed):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((16, 32)).astype(np.float32)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    a = np.where(rng.random((8, 1, 32)) < 0.7, 255, rng.integers(0, 256, (8, 1, 32))).astype(np.uint8)
    for headroom in (True, False):
        w = rows(node, integers(node, weight.T, headroom=headroom).values).astype(np.int64)
        exact = (a.astype(np.int64) * w).sum(axis=-1)
        assert np.array_equal(saturating_product(a, w), exact) == headroom


def test_a_model_with_headroom_says_so():
    model = optimize(cnn())
    assert any(p.key == HEADROOM for p in quantize(model, X, Quantize(headroom="always")).metadata_props)
    assert not any(p.key == HEADROOM for p in quantize(model, X).metadata_props)


def test_sensitivity_finds_the_layer_that_is_hard_to_quantise():
    model = chain(RELU6, spread=0.0)
    value = constants(model.graph)["w3"].copy()
    value[:, 0] = (
        20.0 * constants(model.graph)["w2"][0].std()
    )  # dwarfs the others, which then round to nothing
    put(model, "w3", value)
    coarse = Quantize(weight_bits=4, bias_correction=False)
    found = sensitivity(model, X, coarse)
    assert {each.layer for each in found} == {"c1", "c2", "c3", "c4", "y"}
    ratios = [each.sqnr_db for each in found]
    assert ratios == sorted(ratios)
    assert found[0].layer == "c3"


@pytest.mark.parametrize("finer", ["float", "16"])
def test_mixed_precision_meets_what_was_asked(finer):
    model = chain(RELU6, spread=3.0)
    reference = run(model)
    how = Quantize(calibrator="minmax", activation="uint8")
    plain = compare(reference, run(quantize(model, X, how))).sqnr_db
    asked = plain + 1.5
    result = mix_precision(model, X, MixedPrecision(asked, finer, most=0.9), how)
    assert compare(reference, run(result)).sqnr_db >= asked - 0.05
    with pytest.raises(ModelError, match="cannot be reached; with"):
        mix_precision(model, X, MixedPrecision(200.0, finer), how)


def test_mixed_precision_keeps_everything_in_integers_where_that_is_enough():
    model = chain(RELU6)
    how = Quantize(activation="uint8")
    result = mix_precision(model, X, MixedPrecision(1.0), how)
    assert to_bytes(result) == to_bytes(quantize(model, X, how))


def test_symmetric_activations_have_their_zero_in_the_middle():
    model = optimize(cnn())
    for activation, zero in (("int8", 0), ("uint8", 128)):
        result = quantize(model, X, Quantize(symmetric=True, activation=activation))
        points = [
            v
            for k, v in constants(result.graph).items()
            if k.endswith("zero_point") and v.dtype == activation
        ]
        assert {int(v) for v in points if v.ndim == 0} == {zero}
        assert relative(model, result) < 0.08


def test_sixteen_bit_activations_are_finer():
    model = optimize(cnn())
    eight, sixteen = (
        relative(model, quantize(model, X, Quantize(activation=kind, calibrator="minmax")))
        for kind in ("uint8", "uint16")
    )
    assert sixteen < eight


@pytest.mark.parametrize("options", [Dynamic(), Dynamic(per_channel=False), Dynamic(convolutions=True)])
def test_dynamic_quantisation_stays_close_without_data(options):
    model = chain(RELU6)
    result = quantize_dynamic(model, options)
    assert relative(model, result) < 0.05
    ops = {node.op_type for node in result.graph.node}
    assert "MatMulInteger" in ops
    assert ("ConvInteger" in ops) == options.convolutions


def test_the_engine_fuses_dynamic_products(tmp_path):
    from edge_runtime.engines.onnx import open_session

    model = build(
        HEADER
        + " m (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w, float[32] b> { h = MatMul(x, w)  y = Add(h, b) }"
    )
    path = tmp_path / "optimized.onnx"
    open_session(
        to_bytes(quantize_dynamic(model)), where="test", options={"optimized_model_filepath": str(path)}
    )
    assert "DynamicQuantizeMatMul" in {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("kind", "compute", "limit"),
    [("float16", False, 2e-3), ("bfloat16", False, 2e-2), ("float16", True, 1e-2)],
)
def test_half_precision_halves_the_weights_and_keeps_the_ends(kind, compute, limit):
    model = chain(RELU6)
    result = halve(model, Half(kind, compute))
    assert relative(model, result) < limit
    assert [value.type.tensor_type.elem_type for value in (*result.graph.input, *result.graph.output)] == [
        1,
        1,
    ]
    sizes = {t.name.removesuffix(".half"): len(t.raw_data) for t in result.graph.initializer}
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) >= 16:
            assert sizes[tensor.name] * 2 == onnx.numpy_helper.to_array(tensor).nbytes


def test_half_precision_keeps_what_does_not_fit():
    model = build(HEADER + " m (float[n, 4] x) => (float[n, 8] y) <float[4, 8] w> { y = MatMul(x, w) }")
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.full((4, 8), 1e6, np.float32), "w"))
    assert constants(halve(model).graph)["w"].dtype == np.float32
    with pytest.raises(ModelError, match="beyond float16"):
        halve(model, Half(compute=True))


@given(st.integers(1, 40), st.sampled_from([4, 8]), st.integers(0, 16), st.integers(0, 99))
def test_blocks_come_back_within_half_a_step(k, bits, size, seed):
    values = np.random.default_rng(seed).standard_normal((3, k)).astype(np.float32)
    scale, found = blocks(values, bits, size)
    assert found.shape[2] <= (size or k)
    assert (
        np.abs(found * scale[:, :, None] - values.reshape(found.shape)) <= 0.5001 * scale[:, :, None]
    ).all()


@pytest.mark.parametrize("form", ["cast", "dequantize"])
@pytest.mark.parametrize(("bits", "limit"), [(8, 0.02), (4, 0.4)])
def test_weight_only_stays_close(form, bits, limit):
    model = chain(RELU6)
    assert relative(model, quantize_weights(model, WeightOnly(bits, 0, form))) < limit


def test_four_bits_take_half_of_eight():
    model = chain(RELU6)
    stored = [
        {t.name: len(t.raw_data) for t in quantize_weights(model, WeightOnly(bits)).graph.initializer}
        for bits in (8, 4)
    ]
    names = [name for name in stored[0] if name.endswith(".integers")]
    assert len(names) == 5
    assert all(stored[1][name] == (stored[0][name] + 1) // 2 for name in names)


def test_smaller_blocks_are_closer():
    model = chain(RELU6)
    errors = [
        compare(run(model), run(quantize_weights(model, WeightOnly(4, block)))).sqnr_db for block in (0, 3)
    ]
    assert errors[1] > errors[0]


def test_four_bit_products_become_the_engines_own(tmp_path):
    from edge_runtime.engines.onnx import open_session

    model = build(HEADER + " m (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w> { y = MatMul(x, w) }")
    result = quantize_weights(model, WeightOnly(4, 32, "dequantize"))
    path = tmp_path / "optimized.onnx"
    open_session(to_bytes(result), where="test", options={"optimized_model_filepath": str(path)})
    assert [node.op_type for node in onnx.load(path).graph.node] == ["MatMulNBits"]
    x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    assert compare(run(model, x), run(result, x)).sqnr_db > 15


@pytest.mark.parametrize(
    "mistake",
    [
        lambda m: quantize(m, X, Quantize(calibrator="best")),
        lambda m: quantize(m, X, Quantize(weight_bits=1)),
        lambda m: quantize(m, X, replace(Quantize(), headroom="some")),
        lambda m: equalize(m, X, Equalize(2.0)),
        lambda m: split_outliers(m, SplitOutliers(-1.0)),
        lambda m: halve(m, Half("float8")),
        lambda m: quantize_weights(m, WeightOnly(3)),
        lambda m: mix_precision(m, X, MixedPrecision(20.0, "double")),
        lambda m: quantize(m, np.full_like(X, np.nan)),
    ],
)
def test_mistakes_are_said(mistake):
    with pytest.raises(ModelError):
        mistake(chain(RELU))


@pytest.mark.slow
def test_mobilenetv2_agrees_with_its_float_model():
    from converter.convert import convert
    from tests.assets import locate

    for asset in ("mobilenetv2", "labelled-photographs", "photographs-skimage", "photographs-sklearn"):
        locate(asset)
    from examples import mobilenetv2 as example

    model = optimize(convert("examples.mobilenetv2:model"))
    crops = example.crops(100, seed=1).x
    reference = Session(to_bytes(model)).run_batches(crops, 4)[0]
    options = Quantize(samples=96, headroom="always")
    result = quantize(model, example.calibration(96).x, options)
    found = compare(reference, Session(to_bytes(result)).run_batches(crops, 4)[0])
    assert found.agreement >= 0.93
    assert found.sqnr_db > 20


def test_new_weights_take_the_promise_of_headroom_back():
    from edge_runtime.training.integers import withdraw_headroom

    graph = bytearray(quantize(optimize(cnn()), X, Quantize(headroom="always")).SerializeToString())
    assert HEADROOM.encode() in graph
    withdraw_headroom(graph)
    assert HEADROOM.encode() not in graph
    assert Session(bytes(graph)).run_batches(X[:2])[0].shape == (2, 4)
