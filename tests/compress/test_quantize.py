"""int8 quantisation: the error is bounded, the form is the one that engines recognise."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compress.quantization.calibrate import Range, affine, calibrate
from compress.quantization.quantize import Quantize, quantize, symmetric
from converter import optimize
from converter.model import to_bytes
from edge_runtime import ModelError, Session
from tests.models import HEADER, build, cnn, images

X = images(64)
floats = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def run(model, x=X):
    session = Session(to_bytes(model))
    return session.run({session.inputs[0].name: x})[session.outputs[0].name]


@given(
    hnp.arrays(np.float32, (4, 5), elements=st.floats(-100, 100, width=32)),
    st.sampled_from([None, 0, 1]),
    st.integers(2, 8),
)
def test_a_weight_comes_back_within_half_a_step(weight, axis, bits):
    scale, integers = symmetric(weight, axis, bits)
    assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
    step = scale if axis is None else np.expand_dims(scale, 1 - axis)
    assert (np.abs(weight - integers * step) <= step * 0.5001 + 1e-30).all()


@given(floats, floats, st.sampled_from(["uint8", "int8"]))
def test_an_activation_comes_back_within_half_a_step_and_zero_exactly(a, b, dtype):
    params = affine(Range(min(a, b), max(a, b)), dtype)
    limits = np.iinfo(dtype)
    for value in (a, b, (a + b) / 2, 0.0):
        q = np.clip(np.rint(value / params.scale) + params.zero_point, limits.min, limits.max)
        # The zero point is rounded too, so an end of the range may lie half a step outside.
        assert abs((q - params.zero_point) * params.scale - value) <= 1.01 * params.scale
    assert limits.min <= params.zero_point <= limits.max


@pytest.mark.parametrize("activation", ["uint8", "int8"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_outputs_stay_close(activation, per_channel, seed):
    model = optimize(cnn(seed))
    result = quantize(model, X, Quantize(per_channel=per_channel), activation)
    reference = run(model)
    assert np.abs(run(result) - reference).max() < 0.04 * np.abs(reference).max()


def test_activations_are_fused():
    ops = [node.op_type for node in quantize(optimize(cnn()), X).graph.node]
    assert "Clip" not in ops
    assert "Relu" not in ops


def test_weights_are_int8_per_channel_and_biases_int32():
    result = quantize(optimize(cnn()), X)
    kinds = {t.name: (t.data_type, tuple(t.dims)) for t in result.graph.initializer}
    assert kinds["w2.integers"] == (onnx.TensorProto.INT8, (6, 1, 3, 3))
    assert kinds["w2.scale"] == (onnx.TensorProto.FLOAT, (6,))
    assert (
        sorted(kind for name, (kind, _) in kinds.items() if name.endswith("bias.integers"))
        == [onnx.TensorProto.INT32] * 3
    )
    assert "w2" not in kinds


def test_the_engine_runs_it_in_integers(tmp_path):
    from edge_runtime.engines.onnx import open_session

    path = tmp_path / "optimized.onnx"
    open_session(
        to_bytes(quantize(optimize(cnn()), X)), where="test", options={"optimized_model_filepath": str(path)}
    )
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QLinearConv", "QLinearAdd", "QGemm"} <= ops
    assert not {"Conv", "FusedConv", "Gemm", "Add"} & ops


def test_signed_and_unsigned_activations_agree():
    model = optimize(cnn())
    np.testing.assert_allclose(run(quantize(model, X, activation="int8")), run(quantize(model, X)), atol=0.05)


def test_residual_shared_weight_and_several_readers():
    model = build(
        HEADER
        + " m (float[n, 4, 6, 6] x) => (float[n, 8, 6, 6] y) <float[4, 4, 1, 1] w, float[4] b, float[4] c>"
        + "{ p = Conv(x, w, b)  q = Conv(p, w, c)  r = Relu(q)  s = Add(p, r)"
        + "t = Concat<axis = 1>(s, x)  y = Sigmoid(t) }"
    )
    x = np.random.default_rng(0).standard_normal((16, 4, 6, 6)).astype(np.float32)
    assert np.abs(run(quantize(model, x), x) - run(model, x)).max() < 0.05


def test_an_output_stays_float_and_keeps_its_name():
    model = optimize(cnn())
    result = quantize(model, X)
    assert [o.name for o in result.graph.output] == ["logits"]
    assert result.graph.node[-1].op_type == "Gemm"


def test_a_clip_that_leaves_out_zero_is_kept():
    model = build(
        HEADER
        + " m (float[n, 4] x) => (float[n, 2] y) <float[4, 4] w, float lo = {1}, float hi = {2}, float[4, 2] v>"
        + "{ h = MatMul(x, w)  c = Clip(h, lo, hi)  y = MatMul(c, v) }"
    )
    x = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
    result = quantize(model, x)
    assert "Clip" in [node.op_type for node in result.graph.node]
    np.testing.assert_allclose(run(result, x), run(model, x), atol=0.25)


def test_nothing_to_quantise_is_said():
    model = build(HEADER + " m (float[n, 4] x) => (float[n, 4] y) { y = Exp(x) }")
    with pytest.raises(ModelError, match="nothing to quantise"):
        quantize(model, np.zeros((1, 4), np.float32))


def test_calibration_sees_the_extremes_whatever_the_order():
    model = cnn()
    names = ["c1", "s"]
    assert calibrate(model, names, X) == calibrate(model, names, X[::-1].copy())
    found = calibrate(model, ["images"], X)["images"]
    assert (found.low, found.high) == (X.min(), X.max())


def test_moving_average_forgets_an_outlier():
    x = X.copy()
    x[0, 0, 0, 0] = 1000
    plain = calibrate(cnn(), ["images"], x)["images"]
    smooth = calibrate(cnn(), ["images"], x, momentum=0.5)["images"]
    assert plain.high == 1000
    assert smooth.high < 10


def test_bias_correction_keeps_the_mean_of_every_channel():
    """Coarse weights shift the mean of the first layer's channels; its corrected bias takes that back."""
    model = build(
        HEADER + " m (float[n, 4, 6, 6] x) => (float[n, 8, 6, 6] y) <float[8, 4, 1, 1] w, float[8] b>"
        "{ y = Conv(x, w, b) }"
    )
    x = np.random.default_rng(0).standard_normal((64, 4, 6, 6)).astype(np.float32) + 1.5
    reference = run(model, x).mean(axis=(0, 2, 3))
    shifts = [
        np.abs(
            run(quantize(model, x, Quantize(weight_bits=3, bias_correction=on)), x).mean(axis=(0, 2, 3))
            - reference
        )
        for on in (False, True)
    ]
    assert shifts[1].max() < 0.02 < shifts[0].max()


@pytest.mark.parametrize("calibrator", ["gradient", "percentile", "entropy"])
def test_calibrators_leave_out_rare_values(calibrator):
    model = optimize(cnn())
    x = X.copy()
    x[0, 0, 0, 0] = 1000.0
    plain = np.abs(run(quantize(model, x, Quantize(calibrator="minmax")), X) - run(model)).max()
    better = np.abs(run(quantize(model, x, Quantize(calibrator=calibrator)), X) - run(model)).max()
    assert better < plain
