"""Lowering whole models: architectures, quantised ones against an exact simulation, and what the file is like."""

import argparse
import functools
import hashlib
import json

import numpy as np
import onnx
import pytest

from compress.quantization.quantize import Quantize, quantize
from converter.convert import convert
from converter.lowering import lower
from converter.lowering.cli import LOWER
from converter.lowering.flatbuffer import schema
from converter.model import save, to_bytes
from converter.optimize import optimize
from edge_runtime import Session
from edge_runtime.engines import onnx as ort
from edge_runtime.engines.litert import LiteRT
from edge_runtime.errors import InputError, ModelError
from edge_runtime.tensors import example as random_inputs
from tests.models import HEADER, LINEAR, build, cnn, images

pytest.importorskip("ai_edge_litert")
FAST = ("cnn1d", "lenet", "lstm", "unet_bilinear", "vit")
SLOW = (
    "cnn",
    "gru",
    "mlp",
    "transformer",
    "densenet",
    "mobilenetv2",
    "mobilenetv3",
    "resnet18",
    "shufflenetv2",
    "unet",
)
ALL = (*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW))


@functools.cache
def network(name: str) -> tuple[onnx.ModelProto, tuple[int, ...]]:
    torch = pytest.importorskip("torch")
    from tests import networks

    torch.manual_seed(0)
    net, shape = getattr(networks, name)()
    for layer in net.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    example = torch.randint(0, 100, (2, *shape)) if name == "bert" else torch.randn(2, *shape)
    return convert(net.eval(), example=(example,)), shape


def operators(data: bytes) -> list[str]:
    """The operators of a .tflite file, by name."""
    fb = schema()
    names = {number: name for name, number in vars(fb.BuiltinOperator).items() if isinstance(number, int)}
    model = fb.ModelT.InitFromPackedBuf(data, 0)
    return [names[model.operatorCodes[op.opcodeIndex].builtinCode] for op in model.subgraphs[0].operators]


def simulated(model: onnx.ModelProto):
    """The quantised model in floats, rounded where it says so: no kernel of integers decides."""
    session = ort.open_session(
        to_bytes(model), where="simulation", threads=1, config={"session.disable_quant_qdq": "1"}
    )
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


def sqnr(wanted: np.ndarray, got: np.ndarray) -> float:
    noise = float(((wanted - got) ** 2).sum())
    return float(10 * np.log10(max(float((wanted**2).sum()), 1e-30) / max(noise, 1e-30)))


@pytest.mark.parametrize("name", [*ALL, pytest.param("bert", marks=pytest.mark.slow)])
def test_an_architecture_gives_what_onnxruntime_gives(name):
    model, _ = network(name)
    engine, session = LiteRT(lower(model), where=name, threads=1), Session(to_bytes(model))
    varies = isinstance(engine.inputs[0].shape[0], str)
    assert varies == (name not in ("unet", "vit")), "a transposed convolution and a class token fix the batch"
    for batch in (1, 3, 1) if varies else (1,):
        inputs = random_inputs(session.inputs, seed=batch, free=batch)
        wanted, got = list(session.run(inputs).values()), list(engine.run(inputs).values())
        for a, b in zip(wanted, got, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(a).max())))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["uint8", pytest.param("int8", marks=pytest.mark.slow)])
def test_a_quantised_architecture_is_as_near_to_the_simulation_as_the_simulation_to_float(name, kind):
    model, shape = network(name)
    x = np.random.default_rng(0).standard_normal((32, *shape)).astype(np.float32)
    small = quantize(model, x, Quantize(activation=kind))
    engine, session, simulation = (
        LiteRT(lower(small), where=name, threads=1),
        Session(to_bytes(model)),
        simulated(small),
    )
    parts = [x[k : k + 1] for k in range(16)]
    real = np.concatenate([next(iter(session.run({session.inputs[0].name: p}).values())) for p in parts])
    wanted = np.concatenate([simulation(p) for p in parts])
    got = np.concatenate([next(iter(engine.run({engine.inputs[0].name: p}).values())) for p in parts])
    # One kernel in a thousand rounds the other way, which later layers carry on; it must not cost what int8 costs.
    assert sqnr(wanted, got) > sqnr(real, wanted) - 1
    assert sqnr(wanted, got) > 40


def test_integers_are_those_of_the_quantised_model():
    """In a chain without a sum, nothing may round otherwise: what comes out is exact."""
    x = images(64)
    model = build(
        HEADER
        + """ g (float[n, 3, 8, 8] x) => (float[n, 4] y)
        <float[6, 3, 3, 3] w, float[6] b, float[6, 1, 3, 3] d, float[6, 4] v> {
        a = Conv<pads = [1, 1, 1, 1]>(x, w, b)  r = Relu(a)
        c = Conv<group = 6, pads = [1, 1, 1, 1], strides = [2, 2]>(r, d)
        p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
        m = AveragePool<kernel_shape = [2, 2]>(p)
        f = Flatten(m)  y = Gemm(f, v) }"""
    )
    small = quantize(model, x, Quantize())
    engine, simulation = LiteRT(lower(small), where="chain"), simulated(small)
    got = np.concatenate([engine.run({"x": x[k : k + 1]})["y"] for k in range(32)])
    wanted = np.concatenate([simulation(x[k : k + 1]) for k in range(32)])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_quantised_model_runs_in_integers_from_end_to_end_if_samples_are_given():
    small = quantize(optimize(cnn()), images(64), Quantize())
    plain = lower(small)
    assert operators(plain).count("DEQUANTIZE") == 2, "of the last layer's input and weight, which stays real"
    whole = lower(small, samples=images(64), native=True)
    assert "DEQUANTIZE" not in operators(whole)
    assert "QUANTIZE" not in operators(whole)
    assert "TRANSPOSE" not in operators(whole)
    engine = LiteRT(whole, where="native")
    assert [str(spec) for spec in engine.inputs] == ["images: int8[d0, 8, 8, 3]"]
    assert [str(spec) for spec in engine.outputs] == ["logits: int8[d0, 4]"]
    between = LiteRT(lower(small, samples=images(64)), where="real ends")
    x, details = images(5, 9)[:1], engine._interpreter.get_input_details()[0]
    scale, zero = details["quantization"]
    integers = np.clip(np.rint(x.transpose(0, 2, 3, 1) / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    scale, zero = engine._interpreter.get_output_details()[0]["quantization"]
    got = (engine.run({"images": integers})["logits"].astype(np.float32) - zero) * np.float32(scale)
    np.testing.assert_allclose(got, between.run({"images": x})["logits"], atol=1e-6)
    wanted = Session(to_bytes(small)).run({"images": x})["logits"]
    np.testing.assert_allclose(got, wanted, atol=1.5 * scale)


def test_no_axis_moves_between_the_ends():
    """Patches become tokens without a transposition; a shuffle of channels is one, which really moves them."""
    text = (
        HEADER
        + """ g (float[n, 6, 9, 10] x) => (float[n, 8, 10] y)
        <float[6, 6, 1, 1] w, int64[5] s = {-1, 2, 3, 9, 10}, int64[4] t = {-1, 6, 9, 10},
         float[8, 6, 3, 1] p, int64[3] r = {0, 8, 30}, float[8, 8] d> {
        a = Conv(x, w)  b = Reshape(a, s)  c = Transpose<perm = [0, 2, 1, 3, 4]>(b)  e = Reshape(c, t)
        h = Conv<strides = [3, 1]>(e, p)  k = Reshape(h, r)  l = Transpose<perm = [0, 2, 1]>(k)
        m = MatMul(l, d)  q = Reshape(m, z)  y = Transpose<perm = [0, 2, 1]>(q) }"""
    )
    text = text.replace("float[8, 8] d>", "float[8, 8] d, int64[3] z = {0, 30, 8}>")
    assert operators(lower(build(text.replace("[n, 8, 10] y", "[n, 8, 30] y")))).count("TRANSPOSE") == 3
    assert operators(lower(optimize(cnn()))).count("TRANSPOSE") == 1


def test_activations_become_part_of_the_operator_before():
    made = operators(lower(optimize(cnn())))
    assert not {"RELU", "RELU6"} & set(made)


def test_the_same_model_gives_the_same_bytes_and_is_not_changed():
    model = cnn()
    before = hashlib.sha256(to_bytes(model)).digest()
    assert lower(model) == lower(model)
    assert hashlib.sha256(to_bytes(model)).digest() == before


def test_constants_lie_on_addresses_that_kernels_load_in_vectors():
    data = lower(cnn())
    fb = schema()
    model = fb.Model.GetRootAs(data, 0)
    for k in range(model.BuffersLength()):
        buffer = model.Buffers(k)
        if not buffer.DataIsNone():
            assert (buffer._tab.Vector(buffer._tab.Offset(4)) % 16) == 0


def test_a_length_may_be_fixed():
    engine = LiteRT(lower(build(LINEAR), lengths={"n": 4}), where="fixed")
    assert engine.inputs[0].shape == (4, 4)
    with pytest.raises(ModelError, match="no length of an input is named 'm'; those that vary: n"):
        lower(build(LINEAR), lengths={"m": 4})


def test_weights_alone_may_be_integers():
    """A file with int8 weights and real activations keeps its size, and loses nothing more."""
    model = build(  # the truth is NumPy's: onnxruntime quantises the activations as well
        LINEAR.replace(
            "<float[4, 3] w>", "<int8[4, 3] w = {1,-2,3,4,5,-6,7,8,9,10,-11,127}, float s = {0.5}>"
        )
        .replace("MatMul(x, w)", "MatMul(x, d)")
        .replace("{ y", "{ d = DequantizeLinear(w, s) y")
    )
    engine = LiteRT(lower(model), where="weights")
    x = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
    weight = np.array([1, -2, 3, 4, 5, -6, 7, 8, 9, 10, -11, 127], np.float32).reshape(4, 3) / 2
    np.testing.assert_allclose(engine.run({"x": x})["y"], x @ weight, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("uint8", "uint16"), "activations of uint16; int8 and uint8 are accepted"),
        (("float s = {0.5}", "float[4] s = {1, 1, 1, 1}"), "an activation needs one scale"),
    ],
)
def test_a_quantisation_without_a_form_is_named(change, sentence):
    text = LINEAR.replace("<float[4, 3] w>", "<float[4, 3] w, float s = {0.5}, uint8 z = {3}>").replace(
        "{ y = MatMul(x, w) }",
        "{ q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = MatMul(d, w) }",
    )
    text = text.replace(*change)
    if "float[4] s" in text:
        text = text.replace("uint8 z = {3}", "uint8[4] z = {3, 3, 3, 3}").replace(
            "Linear(", "Linear<axis = 1>("
        )
    with pytest.raises(ModelError, match=sentence):
        lower(build(text))


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match="'ncnn' is not a form to lower to; accepted: tflite"):
        lower(cnn(), "ncnn")


def test_samples_are_for_quantised_models():
    with pytest.raises(ModelError, match="samples are for a quantised model"):
        lower(cnn(), samples=images(2))


def run_command(*argv: str) -> None:
    parser = argparse.ArgumentParser()
    LOWER.arguments(parser)
    LOWER.run(parser.parse_args(argv))


def test_the_command_writes_the_file_and_says_what_it_is(tmp_path, capsys):
    save(cnn(), tmp_path / "m.onnx")
    out = tmp_path / "m.tflite"
    run_command(str(tmp_path / "m.onnx"), "-o", str(out), "--length", "n=2", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "path": str(out),
        "bytes": out.stat().st_size,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }
    assert LiteRT(out, where="m").inputs[0].shape == (2, 3, 8, 8)
    with pytest.raises(InputError, match="--length 'n=0': expected a name and a number"):
        run_command(str(tmp_path / "m.onnx"), "-o", str(tmp_path / "n"), "--length", "n=0")
    assert not (tmp_path / "n").exists()
