"""What is quantised and what stays float: squeeze-and-excitation, splits, single numbers; and the finer fallback."""

import numpy as np
import onnx
import pytest

from compress import Work, suited
from compress.fidelity import compare
from compress.quantization.plan import plan
from compress.quantization.quantize import Quantize, quantize
from compress.training.fake import form
from converter.model import constants, set_constant, to_bytes
from edge_runtime import Samples, Session, Target
from tests.models import HEADER, build, images

MINMAX = Quantize(calibrator="minmax", rounding="nearest", bias_correction=False, activation="uint8")
SQUEEZED = (
    HEADER
    + """ m (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)
<float[4, 3, 1, 1] w1, float[4, 4, 1, 1] w2, float[4, 4, 1, 1] w3>
{ c = Conv(x, w1) g = GlobalAveragePool(c) s = Conv(g, w2) h = ACTIVATION(s) m = Mul(c, h) y = Conv(m, w3) }"""
)


def run(model, x):
    return Session(to_bytes(model)).run_batches(x)[0]


@pytest.mark.parametrize("operator", ["HardSigmoid", "HardSwish", "Tanh", "Gelu", "Mish", "Elu", "Softplus"])
def test_what_scales_a_map_in_integers_is_quantised_too(operator):
    model = build(SQUEEZED.replace("ACTIVATION", operator))
    made = plan(model.graph)
    assert "m" in made.nodes
    assert {"c", "h", "m"} <= set(made.tensors)
    assert "h" not in made.nodes
    quantized = quantize(model, images(16), MINMAX)
    assert compare(run(model, images(16)), run(quantized, images(16))).sqnr_db > 25


def test_a_chain_in_float_stays_so_up_to_the_next_layer():
    """Nothing between the activation, the numbers and the Conv is rounded: each would cost a pass over the map."""
    text = "{ c = Conv(x, w1) h = HardSwish(c) t = Mul(h, half) b = Add(t, half) g = GlobalAveragePool(b)"
    model = build(
        HEADER + " m (float[n, 3, 8, 8] x) => (float[n, 4, 1, 1] g, float[n, 4, 8, 8] y)"
        " <float[4, 3, 1, 1] w1, float[4, 4, 1, 1] w2, float half = {0.5}>" + text + " y = Conv(b, w2) }"
    )
    assert set(plan(model.graph).nodes) == {"c", "y"}
    assert set(plan(model.graph).tensors) == {"x", "c", "b"}


@pytest.mark.parametrize("activation", ["uint8", "int8"])
@pytest.mark.parametrize("value", [0.37, -1.9, 0.0])
def test_a_single_number_is_exact(value, activation, tmp_path):
    model = build(
        HEADER + " m (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)"
        " <float[4, 3, 1, 1] w1, float[4, 4, 1, 1] w2, float number = {1}>"
        "{ c = Conv(x, w1) t = Mul(c, number) b = Add(number, t) y = Conv(b, w2) }"
    )
    set_constant(model.graph, "number", np.asarray(value, np.float32))
    how = Quantize(
        calibrator="minmax",
        rounding="nearest",
        bias_correction=False,
        activation=activation,
        headroom="never",
    )
    quantized = quantize(model, images(16), how)
    known = constants(quantized.graph)
    step = known["t.constant.scale"]
    back = (known["t.constant.integers"].astype(np.float64) - known["t.constant.zero_point"]) * step
    assert back == pytest.approx(value, abs=1e-6)
    if value:
        assert compare(run(model, images(16)), run(quantized, images(16))).sqnr_db > 25
    assert form(quantized).weights  # and it can be trained further


def test_a_split_hands_integers_on():
    model = build(
        HEADER + " m (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y)"
        " <float[8, 3, 1, 1] w1, float[4, 4, 1, 1] w2, int64[2] parts = {4, 4}>"
        "{ c = Conv(x, w1) a, b = Split<axis = 1>(c, parts) d = Conv(a, w2) y = Add(d, b) }"
    )
    made = plan(model.graph)
    assert made.tensors["a"] == made.tensors["b"] == "c"
    quantized = quantize(model, images(16), MINMAX)
    scales = constants(quantized.graph)
    assert scales["a.scale"] == scales["b.scale"] == scales["c.scale"]
    assert compare(run(model, images(16)), run(quantized, images(16))).sqnr_db > 25


def test_the_engine_splits_integers(tmp_path):
    import onnxruntime

    model = build(
        HEADER + " m (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] z)"
        " <float[8, 3, 1, 1] w1, float[4, 4, 1, 1] w2, float[4, 4, 1, 1] w3, int64[2] parts = {4, 4}>"
        "{ c = Conv(x, w1) a, b = Split<axis = 1>(c, parts) d = Conv(a, w2) y = Add(d, b) z = Conv(y, w3) }"
    )
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    onnxruntime.InferenceSession(
        to_bytes(quantize(model, images(16), MINMAX)), options, providers=["CPUExecutionProvider"]
    )
    graph = onnx.load(tmp_path / "o.onnx").graph
    (split,) = [node for node in graph.node if node.op_type == "Split"]
    (before,) = [node for node in graph.node if split.input[0] in node.output]
    assert before.op_type == "QLinearConv"
    assert "QLinearAdd" in {node.op_type for node in graph.node}


def uneven():
    """A chain whose first layer has one channel a thousand times larger than the others."""
    model = build(
        HEADER + " m (float[n, 3, 8, 8] x) => (float[n, 10] y)"
        " <float[8, 3, 3, 3] w1, float[8, 8, 3, 3] w2, float[8, 8, 1, 1] v1, float[8, 8, 1, 1] v2, float[8, 10] w3>"
        "{ c = Conv(x, w1) d = Conv(c, w2) e = Conv(d, v1) r = Relu(e) s = Conv(r, v2)"
        "  g = GlobalAveragePool(s) f = Flatten(g) y = MatMul(f, w3) }"
    )
    known = constants(model.graph)
    set_constant(model.graph, "w1", known["w1"] * np.float32([3000] + [1] * 7).reshape(-1, 1, 1, 1))
    set_constant(model.graph, "w2", known["w2"] / np.float32([3000] + [1] * 7).reshape(1, -1, 1, 1))
    return model


def test_the_most_sensitive_layers_stay_in_float_where_int8_answers_otherwise(capsys):
    model, data = uneven(), Samples(images(64))
    work = Work(data, Target.load("rpi4"), model)
    plain = quantize(model, data.x, Quantize(activation="uint8"))
    before = compare(run(model, data.x), run(plain, data.x))
    assert before.agreement < 0.95
    recipe, made = suited.finer(plain, work, "auto")
    assert compare(run(model, data.x), run(made, data.x)).agreement >= 0.95
    assert form(made).weights  # and not everything is float
    assert [step["name"] for step in recipe.to_json()] == ["optimize", "mixed_precision"]
    assert "keep the most sensitive layers in float" in capsys.readouterr().err
    assert suited.finer(made, work, "auto") is None  # good enough already
