"""Whatever is wrong with the input: one clear sentence, exit code 2, no traceback, no partial file."""

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from converter.model import save
from edge_runtime.__main__ import main
from edge_runtime.bundle import Bundle, Manifest, pack
from edge_runtime.session import Session
from tests.models import HEADER, build, cnn, images


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a model, data, and a bundle, as a user would have them."""
    monkeypatch.chdir(tmp_path)
    save(cnn(3), "m.onnx")
    np.savez("d.npz", x=images(8), y=np.arange(8) % 4)
    session = Session("m.onnx")
    manifest = Manifest("m", "rpi4", session.inputs, session.outputs)
    pack("m.bundle", manifest, {"infer.onnx": Path("m.onnx").read_bytes()})
    return tmp_path


def refused(argv, capsys, *words):
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("littoral: ")
    assert not any("Traceback" in line for line in said)
    assert sum(line.startswith("littoral: ") for line in said) == 1
    for word in words:
        assert word in said[-1], said[-1]
    assert sorted(Path().rglob("*")) == before, "something was left behind"


COMPRESS = ["compress", "m.onnx", "--data", "d.npz", "-o", "out.bundle", "--no-emulate"]


def with_data(name):
    return [*COMPRESS[:3], name, *COMPRESS[4:]]


@pytest.mark.parametrize("command", ["run", "bench", "compress"])
def test_missing_file(desk, capsys, command):
    argv = {"run": ["run", "no.bundle", "--input", "d.npz"], "bench": ["bench", "no.onnx"]}
    refused(argv.get(command, ["compress", "no.onnx", "--data", "d.npz"]), capsys, "no such file")


def test_missing_data(desk, capsys):
    refused(with_data("no.npz"), capsys, "no.npz", "no such file")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a" * 40])
def test_not_a_model(desk, capsys, content):
    Path("bad.onnx").write_bytes(content)
    refused(["compress", "bad.onnx", "--data", "d.npz"], capsys, "bad.onnx", "not a valid ONNX model")
    refused(["convert", "bad.onnx", "-o", "new.onnx"], capsys, "not a valid ONNX model")
    refused(["bench", "bad.onnx"], capsys, "bad.onnx")


def test_not_a_program(desk, capsys):
    Path("bad.pt2").write_bytes(b"nothing")
    refused(["convert", "bad.pt2", "-o", "new.onnx"], capsys, "bad.pt2", "not an exported PyTorch program")
    refused(["convert", "nowhere:model", "-o", "new.onnx"], capsys, "module:callable")
    Path("weights.pth").write_bytes(b"nothing")
    refused(["convert", "weights.pth", "-o", "new.onnx"], capsys, "weights without a network")


def test_wrong_shape(desk, capsys):
    np.savez("wide.npz", x=np.zeros((4, 3, 9, 9), np.float32))
    refused(with_data("wide.npz"), capsys, "float32[n, 3, 8, 8]", "float32[4, 3, 9, 9]")
    refused(["run", "m.bundle", "--input", "wide.npz"], capsys, "float32[4, 3, 9, 9]")


def test_wrong_dtype(desk, capsys):
    np.savez("bytes.npz", x=np.zeros((4, 3, 8, 8), np.uint8))
    refused(with_data("bytes.npz"), capsys, "expected float32", "got uint8")


def test_wrong_labels(desk, capsys):
    np.savez("l.npz", x=images(4), y=np.zeros(3, np.int64))
    refused(with_data("l.npz"), capsys, "y is int64[3] for 4 samples")
    np.savez("l.npz", x=images(4), y=np.zeros(4))
    refused(with_data("l.npz"), capsys, "expected integer class indices")


def test_unknown_target(desk, capsys):
    refused([*COMPRESS, "--target", "rpi44"], capsys, "no target 'rpi44'", "rpi4")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_truncated_bundle(desk, capsys, keep):
    whole = Path("m.bundle").read_bytes()
    Path("cut.bundle").write_bytes(whole[: int(len(whole) * keep)])
    refused(["run", "cut.bundle", "--input", "d.npz"], capsys, "cut.bundle", "cut short")


def test_manifest_hash_mismatch(desk, capsys):
    with zipfile.ZipFile("m.bundle") as old, zipfile.ZipFile("evil.bundle", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:-1] + b"\0" if name == "infer.onnx" else content)
    refused(["run", "evil.bundle", "--input", "d.npz"], capsys, "infer.onnx", "SHA-256", "altered")


def test_manifest_of_another_schema(desk, capsys):
    with zipfile.ZipFile("new.bundle", "w") as archive:
        archive.writestr("manifest.json", json.dumps({"schema": 99}))
    refused(["bench", "new.bundle"], capsys, "schema 99")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(desk, capsys, bad):
    x = images(4)
    x[2, 0, 0, 0] = bad
    np.savez("nan.npz", x=x)
    refused(with_data("nan.npz"), capsys, "sample 2", "NaN")
    refused(["run", "m.bundle", "--input", "nan.npz"], capsys, "sample 2", "NaN")


def test_empty_data(desk, capsys):
    np.savez("none.npz", x=images(0))
    refused(with_data("none.npz"), capsys, "no samples")
    np.savez("other.npz", z=images(4))
    refused(with_data("other.npz"), capsys, "no array 'x'", "images: float32[n, 3, 8, 8]")
    Path("folder").mkdir()
    refused([*with_data("folder"), "--preprocess", "resize=8,crop=8"], capsys, "no pictures")
    refused(with_data("folder"), capsys, "--preprocess")


def test_pickles_are_not_read(desk, capsys):
    np.savez("p.npz", x=np.array([{"a": 1}], dtype=object))
    refused(with_data("p.npz"), capsys, "plain arrays")


def test_too_little_agreement_leaves_nothing(desk, capsys):
    Path("rough.toml").write_text(
        '[[step]]\nname = "quantize"\nweight_bits = 2\nper_channel = false\nbias_correction = false\n'
        'rounding = "nearest"\n'
    )
    refused(
        [*COMPRESS, "--recipe", "rough.toml", "--min-agreement", "0.5"], capsys, "agrees with the original"
    )


def test_bad_recipe(desk, capsys):
    Path("r.toml").write_text('[[step]]\nname = "quantise"\n')
    refused([*COMPRESS, "--recipe", "r.toml"], capsys, "did you mean 'quantize'")
    Path("r.toml").write_text('[[step]]\nname = "quantize"\nper_chanel = true\n')
    refused([*COMPRESS, "--recipe", "r.toml"], capsys, "did you mean 'per_channel'")
    Path("r.toml").write_text('[[step]]\nname = "quantize"\nper_channel = 3\n')
    refused([*COMPRESS, "--recipe", "r.toml"], capsys, "expected bool")


# ------------------------------------------------------------------------------------------ models of every kind


def with_model(name):
    return ["compress", name, *COMPRESS[2:]]


def test_a_model_without_shapes_takes_them_from_the_data(desk, capsys):
    model = cnn(3)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    save(model, "free.onnx")
    assert main([*with_model("free.onnx"), "--json"]) == 0
    assert Bundle.open("out.bundle").manifest.inputs[0].dtype == "float32"
    refused(["convert", "free.onnx", "-o", "new.onnx"], capsys, "'images' declares no shape")


def test_free_lengths_that_nothing_tells(desk, capsys):
    model = cnn(3)
    for axis, name in enumerate("nchw"):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    save(model, "free.onnx")
    refused(
        ["convert", "free.onnx", "-o", "new.onnx"],
        capsys,
        "images: float32[n, c, h, w]",
        "give data to check it on",
    )
    assert main([*with_model("free.onnx"), "--json"]) == 0


def test_weights_beside_the_model(desk, capsys):
    onnx.save(cnn(3), "beside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert main([*with_model("beside.onnx"), "--json"]) == 0
    Path("out.bundle").unlink()
    Path("weights.bin").unlink()
    refused(with_model("beside.onnx"), capsys, "beside.onnx", "weights.bin")


def test_weights_outside_the_folder(desk, capsys):
    onnx.save(cnn(3), "beside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load("beside.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../../../../etc/passwd" if entry.key == "location" else entry.value
    Path("beside.onnx").write_bytes(model.SerializeToString())
    refused(with_model("beside.onnx"), capsys, "beside.onnx", "not a valid ONNX model")


def test_more_than_two_gigabytes(desk, capsys):
    size = 4 * 4 * 200_000_000
    weight = onnx.TensorProto(
        name="w", data_type=1, dims=[4, 200_000_000], data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in (("location", "huge.bin"), ("offset", "0"), ("length", str(size))):
        weight.external_data.add(key=key, value=value)
    with Path("huge.bin").open("wb") as stream:
        stream.truncate(size)  # a hole: it takes no room
    model = build(HEADER + " m (float[n, 4] x) => (float[n, 200000000] y) { y = MatMul(x, w) }")
    model.graph.initializer.append(weight)
    Path("huge.onnx").write_bytes(model.SerializeToString())
    refused(with_model("huge.onnx"), capsys, "3.2 GB", "less than 2.1 GB")


def test_custom_operators(desk, capsys):
    text = (
        HEADER.replace("]", ', "com.acme" : 1]')
        + " m (float[n, 4] x) => (float[n, 4] y) { y = com.acme.Magic(x) }"
    )
    Path("custom.onnx").write_bytes(build(text).SerializeToString())
    refused(with_model("custom.onnx"), capsys, "Magic is a custom operator of 'com.acme'")


def test_inputs_that_are_no_tensors(desk, capsys):
    text = " m (seq(float[n, 4]) s) => (float[n, 4] y) <int64 z = {0}> { y = SequenceAt(s, z) }"
    save(build(HEADER + text), "seq.onnx")
    refused(with_model("seq.onnx"), capsys, "input 's' is no tensor")


FLOW = " m (float[n, 4] x, bool flag) => (float[n, 4] y) <float[4, 4] w> { y = If(flag) <"
FLOW += "then_branch = t () => (float[n, 4] g) { g = MatMul(x, w) }, "
FLOW += "else_branch = e () => (float[n, 4] h) { h = Neg(x) }> }"


def test_control_flow(desk, capsys):
    """An If is kept and the reason said; with its condition fixed, its branch is compressed."""
    model = onnx.parser.parse_model(HEADER + FLOW)
    del model.graph.value_info[:]
    model.graph.initializer.append(
        numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 4)).astype("f"), "w")
    )
    save(model, "flow.onnx")
    x = np.random.default_rng(1).standard_normal((20, 1, 4)).astype(np.float32)
    np.savez("flow.npz", x=x, flag=np.ones(20, bool))
    np.savez("plain.npz", x=x[:, 0])
    argv = ["compress", "flow.onnx", "--no-emulate", "-o", "out.bundle", "--data"]
    assert main([*argv, "flow.npz", "--json"]) == 0
    assert "1 layers are inside If" in capsys.readouterr().err
    refused([*argv, "plain.npz"], capsys, "x: float32[n, 4], flag: bool[]", "an array for each")
    refused([*argv, "plain.npz", "--fix", "flga=1"], capsys, "no input 'flga'", "x, flag")
    refused([*argv, "plain.npz", "--fix", "flag"], capsys, "expected INPUT=VALUE")
    refused([*argv, "plain.npz", "--fix", "flag=yes"], capsys, "'yes'", "bool")
    assert main([*argv, "plain.npz", "--fix", "flag=1", "--json"]) == 0
    assert [step["name"] for step in Bundle.open("out.bundle").manifest.recipe] == ["optimize", "quantize"]


# ------------------------------------------------------------------------------------------ data of every kind


def test_data_that_does_not_vary(desk, capsys):
    np.savez("same.npz", x=np.repeat(images(1), 8, axis=0))
    refused(with_data("same.npz"), capsys, "all 8 samples are the same")
    np.savez("zero.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    refused(with_data("zero.npz"), capsys, "every value is the same")


def test_one_sample_is_taken_and_said_to_say_little(desk, capsys):
    np.savez("one.npz", x=images(1))
    assert main([*with_data("one.npz"), "--json"]) == 0
    assert "one sample says little" in capsys.readouterr().err


def test_arrays_for_other_inputs(desk, capsys):
    np.savez("uneven.npz", ids=np.zeros((4, 2)), mask=np.zeros((3, 2)))
    refused(with_data("uneven.npz"), capsys, "ids: float64[4, 2]", "mask: float64[3, 2]")
    np.savez("two.npz", ids=np.zeros((4, 2)), mask=np.zeros((4, 2)))
    refused(with_data("two.npz"), capsys, "it holds ids, mask", "images: float32[n, 3, 8, 8]")


def test_unknown_measure(desk, capsys):
    refused([*COMPRESS, "--measure", "vibes"], capsys, "invalid choice: 'vibes'", "values")
