"""Quantisation-aware training: the graph that learns is the quantised model, and learns more than rounding leaves."""

import functools
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from compress.pruning.sparsify import Sparsify, sparsify
from compress.quantization.quantize import Quantize, quantize
from compress.quantization.weights import PAIR, rows, worst_pair
from compress.step import Work
from compress.training.aware import QuantizationAware, train_quantized
from compress.training.fake import fake, folded, form
from compress.training.pairs import fitted, has_headroom
from compress.training.retrain import retrain, with_weights
from converter.autodiff.canonical import canonical
from converter.differentiate import differentiate
from converter.model import constants, set_constant, to_bytes
from converter.optimize import optimize
from edge_runtime import ModelError, Samples, Session, Target
from examples import digits as examples
from tests import assets
from tests.models import HEADER, build, cnn, images

DIGITS = """
m (float[n, 1, 8, 8] x) => (float[n, 10] y)
<float[12, 1, 3, 3] w1, float[12] b1, float[24, 12, 3, 3] w2, float[24] b2, float[96, 10] w3, float[10] b3>
{
    c1 = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)  r1 = Relu(c1)
    p1 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r1)
    c2 = Conv<pads = [1, 1, 1, 1]>(p1, w2, b2)  r2 = Relu(c2)
    p2 = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r2)
    f = Flatten(p2)
    y = Gemm(f, w3, b3)
}
"""


@functools.cache
def digits() -> tuple[Samples, Samples]:
    """4,000 and 1,000 real digits, made smaller: 8×8 means of 3×3 pixels."""
    assets.locate("digits")

    def small(part: Samples) -> Samples:
        x = part.x[:, :, 2:26, 2:26].reshape(-1, 1, 8, 3, 8, 3)
        return Samples(x.mean(axis=(3, 5)), part.y)

    train, test = examples.load()
    return small(train), small(test)


def few() -> Samples:
    """With labels, so that whatever was learnt is kept."""
    return Samples(digits()[0].x[:200], digits()[0].y[:200])


@functools.cache
def network() -> onnx.ModelProto:
    return retrain(build(HEADER + DIGITS), digits()[0], epochs=6, lr=0.02)


def answers(model, x):
    session = Session(to_bytes(model), threads=1)
    return session.run({session.inputs[0].name: x})[session.outputs[0].name]


def accuracy(model):
    test = digits()[1]
    return (answers(model, test.x).argmax(axis=1) == test.y).mean()


def distance(model):
    """Mean squared difference of the scores from the float network's, on digits that nothing was trained on."""
    x = digits()[1].x
    return np.square(answers(model, x) - answers(network(), x)).mean()


def codes(model):
    return {w.integers: constants(model.graph)[w.integers] for w in form(model).weights}


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_few_bits_lose_less_when_they_are_trained(bits):
    x = digits()[0].x
    after = quantize(network(), x, Quantize(weight_bits=bits, rounding="nearest"))
    aware = train_quantized(network(), Samples(x), QuantizationAware(weight_bits=bits, epochs=4, lr=0.003))
    assert distance(aware) < 0.5 * distance(after)
    assert accuracy(aware) >= accuracy(after) + (0.1 if bits == 2 else 0.0)
    for values in codes(aware).values():
        assert np.abs(values.astype(int)).max() <= 2 ** (bits - 1) - 1


def test_eight_bits_come_nearer_to_the_float_model():
    x = digits()[0].x
    assert distance(train_quantized(network(), Samples(x))) < distance(
        quantize(network(), x, Quantize(samples=64))
    )


@pytest.mark.parametrize("model", ["digits", "cnn"])
@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_folded_answers_as_the_graph_that_learns(model, kind, per_channel):
    source, x = (network(), digits()[0].x[:200]) if model == "digits" else (optimize(cnn()), images(64))
    options = Quantize(
        per_channel=per_channel, rounding="nearest", headroom="always" if kind == "uint8" else "never"
    )
    quantized = quantize(source, x, options, kind)
    graph, learned = fake(quantized, constants(source.graph))
    rng = np.random.default_rng(0)
    moved = {k: (v + rng.normal(0, 0.02, v.shape)).astype(np.float32) for k, v in learned.items()}
    wanted, found = answers(with_weights(graph, moved), x), answers(folded(quantized, moved), x)
    scale = np.abs(wanted).max()
    assert np.abs(found - wanted).mean() < 0.002 * scale  # a value between two steps may go either way
    assert np.abs(found - wanted).max() < 0.02 * scale
    assert np.abs(answers(quantized, x) - wanted).mean() > 0.01 * scale  # what was learned is in it


def test_nothing_learned_changes_nothing():
    quantized = quantize(optimize(cnn()), images(64))
    _, learned = fake(quantized, {})
    assert all(name.endswith((".value", ".log", ".move")) for name in learned)
    same = folded(quantized, learned)
    for name, value in constants(quantized.graph).items():
        np.testing.assert_allclose(constants(same.graph)[name], value, rtol=1e-6, err_msg=name)


def test_a_scale_that_is_handed_on_stays_one():
    """An engine pools and reshapes integers only where both sides have one scale."""
    quantized = quantize(network(), digits()[0].x)
    assert len(set(form(quantized).activations.values())) < len(form(quantized).activations)
    aware = train_quantized(network(), few(), QuantizationAware(epochs=1, lr=0.01, alpha=0.5))
    known = constants(aware.graph)
    for name, root in form(aware).activations.items():
        assert known[name] == known[root]
    before = constants(quantized.graph)
    assert any(known[name] != before[name] for name in form(quantized).activations)


def test_biases_have_the_scale_of_their_accumulator():
    aware = train_quantized(network(), few(), QuantizationAware(epochs=1, lr=0.01, alpha=0.5))
    known = constants(aware.graph)
    assert len(form(aware).biases) == 3
    for bias in form(aware).biases:
        wanted = known[bias.input_scale] * known[bias.weight.scale]
        np.testing.assert_allclose(
            known[bias.scale], np.broadcast_to(wanted, known[bias.scale].shape), rtol=1e-6
        )
        assert known[bias.integers].dtype == np.int32


def test_the_gradient_of_a_scale_is_that_of_learned_step_size():
    """Esser et al., equation 3, for a weight alone: y = x Ŵ, loss Σ (y - t)²/N, in float64 by hand."""
    model = build(HEADER + " m (float[n, 2] x) => (float[n, 3] y) <float[2, 3] w> { y = MatMul(x, w) }")
    weight = np.array([[0.9, -0.31, 0.12], [-1.7, 0.26, 0.05]], np.float32)
    set_constant(model.graph, "w", weight)
    x = np.array([[1.0, 2.0], [-3.0, 0.5], [0.25, 1.0]], np.float32)
    quantized = quantize(model, x, Quantize(weight_bits=3, bias_correction=False))
    graph, learned = fake(quantized, {"w": weight})
    learned["w.integers.log"][...] = np.log([0.7, 0.8, 1.1])  # so that some are clipped
    graph = canonical(with_weights(graph, learned))
    step = differentiate(
        graph, loss="mse", optimizer="none", trainable=["w.integers.value", "w.integers.log"]
    )
    target = np.ones((3, 3), np.float32)
    feed = {"x": x, "labels": target, **{k: learned[k] for k in ("w.integers.value", "w.integers.log")}}
    found = Session(to_bytes(step)).run(feed)
    scale = form(quantized).weights[0].first * np.exp(learned["w.integers.log"])
    known = constants(quantized.graph)
    a = np.clip(np.rint(x / known["x.scale"]) + known["x.zero_point"].astype(int), 0, 255)
    a = (a - known["x.zero_point"].astype(int)) * known["x.scale"]
    ratio = weight / scale
    inside = np.abs(ratio) <= 3
    assert 0 < inside.sum() < inside.size
    q = np.clip(np.rint(ratio), -3, 3)
    upstream = a.T @ (2 * (a @ (q * scale) - target) / target.size)
    wanted = (upstream * np.where(inside, q - ratio, q)).sum(axis=0) * scale  # d/du = s·d/ds
    np.testing.assert_allclose(found["d/w.integers.log"], wanted, rtol=1e-4, atol=1e-6)
    unit = form(quantized).weights[0].first * 3
    np.testing.assert_allclose(found["d/w.integers.value"], upstream * inside * unit, rtol=1e-4, atol=1e-6)


def test_pruned_weights_stay_zero():
    sparse = sparsify(network(), Sparsify(0.8))
    x = Samples(digits()[0].x)
    aware = train_quantized(sparse, x, QuantizationAware(epochs=1, lr=0.01), teacher=network())
    for name, values in codes(aware).items():
        zeros = constants(sparse.graph)[name.removesuffix(".integers")] == 0
        assert (values[zeros] == 0).all()
    again = train_quantized(aware, x, QuantizationAware(epochs=1), teacher=network())
    assert all((values[codes(aware)[name] == 0] == 0).all() for name, values in codes(again).items())


def test_a_quantised_model_is_trained_as_it_is():
    """Also without biases that an engine fuses, with labels, and with a weight that two layers share."""
    train = digits()[0]
    quantized = quantize(network(), train.x, Quantize(weight_bits=3, rounding="nearest"))
    work = Work(train, Target.load("rpi5"), network())
    aware = QuantizationAware(epochs=2, alpha=0.5, lr=0.003)(quantized, work)
    assert [node.op_type for node in aware.graph.node] == [node.op_type for node in quantized.graph.node]
    assert distance(aware) < 0.5 * distance(quantized)
    signed = QuantizationAware(epochs=1)(network(), work)
    assert constants(signed.graph)["x.zero_point"].dtype == np.int8


def test_a_shared_weight_stays_as_it_is():
    text = HEADER + " m (float[n, 4] x) => (float[n, 4] y) <float[4, 4] w, float[4, 4] v> "
    model = build(text + "{ a = MatMul(x, w)  b = Relu(a)  c = MatMul(b, w)  y = MatMul(c, v) }")
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    aware = train_quantized(model, Samples(x), QuantizationAware(epochs=2, lr=0.01))
    assert np.isfinite(answers(aware, x)).all()
    assert (
        np.square(answers(aware, x) - answers(model, x)).mean() < 0.02 * np.square(answers(model, x)).mean()
    )


def test_training_that_does_harm_is_undone():
    x = digits()[0].x[:200]
    wild = QuantizationAware(epochs=1, lr=1.0, samples=64, calibrator="minmax")
    kept = train_quantized(network(), Samples(x), wild)
    assert to_bytes(kept) == to_bytes(train_quantized(network(), Samples(x), replace(wild, epochs=0)))


def test_headroom_that_was_promised_is_kept():
    train = digits()[0]
    work = Work(train, Target.load("x86-64"), network())
    aware = QuantizationAware(epochs=2, lr=0.003, headroom="always", samples=64)(network(), work)
    assert has_headroom(aware)
    weights = {weight.output: codes(aware)[weight.integers] for weight in form(aware).weights}
    checked = 0
    for node in aware.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            checked += 1
            assert worst_pair(rows(node, weights[node.input[1]])).max() <= PAIR
    assert checked == 3
    assert distance(aware) < distance(quantize(network(), train.x, Quantize(weight_bits=5, samples=64)))


@given(st.integers(0, 99), st.sampled_from(["Conv", "Gemm", "MatMul"]))
def test_pairs_are_fitted_and_the_others_left(seed, kind):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (6, 3, 3, 1) if kind == "Conv" else (7, 5)).astype(np.int8)
    node = helper.make_node(kind, ["x", "w"], ["y"])
    found = fitted(node, weight)
    assert found.dtype == np.int8
    assert found.shape == weight.shape
    assert worst_pair(rows(node, found)).max() <= PAIR
    assert (np.sign(found) * np.sign(weight) >= 0).all()
    assert (np.abs(found) <= np.abs(weight)).all()
    small = (weight // 2).astype(np.int8)
    np.testing.assert_array_equal(fitted(node, small), small)


def test_what_is_wrong_is_named():
    quantized = quantize(optimize(cnn()), images(64))
    with pytest.raises(ModelError, match="give the float model"):
        train_quantized(quantized, Samples(images(8)))
    with pytest.raises(ModelError, match="no integer weights"):
        form(cnn())
