"""`littoral pack`: a model as a bundle, and a bundle that declares something else."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime import Bundle
from edge_runtime.__main__ import main
from edge_runtime.declared import Audio, Classify, Preprocess
from tests.edge_runtime.test_pipeline import CLASSES, STATEFUL
from tests.models import HEADER, build

ENDS = ["--preprocess", "resize=8,crop=8", "--postprocess", "kind=classify,top=1", "--labels", "l.txt"]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(build(HEADER + CLASSES).SerializeToString())
    Path("l.txt").write_text("red\ngreen\nblue\n")
    Image.new("RGB", (9, 9), (0, 255, 0)).save("g.png")
    return tmp_path


def test_a_model_becomes_a_bundle_that_answers(desk, capsys):
    assert main(["pack", "m.onnx", "-o", "m.bundle", *ENDS, "--target", "rpi5", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    manifest = Bundle.open("m.bundle").manifest
    assert said["manifest"] == manifest.to_json()
    assert (manifest.name, manifest.target, manifest.postprocess) == ("m", "rpi5", Classify(top=1))
    assert Bundle.open("m.bundle").read("infer.onnx") == Path("m.onnx").read_bytes()
    assert main(["run", "m.bundle", "g.png"]) == 0
    assert capsys.readouterr().out == "g.png: green 1.00\n"


def test_a_bundle_declares_something_else_in_place(desk):
    assert main(["pack", "m.onnx", "-o", "m.bundle", *ENDS]) == 0
    before = Bundle.open("m.bundle").manifest
    assert main(["pack", "m.bundle", "-o", "m.bundle", "--postprocess", "kind=multilabel,threshold=0.9"]) == 0
    after = Bundle.open("m.bundle")
    assert after.manifest.labels == ("red", "green", "blue")
    assert after.manifest.preprocess == Preprocess(8, 8)
    assert after.manifest.files == before.files
    assert after.manifest.postprocess != before.postprocess
    assert after.read("infer.onnx") == Path("m.onnx").read_bytes()


def test_an_encrypted_bundle_stays_encrypted(desk, monkeypatch):
    pytest.importorskip("cryptography")
    assert main(["pack", "m.onnx", "-o", "m.bundle", *ENDS]) == 0
    assert main(["seal", "m.bundle", "-o", "s.bundle", "--key", "k"]) == 0
    monkeypatch.setenv("LITTORAL_KEY_FILE", "k")
    assert main(["pack", "s.bundle", "-o", "t.bundle", "--postprocess", "kind=classify,top=2"]) == 0
    assert list(Bundle.open("t.bundle").manifest.files) == list(Bundle.open("s.bundle").manifest.files)
    assert main(["run", "t.bundle", "g.png"]) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--preprocess", "kind=audio,fixed=sr:1"], "has no input 'sr'"),
        (["--postprocess", "kind=detect,boxes=b"], "has no output 'b'"),
        (["--target", "rpi44"], "no target 'rpi44'"),
    ],
)
def test_what_does_not_fit_is_refused(desk, capsys, more, words):
    assert main(["pack", "m.onnx", "-o", "m.bundle", *more]) == 2
    assert words in capsys.readouterr().err
    assert not Path("m.bundle").exists()


def test_sounds(desk):
    Path("s.onnx").write_bytes(build(HEADER + STATEFUL).SerializeToString())
    said = "kind=audio,rate=10,window=5,state=state:next,fixed=gain:2"
    assert (
        main(["pack", "s.onnx", "-o", "s.bundle", "--preprocess", said, "--postprocess", "kind=events"]) == 0
    )
    audio = Bundle.open("s.bundle").manifest.preprocess
    assert audio == Audio(10, 5, state={"state": "next"}, fixed={"gain": 2.0})
    np.testing.assert_equal(audio.fixed["gain"], 2.0)
