"""Compilers of NPUs: Vela puts a whole network on an Ethos-U; what is missing or does not fit is said."""

import json
import os
import shutil

import numpy as np
import pytest

from compress import Optimize, Quantize, Recipe
from compress.compress import apply
from compress.step import Work
from converter.lowering import lower
from converter.model import to_bytes
from edge_runtime import Bundle, Manifest, Samples, Session, Target
from edge_runtime.__main__ import main
from edge_runtime.accelerators import compilers, rknn, vela
from edge_runtime.accelerators.candidates import candidate
from edge_runtime.bundle import pack
from edge_runtime.errors import BackendError, ModelError, TargetError
from tests.models import cnn, images

TARGETS = ("ethos-u55", "ethos-u65", "ethos-u85")


def _installed() -> bool:
    try:
        return bool(vela.command())
    except BackendError:
        return False


# Where CI is set it has to be there.
needs_vela = pytest.mark.skipif(not _installed() and not os.environ.get("CI"), reason="needs ethos-u-vela")


@pytest.fixture(scope="module")
def model():
    source = cnn()
    work = Work(Samples(images(16)), Target.load("ethos-u55"), source)
    return apply(Recipe((Optimize(), Quantize())), source, work)


@pytest.fixture(scope="module")
def native(model):
    return lower(model, native=True, samples=images(16), lengths={"n": 1})


def options(name: str) -> dict[str, str]:
    (entry,) = Target.load(name).accelerators
    return dict(candidate(entry, name).options)


@needs_vela
@pytest.mark.parametrize("name", TARGETS)
def test_a_network_runs_whole_on_each_within_its_memory(native, name):
    made = vela.compile_model(native, options(name))
    assert made.share == 1
    assert made.on_cpu == ()
    assert made.fits
    assert 0 < made.sram_bytes <= made.budget_bytes
    assert made.cycles > 0
    assert made.latency_ms > 0
    assert options(name)["accelerator-config"].replace("-", "_").title() in made.configuration
    assert b"ethos-u" in made.content


@needs_vela
def test_what_stays_on_the_cpu_is_named_and_a_budget_is_held(model):
    real_ends = lower(model, native=True)
    made = vela.compile_model(real_ends, options("ethos-u55"))
    assert made.share < 1
    assert any("logits" in operator for operator in made.on_cpu)
    small = vela.compile_model(lower(model, native=True, samples=images(16)), {"sram-kib": "0"})
    assert small.budget_bytes == 0
    assert small.fits
    assert not vela.Compiled(b"", "", 1, (), 1025, 1024, 0, 1, 1.0).fits


@needs_vela
def test_real_numbers_have_no_place_there():
    with pytest.raises(ModelError, match="runs nothing of this model: it takes integers"):
        vela.compile_model(lower(cnn(), native=True, lengths={"n": 1}), options("ethos-u55"))


@needs_vela
def test_what_is_no_model_is_refused_in_a_sentence():
    with pytest.raises(ModelError, match="Vela does not compile this model: "):
        vela.compile_model(b"nonsense", options("ethos-u55"))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"accelerator": "ethos-u55-128"}, "has no option 'accelerator'"),
        ({"sram-kib": "much"}, "expected a whole number of KiB"),
    ],
)
def test_a_target_s_mistake_is_named(given, sentence):
    with pytest.raises(TargetError, match=sentence):
        vela.compile_model(b"", given)


def test_without_a_compiler_the_sentence_says_what_installs_it(monkeypatch, model):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.delenv(rknn.VARIABLE, raising=False)
    source = compilers.Source(onnx=to_bytes(model))
    with pytest.raises(BackendError, match=r"pip install 'littoral\[ethos-u\]'"):
        compilers.compile_for(source, candidate({"name": "ethos-u"}, "here"))
    with pytest.raises(BackendError, match=rknn.VARIABLE):
        compilers.compile_for(source, candidate({"name": "rknpu"}, "here"))


def test_rockchip_s_python_that_fails_is_quoted(monkeypatch, model, tmp_path):
    python = tmp_path / "python"
    monkeypatch.setenv(rknn.VARIABLE, str(python))
    with pytest.raises(BackendError, match="does not run"):
        rknn.convert(to_bytes(model), "rk3588")
    for script, kind, sentence in (
        ("echo 'ImportError: no rknn' >&2; exit 1", BackendError, "process failed: ImportError: no rknn"),
        ("""echo '{"error": "build: no"}'""", ModelError, "does not convert this model: build: no"),
    ):
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        with pytest.raises(kind, match=sentence):
            rknn.convert(to_bytes(model), "rk3588")
    with pytest.raises(BackendError, match="no Rockchip platform 'rk1'"):
        rknn.convert(to_bytes(model), "rk1")


@needs_vela
def test_the_command_writes_the_npu_s_form(model, tmp_path, capsys):
    graph, data, out = tmp_path / "m.onnx", tmp_path / "x.npz", tmp_path / "infer.vela.tflite"
    graph.write_bytes(to_bytes(model))
    np.savez(data, x=images(16))
    call = ["accelerate", str(graph), "--target", "ethos-u55", "--json"]
    assert main([*call, "--data", str(data), "-o", str(out)]) == 0
    (report,) = json.loads(capsys.readouterr().out)["compiled"]
    assert report["share"] == 1
    assert report["bytes"] == out.stat().st_size
    assert main(call[:-1]) == 0
    shown = capsys.readouterr().out
    assert "left on the CPU" in shown
    assert "give samples (--data)" in shown
    out.unlink()
    session = Session(model.SerializeToString())
    manifest = Manifest("m", "ethos-u55", session.inputs, session.outputs)
    pack(tmp_path / "m.bundle", manifest, {"infer.onnx": model.SerializeToString()})
    into = ["-o", str(tmp_path / "out.bundle")]
    assert main(["accelerate", str(tmp_path / "m.bundle"), "--data", str(data), *into]) == 0
    assert b"ethos-u" in Bundle.open(tmp_path / "out.bundle").read("infer.vela.tflite")
    capsys.readouterr()
    graph.write_bytes(to_bytes(cnn()))
    assert main([*call, "-o", str(out)]) == 2
    assert "it takes integers" in capsys.readouterr().err
    assert not out.exists()
