"""Real ONNX models nobody here wrote: several inputs, integers, states, free lengths, control flow, int8 already."""

import json

import numpy as np
import pytest

from compress import Optimize, Quantize, Recipe, compress
from compress.fidelity import compare
from converter.convert import convert
from converter.model import to_bytes
from edge_runtime import Bundle, Samples, Session
from edge_runtime.__main__ import main
from edge_runtime.data import records
from examples import third_party
from tests import assets

ASSETS = {"silero-vad", "magika", "ocr-detector", "ocr-recogniser", "ocr-classifier", "sentence-transformer"}


def given(name, count):
    for asset in (name, "photographs-skimage"):
        assets.locate(asset)
    return {"silero-vad": third_party.voice, "magika": third_party.magika, "ocr-detector": third_party.detector,
            "ocr-recogniser": third_party.recogniser, "ocr-classifier": third_party.classifier,
            "sentence-transformer": third_party.sentences}[name](count)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most_nodes", "largest"),
    [
        ("magika", 100, 1.01),
        ("ocr-detector", 180, 0.9),
        ("ocr-recogniser", 220, 1.0),
        ("ocr-classifier", 130, 0.95),
        ("silero-vad", 5, 1.0),
        ("sentence-transformer", 370, 1.0),
    ],
)
def test_it_is_optimised_and_stays_the_same(name, most_nodes, largest):
    path, samples = given(name, 4)
    samples = with_rate(samples) if name == "silero-vad" else samples
    model = convert(path, samples=samples)
    assert len(model.graph.node) <= most_nodes
    assert len(to_bytes(model)) <= largest * path.stat().st_size
    for old, new in zip(
        Session(path).run_batches(samples.x), Session(to_bytes(model)).run_batches(samples.x), strict=True
    ):
        np.testing.assert_allclose(new, old, atol=1e-4 * max(1, np.abs(old).max()))


def with_rate(samples):
    fields = {name: samples.x[name] for name in samples.x.dtype.names}
    return Samples(records(fields | {"sr": np.full(len(samples), 16_000)}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "share", "agreement"),
    [("magika", 96, 0.27, 0.95), ("ocr-classifier", 48, 0.5, 0.85), ("ocr-recogniser", 24, 0.3, 0.8)],
)
def test_it_becomes_a_smaller_bundle_of_stated_fidelity(tmp_path, name, count, share, agreement):
    path, samples = given(name, count)
    plain = Recipe((Optimize(), Quantize(calibrator="minmax")))
    made = compress(path, samples, tmp_path / "m.bundle", recipe=plain, emulate=False, rounds=1)
    assert made.after.size < share * path.stat().st_size
    metrics = Bundle.open(tmp_path / "m.bundle").manifest.metrics
    assert metrics["agreement"] >= agreement
    assert metrics["measure"] == "classes"
    assert metrics["n"] == count


@pytest.mark.slow
def test_what_is_inside_an_if_is_only_coded_and_the_reason_said(tmp_path, capsys):
    path, samples = given("silero-vad", 8)
    made = compress(path, with_rate(samples), tmp_path / "m.bundle", emulate=False, rounds=1)
    assert made.after.size < path.stat().st_size
    assert made.fidelity.cosine > 0.999999
    said = capsys.readouterr().err
    assert "inside If" in said
    assert "--fix INPUT=VALUE, of sr" in said


@pytest.mark.slow
def test_a_fixed_input_leaves_one_branch():
    path, samples = given("silero-vad", 8)
    model = convert(path, samples=samples, fixed={"sr": "16000"})
    assert [value.name for value in model.graph.input] == ["input", "state"]
    assert len(to_bytes(model)) < 0.6 * path.stat().st_size
    whole, part = (
        Session(m).run_batches(s.x) for m, s in ((path, with_rate(samples)), (to_bytes(model), samples))
    )
    for old, new in zip(whole, part, strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)


@pytest.mark.slow
def test_integers_already_are_coded_without_loss(tmp_path, capsys):
    path, samples = given("sentence-transformer", 4)
    made = compress(path, samples, tmp_path / "m.bundle", measure="values", emulate=False, rounds=1)
    assert made.after.size < 0.95 * path.stat().st_size
    assert made.fidelity.measure == "values"
    assert made.fidelity.agreement > 0.999999
    assert "integers already" in capsys.readouterr().err


def test_outputs_are_compared_by_what_they_are():
    rng = np.random.default_rng(0)
    logits, noise = rng.standard_normal((2, 50, 7))
    assert compare(logits, logits + noise).measure == "classes"
    assert compare(logits, logits * 0.5, measure="values").agreement == pytest.approx(1)
    probabilities = rng.random((50, 1))
    found = compare(probabilities, np.where(np.arange(50) < 10, 1 - probabilities.T, probabilities.T).T)
    assert (found.measure, found.agreement) == ("decisions", 0.8)
    maps = (rng.random((4, 1, 20, 20)) > 0.97).astype(np.float32)
    assert compare(maps, np.zeros_like(maps)).agreement == 0  # though most of it is empty in both
    assert compare(maps, maps).agreement == 1
    segments = rng.standard_normal((2, 5, 6, 7))
    assert compare(segments, np.roll(segments, 1, axis=1)).agreement < 0.3
    assert compare(rng.standard_normal((9, 1)), rng.standard_normal((9, 1))).measure == "values"


def test_several_inputs_come_by_name(tmp_path, monkeypatch, capsys):
    from converter.model import save
    from tests.models import HEADER, build

    monkeypatch.chdir(tmp_path)
    text = " m (int64[n, 5] ids, float[n, 5, 8] extra) => (float[n, 5, 3] y) <float[50, 8] table, float[8, 3] w> "
    save(build(HEADER + text + "{ a = Gather(table, ids) b = Add(a, extra) y = MatMul(b, w) }"), "m.onnx")
    rng = np.random.default_rng(0)
    np.savez(
        "d.npz", ids=rng.integers(0, 50, (40, 5)), extra=rng.standard_normal((40, 5, 8)).astype(np.float32)
    )
    recipe = '[[step]]\nname = "optimize"\n[[step]]\nname = "quantize"\ncalibrator = "minmax"\n'
    (tmp_path / "r.toml").write_text(recipe)
    assert (
        main(
            [
                "compress",
                "m.onnx",
                "--data",
                "d.npz",
                "--recipe",
                "r.toml",
                "-o",
                "m.bundle",
                "--no-emulate",
                "--json",
            ]
        )
        == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert made["agreement"] > 0.9
    assert [spec.dtype for spec in Bundle.open("m.bundle").manifest.inputs] == ["int64", "float32"]


@pytest.mark.slow
def test_a_detector_keeps_its_most_sensitive_layers_in_float(tmp_path, capsys):
    """Where int8 alone finds other text (a Dice coefficient of 0.89), a few layers in float give it back."""
    path, samples = given("ocr-detector", 6)
    made = compress(path, samples, tmp_path / "m.bundle", emulate=False, rounds=1, engine="onnxruntime")
    assert made.fidelity.measure == "decisions"
    assert made.fidelity.agreement >= 0.95
    assert made.after.size < 0.35 * path.stat().st_size
    assert "keep the most sensitive layers in float" in capsys.readouterr().err
