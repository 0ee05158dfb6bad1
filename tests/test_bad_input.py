"""Whatever is wrong with the input: one clear sentence, exit code 2, no traceback, no partial file."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from converter.model import save
from edge_runtime.__main__ import main
from edge_runtime.bundle import Manifest, pack
from edge_runtime.session import Session
from tests.models import cnn, images


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
    refused([*COMPRESS, "--target", "rpi44"], capsys, "unknown target 'rpi44'", "rpi4")


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
    refused(with_data("other.npz"), capsys, "no array 'x'")
    Path("folder").mkdir()
    refused([*with_data("folder"), "--preprocess", "resize=8,crop=8"], capsys, "no pictures")
    refused(with_data("folder"), capsys, "--preprocess")


def test_pickles_are_not_read(desk, capsys):
    np.savez("p.npz", x=np.array([{"a": 1}], dtype=object))
    refused(with_data("p.npz"), capsys, "plain arrays")


def test_too_little_agreement_leaves_nothing(desk, capsys):
    Path("rough.toml").write_text(
        '[[step]]\nname = "quantize"\nweight_bits = 2\nper_channel = false\nbias_correction = false\n'
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
