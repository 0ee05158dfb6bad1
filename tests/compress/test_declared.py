"""What is declared of pictures and answers on the command line goes into the bundle, whoever packs it."""

import numpy as np
import pytest

from converter.model import save
from edge_runtime import Bundle
from edge_runtime.__main__ import main
from edge_runtime.declared import Classify, Detect, Preprocess
from tests.models import cnn, images


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(cnn(3), "m.onnx")
    np.savez("d.npz", x=images(8), y=np.arange(8) % 4)
    (tmp_path / "l.txt").write_text("a\nb\n\nc\nd\n")
    return tmp_path


def test_compress(desk):
    argv = [
        "compress",
        "m.onnx",
        "--data",
        "d.npz",
        "-o",
        "out.bundle",
        "--no-emulate",
        "--min-agreement",
        "0",
    ]
    argv += ["--engine", "onnxruntime", "--labels", "l.txt", "--preprocess", "fit=letterbox,crop=8"]
    assert main([*argv, "--postprocess", "kind=detect,threshold=0.3,iou=0.5"]) == 0
    manifest = Bundle.open("out.bundle").manifest
    assert manifest.postprocess == Detect(0.3, 0.5)
    assert manifest.preprocess == Preprocess(8, 8, fit="letterbox")
    assert manifest.labels == ("a", "b", "c", "d")


@pytest.mark.parametrize("argv", [["convert", "m.onnx", "--train"], ["adapt", "m.onnx", "--split", "none"]])
def test_bundles_that_learn(desk, argv):
    labels = ["--labels", "l.txt" if argv[0] == "convert" else "a,b,c,d"]
    assert main([*argv, "-o", "out.bundle", *labels, "--postprocess", "kind=classify,top=2"]) == 0
    manifest = Bundle.open("out.bundle").manifest
    assert manifest.postprocess == Classify(top=2)
    assert manifest.labels == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    "wrong", [["--postprocess", "kind=what"], ["--labels", "no.txt"], ["--preprocess", "crop=no"]]
)
def test_what_is_wrong_is_said_before_anything_is_done(desk, capsys, wrong):
    assert main(["compress", "m.onnx", "--data", "d.npz", "-o", "out.bundle", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (desk / "out.bundle").exists()
