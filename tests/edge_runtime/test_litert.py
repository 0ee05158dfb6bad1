"""The LiteRT engine: the same contract as onnxruntime's, and clear words when something is missing."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from converter.lowering import lower
from converter.model import save
from converter.optimize import optimize
from edge_runtime.engines import FILES, engine_for, litert, open_engine
from edge_runtime.errors import BackendError, InputError, ModelError
from tests.models import LINEAR, build, cnn, images

pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The same model as the file that each engine reads."""
    model, folder = optimize(cnn()), tmp_path_factory.mktemp("forms")
    (folder / "infer.tflite").write_bytes(lower(model))
    save(model, folder / "infer.onnx")
    return {name: folder / file for name, file in FILES.items()}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("read", [True, False], ids=["bytes", "path"])
def test_an_engine_opens_bytes_and_paths_and_says_its_signature(name, read, forms):
    path = forms[name]
    assert engine_for(path) == name
    engine = open_engine(name, path.read_bytes() if read else path, where="m", threads=1)
    (spec,), (out,) = engine.inputs, engine.outputs
    assert (spec.name, spec.dtype, spec.shape[1:]) == ("images", "float32", (3, 8, 8))
    assert isinstance(spec.shape[0], str)
    assert (out.name, out.dtype, out.shape[1:]) == ("logits", "float32", (4,))


def test_both_engines_give_the_same(forms):
    engines = [open_engine(name, path, where=name, threads=1) for name, path in forms.items()]
    for count in (1, 5, 2):
        a, b = (engine.run({"images": images(count)})["logits"] for engine in engines)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "input 'images': missing"),
        ({"z": np.zeros((1, 3, 8, 8), np.float32)}, "no such input"),
        ({"images": np.zeros((1, 3, 8, 9), np.float32)}, r"float32\[1, 3, 8, 9\]"),
        ({"images": np.zeros((1, 3, 8, 8))}, r"got float64\[1, 3, 8, 8\]"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_the_engine_usable(name, inputs, sentence, forms):
    engine = open_engine(name, forms[name], where="m", threads=1)
    wanted = engine.run({"images": images(2)})["logits"]
    with pytest.raises(InputError, match=sentence):
        engine.run(inputs)
    np.testing.assert_array_equal(engine.run({"images": images(2)})["logits"], wanted)


def test_a_fixed_length_is_not_changed():
    engine = litert.LiteRT(lower(build(LINEAR), lengths={"n": 2}), where="fixed")
    with pytest.raises(InputError, match=r"expected float32\[2, 4\], got float32\[3, 4\]"):
        engine.run({"x": np.zeros((3, 4), np.float32)})
    assert engine.run({"x": np.zeros((2, 4), np.float32)})["y"].shape == (2, 3)


def test_outputs_are_the_callers_own(forms):
    engine = open_engine("litert", forms["litert"], where="m", threads=1)
    first = engine.run({"images": images(1, 1)})["logits"]
    kept = first.copy()
    engine.run({"images": images(1, 2)})
    np.testing.assert_array_equal(first, kept)


def test_threads_may_call_at_once(forms):
    engine = open_engine("litert", forms["litert"], where="m", threads=1)
    feeds = [images(1 + k % 3, k) for k in range(12)]
    wanted = [engine.run({"images": x})["logits"] for x in feeds]
    got: dict[int, np.ndarray] = {}
    workers = [
        threading.Thread(target=lambda k=k: got.update({k: engine.run({"images": feeds[k]})["logits"]}))
        for k in range(len(feeds))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k, expected in enumerate(wanted):
        np.testing.assert_allclose(got[k], expected, rtol=1e-6)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 8])
def test_what_is_no_model_is_refused(content, tmp_path):
    with pytest.raises(ModelError, match="broken: LiteRT does not accept this model"):
        litert.LiteRT(content, where="broken")
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ModelError, match="broken: LiteRT does not accept this model"):
        litert.LiteRT(tmp_path / "m.tflite", where="broken")


def test_a_missing_engine_is_named_with_the_line_that_installs_it(monkeypatch):
    litert.load.cache_clear()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    try:
        with pytest.raises(BackendError, match=r"pip install 'littoral\[litert\]'"):
            litert.LiteRT(b"", where="m")
    finally:
        litert.load.cache_clear()


def test_tflite_runtime_serves_where_litert_is_not_installed(monkeypatch, forms):
    from ai_edge_litert import interpreter

    litert.load.cache_clear()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", interpreter)
    try:
        engine = litert.LiteRT(forms["litert"], where="m", threads=1)
        assert engine.run({"images": images(1)})["logits"].shape == (1, 4)
    finally:
        litert.load.cache_clear()


def test_an_unknown_engine_is_refused():
    with pytest.raises(BackendError, match="no engine 'ncnn'; there are onnxruntime, litert"):
        open_engine("ncnn", b"", where="m")


def test_engines_are_imported_when_they_are_opened():
    code = "import sys, edge_runtime.engines; print(*sorted({'onnxruntime', 'ai_edge_litert'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_opening_a_model_says_nothing(forms):
    code = (
        "import sys; from pathlib import Path; from edge_runtime.engines import open_engine\n"
        "open_engine('litert', Path(sys.argv[1]), where='m'); sys.stderr.write('mine')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, forms["litert"]], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "mine")


@pytest.mark.parametrize("options", [{"xnnpack": False}, {"flags": ["compress_quantization_zero_points"]}])
def test_other_kernels_give_the_same(options, forms):
    wanted = open_engine("litert", forms["litert"], where="m", threads=1).run({"images": images(2)})["logits"]
    got = open_engine("litert", forms["litert"], where="m", threads=1, **options).run({"images": images(2)})
    np.testing.assert_allclose(got["logits"], wanted, rtol=1e-4, atol=1e-5)


def test_an_unknown_switch_is_refused(forms):
    with pytest.raises(ModelError, match="no_such_switch"):
        litert.LiteRT(forms["litert"], where="m", flags=["no_such_switch"])
