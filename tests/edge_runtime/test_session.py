"""Sessions: the right answer, and a clear one for the wrong input."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge_runtime import Bundle, Manifest, Session
from edge_runtime.bundle import pack
from edge_runtime.engines import onnx as engine
from edge_runtime.errors import BackendError, BundleError, InputError, ModelError
from edge_runtime.tensors import TensorSpec
from tests.models import LINEAR, build, cnn, images

MODEL = build(LINEAR).SerializeToString()


def test_run_gives_outputs_by_name():
    session = Session(MODEL)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    weights = np.asarray(build(LINEAR).graph.initializer[0].raw_data)
    expected = x @ np.frombuffer(weights.tobytes(), np.float32).reshape(4, 3)
    np.testing.assert_allclose(session.run({"x": x})["y"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "input 'x': missing"),
        ({"z": np.zeros((1, 4), np.float32)}, "no such input"),
        ({"x": np.zeros((1, 5), np.float32)}, r"expected float32\[n, 4\], got float32\[1, 5\]"),
        ({"x": np.zeros((1, 4))}, r"got float64\[1, 4\]"),
        ({"x": np.zeros(4, np.float32)}, r"got float32\[4\]"),
    ],
)
def test_what_does_not_fit_is_named(inputs, sentence):
    session = Session(MODEL)
    session.run({"x": np.zeros((1, 4), np.float32)})  # the quick path must not hide a later mistake
    with pytest.raises(InputError, match=sentence):
        session.run(inputs)
    assert session.run({"x": np.zeros((3, 4), np.float32)})["y"].shape == (3, 3)


def test_batches_equal_single_calls():
    session = Session(cnn().SerializeToString())
    x = images(7)
    (whole,) = session.run_batches(x, 7)
    (parts,) = session.run_batches(x, 3)
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-5)


def test_a_fixed_batch_serves_any_number_of_samples():
    model = build(LINEAR.replace("float[n, 4] x", "float[4, 4] x").replace("float[n, 3] y", "float[4, 3] y"))
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    (fixed,) = Session(model.SerializeToString()).run_batches(x)
    np.testing.assert_allclose(fixed, Session(MODEL).run_batches(x, 6)[0], rtol=1e-6)


def test_a_provider_that_is_not_there_is_refused():
    with pytest.raises(BackendError, match="NoSuchExecutionProvider"):
        Session(MODEL, providers=["NoSuchExecutionProvider"])


def test_garbage_is_not_a_model():
    with pytest.raises(ModelError, match="does not accept this model"):
        Session(b"garbage")


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "avx2", True),
        ("x86_64", "avx2 avx512_vnni", False),
        ("x86_64", "avx_vnni", False),
        ("aarch64", "", False),
    ],
)
def test_saturating_kernels_are_recognised(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(engine.platform, "machine", lambda: machine)
    monkeypatch.setattr(engine, "open", lambda *_, **__: io.StringIO(flags), raising=False)
    engine.saturates.cache_clear()
    try:
        assert engine.saturates() is expected
    finally:
        engine.saturates.cache_clear()


def test_a_session_of_a_path_reads_and_checks_only_what_it_runs(tmp_path):
    manifest = Manifest("m", "x86-64", (TensorSpec("x", "float32", ("n", 4)),), ())
    path = pack(tmp_path / "m.bundle", manifest, {"infer.onnx": MODEL, "notes.txt": b"written by hand"}).path
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"by hand", b"by h4nd"))
    assert Session(path).run({"x": np.zeros((1, 4), np.float32)})["y"].shape == (1, 3)
    with pytest.raises(BundleError, match=r"notes\.txt has SHA-256"):
        Bundle.open(path)
    lazy = Bundle.open(path, whole=False)
    assert "notes.txt" in lazy
    with pytest.raises(BundleError, match="altered"):
        lazy.read("notes.txt")
    at = whole.index(MODEL) + len(MODEL) // 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(BundleError, match=r"infer\.onnx has SHA-256"):
        Session(path)


def test_a_lazy_bundle_that_is_gone_is_said_so(tmp_path):
    path = pack(tmp_path / "m.bundle", Manifest("m", "x86-64", (), ()), {"infer.onnx": MODEL}).path
    lazy = Bundle.open(path, whole=False)
    assert lazy.size == len(MODEL)
    path.unlink()
    with pytest.raises(InputError, match="expected the bundle that was opened"):
        lazy.read("infer.onnx")


def test_shrinking_changes_no_answer():
    session = Session(cnn().SerializeToString())
    wanted = session.run({"images": images(3)})["logits"]
    session.shrink()
    for _ in range(2):
        np.testing.assert_array_equal(session.run({"images": images(3)})["logits"], wanted)


def test_running_from_several_threads_gives_each_its_own_answer():
    session = Session(cnn().SerializeToString(), threads=1)
    feeds = [images(1 + k % 3, k) for k in range(16)]
    wanted = [session.run({"images": x})["logits"] for x in feeds]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda x: session.run({"images": x})["logits"], feeds))
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
