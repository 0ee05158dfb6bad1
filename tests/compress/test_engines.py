"""Which engine runs the result: LiteRT's form is packed only where it is as good and cheaper."""

import dataclasses
import json

import numpy as np
import pytest

from compress import Optimize, Quantize, Recipe, compress, engines, fidelity
from compress.budget import Budget
from compress.engines import Checked
from compress.search.price import Price
from converter.model import save, to_bytes
from edge_runtime import Bundle, ModelError, Samples, Session, Target, emulator
from edge_runtime.__main__ import main
from edge_runtime.errors import EmulatorError, InputError
from edge_runtime.profile import Latency
from edge_runtime.storage import SUFFIX
from tests.models import HEADER, build, cnn, images

pytest.importorskip("ai_edge_litert")

DATA = Samples(images(32), np.arange(32) % 4)
RECIPE = Recipe((Optimize(), Quantize(calibrator="minmax", rounding="nearest")))


def made(tmp_path, counts=None, monkeypatch=None, **given):
    """Compress for an emulated device whose counts are as given: of the original, onnxruntime and LiteRT."""
    if counts is not None:
        monkeypatch.setattr(engines.emulator, "available", lambda: True)
        monkeypatch.setattr(engines, "count_forms", lambda _, forms: counts[: len(forms)])
    options = {"target": "rpi4", "recipe": RECIPE, "rounds": 1, "emulate": counts is not None} | given
    return compress(cnn(), DATA, tmp_path / "m.bundle", **options)


def test_the_cheaper_form_is_packed_and_preferred(tmp_path, monkeypatch):
    result = made(tmp_path, [100, 50, 20], monkeypatch)
    bundle = Bundle.open(tmp_path / "m.bundle")
    assert "infer.onnx" in bundle
    assert "infer.tflite" in bundle
    assert Session(bundle).engine == bundle.manifest.engine == result.preferred.engine == "litert"
    counts = {"original": 100, "onnxruntime": 50, "litert": 20, "compressed": 20}
    assert bundle.manifest.metrics["instructions"] == counts
    assert (result.before.instructions, result.after.instructions) == (100, 20)
    again = Session(bundle).run({"images": DATA.x})["logits"]
    np.testing.assert_allclose(again, result.outputs[1], atol=1e-6)
    reference = Session(bundle, engine="onnxruntime").run({"images": DATA.x})["logits"]
    assert fidelity.compare(reference, again).agreement > 0.95


@pytest.mark.parametrize("litert", [49.5, 50, 80])
def test_what_is_not_cheaper_by_enough_is_left_out(tmp_path, monkeypatch, litert):
    result = made(tmp_path, [100, 50, litert], monkeypatch)
    bundle = Bundle.open(tmp_path / "m.bundle")
    assert "infer.tflite" not in bundle
    assert Session(bundle).engine == bundle.manifest.engine == "onnxruntime"
    assert bundle.manifest.metrics["instructions"]["litert"] == litert
    assert result.after.instructions == 50


def test_a_bundle_is_read_without_litert(tmp_path, monkeypatch):
    made(tmp_path, [100, 50, 20], monkeypatch)
    monkeypatch.setattr("edge_runtime.tuning.source.installed", lambda name: name == "onnxruntime")
    assert Session(Bundle.open(tmp_path / "m.bundle")).engine == "onnxruntime"


def test_an_engine_may_be_asked_for(tmp_path, monkeypatch):
    assert made(tmp_path, engine="litert").preferred.engine == "litert"
    assert Session(Bundle.open(tmp_path / "m.bundle")).engine == "litert"
    result = made(tmp_path, [100, 50, 20], monkeypatch, engine="onnxruntime")
    assert result.preferred.engine == "onnxruntime"
    assert "litert" not in result.preferred.instructions
    with pytest.raises(InputError, match="expected one of auto, onnxruntime, litert"):
        made(tmp_path, engine="tvm")


def test_where_nothing_is_measured_the_target_decides(tmp_path):
    assert made(tmp_path).preferred.engine == "onnxruntime"
    first = dataclasses.replace(Target.load("rpi4"), engines=("litert", "onnxruntime"))
    result = made(tmp_path, target=first)
    assert result.preferred.engine == "litert"
    assert "its order of engines begins with it" in result.preferred.why


def test_here_the_two_are_timed(tmp_path):
    here = Target.load("x86-64")
    here = dataclasses.replace(here, arch=engines.platform.machine(), saturating_int8=False)
    result = made(tmp_path, target=here, rounds=3)
    assert set(result.preferred.latencies) == {"original", "onnxruntime", "litert"}
    assert "timed here in turn" in result.preferred.why
    assert ("infer.tflite" in result.bundle) == (result.preferred.engine == "litert")


def test_a_refusal_is_said_and_the_work_goes_on(tmp_path, monkeypatch, capsys):
    model = build(HEADER + " odd (float[n, 3, 3] x) => (float[n] y) { s = Mul(x, x) y = Det(s) }")
    data = Samples(np.random.default_rng(0).standard_normal((16, 3, 3)).astype(np.float32))
    monkeypatch.setattr(engines.emulator, "available", lambda: True)
    monkeypatch.setattr(engines, "count_forms", lambda _, forms: [10] * len(forms))
    given = {"recipe": Recipe((Optimize(),)), "measure": "values", "rounds": 1}
    result = compress(model, data, tmp_path / "m.bundle", **given)
    assert result.preferred.engine == "onnxruntime"
    assert "Det has no form in TFLite" in result.preferred.why
    assert "Det has no form in TFLite" in result.to_json()["why"]
    assert "Det has no form in TFLite" in capsys.readouterr().err
    with pytest.raises(ModelError, match=r"engine litert: .*Det has no form in TFLite"):
        compress(model, data, tmp_path / "n.bundle", engine="litert", **given)
    assert not (tmp_path / "n.bundle").exists()


def test_a_form_that_cannot_be_counted_is_left_out(tmp_path, monkeypatch):
    def count(target, forms):
        if any(isinstance(form, bytes) for form in forms):
            raise EmulatorError("no LiteRT there")
        return [100, 50]

    made(tmp_path, [100, 50, 20], monkeypatch)
    monkeypatch.setattr(engines, "count_forms", count)
    result = compress(cnn(), DATA, tmp_path / "m.bundle", recipe=RECIPE, rounds=1)
    assert result.preferred.engine == "onnxruntime"
    assert result.preferred.instructions == {"original": 100, "onnxruntime": 50}


def checked(compressed=None, missed=lambda _: ""):
    outputs = Session(to_bytes(cnn())).run_batches(DATA.x)[0]
    return Checked(DATA, outputs, outputs if compressed is None else compressed, "auto", missed)


def test_a_form_that_gives_other_answers_is_refused():
    assert engines.litert_form(cnn(), checked()).fidelity.agreement == 1
    with pytest.raises(ModelError, match=r"agrees with onnxruntime's on .* of 32 samples, 90% is the least"):
        engines.litert_form(cnn(3), checked())
    with pytest.raises(ModelError, match="LiteRT's form: not good enough"):
        engines.litert_form(cnn(), checked(missed=lambda _: "not good enough"))


def test_a_form_that_loses_more_is_refused(monkeypatch):
    given = checked().original
    outputs = given.copy()
    outputs[:2] = np.roll(outputs[:2], 1, axis=1)  # two answers of 32 are others: more than one sample
    monkeypatch.setattr(Session, "run_batches", lambda *_: [outputs])
    found = Checked(Samples(DATA.x), given, given, "auto", lambda _: "")
    with pytest.raises(ModelError, match=r"loses 0\.0625 more"):
        engines.litert_form(cnn(), found)


def test_a_size_that_is_limited_counts_both_files(tmp_path, monkeypatch):
    whole = made(tmp_path, [100, 50, 20], monkeypatch)
    graphs = [each["bytes"] for name, each in whole.bundle.manifest.files.items() if name.startswith("infer")]
    small = (sum(graphs) - 1) / 1e6
    result = made(tmp_path, [100, 50, 20], monkeypatch, budget=Budget(max_size_mb=small))
    assert result.preferred.engine == "onnxruntime"
    assert "with LiteRT's form beside it, it has size" in result.preferred.why


def test_a_coded_form_is_smaller_and_the_same(tmp_path):
    plain = made(tmp_path / "p", engine="litert")
    coded = made(tmp_path / "c", engine="litert", coded=True)
    files = coded.bundle.manifest.files
    assert "infer.tflite" + SUFFIX in files
    assert Session(coded.bundle).engine == "litert"
    assert coded.bundle.read("infer.tflite") == plain.bundle.read("infer.tflite")
    assert files["infer.tflite" + SUFFIX]["bytes"] < plain.bundle.manifest.files["infer.tflite"]["bytes"]


def test_the_price_on_each_engine():
    price = Price(1.0, 10.0, 100, "counted", (0.5, 6.0, 60))
    assert price.on("onnxruntime") == price
    assert (price.on("litert").size_mb, price.on("litert").latency_ms) == (1.5, 6.0)
    assert price.engine("auto", None) == "litert"
    assert price.engine("auto", 1.4) == "onnxruntime"  # both do not fit
    assert price.engine("onnxruntime", None) == "onnxruntime"
    slower = dataclasses.replace(price, litert=(0.5, 9.9, 99))
    assert (slower.engine("auto", None), slower.engine("litert", None)) == ("onnxruntime", "litert")
    assert dataclasses.replace(price, litert=None).engine("litert", None) == "onnxruntime"


def test_the_search_prices_both_and_packs_what_it_chose(tmp_path, monkeypatch, capsys):
    """LiteRT takes a tenth of everything: the winner is on it, and where that form is wrong it is not."""
    monkeypatch.setattr(engines.emulator, "available", lambda: True)
    monkeypatch.setattr(
        engines,
        "count_forms",
        lambda _, forms: [len(f) if isinstance(f, bytes) else 100 * len(to_bytes(f)) for f in forms],
    )
    save(cnn(), tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=images(64))
    monkeypatch.chdir(tmp_path)
    command = ["compress", "m.onnx", "--data", "d.npz", "--max-drop", "0.3", "--epochs", "1", "--work", "w"]
    assert main([*command, "-o", "b.bundle", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["engine"] == "litert"
    assert {trial["engine"] for trial in figures["trials"]} >= {"litert"}
    assert Session(Bundle.open("b.bundle")).engine == "litert"
    assert "It runs on litert" in (tmp_path / "report.html").read_text()

    def refuse(model, checked):
        raise ModelError("LiteRT's form: no")

    monkeypatch.setattr(engines, "litert_form", refuse)
    assert main([*command, "-o", "c.bundle", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["engine"] == "onnxruntime"
    assert figures["why"] == "LiteRT's form: no"
    assert "infer.tflite" not in Bundle.open("c.bundle")
    assert main([*command, "-o", "e.bundle", "--max-latency-ms", "0.001"]) == 2
    assert "no candidate meets the budget" in capsys.readouterr().err
    assert not (tmp_path / "e.bundle").exists()


def test_latencies_are_of_each_form():
    form = engines.litert_form(cnn(), checked())
    found = engines.latencies((cnn(), cnn()), {"images": images(1)}, form, 2)
    assert list(found) == ["original", "onnxruntime", "litert"]
    assert all(isinstance(each, Latency) for each in found.values())


@pytest.mark.slow
@pytest.mark.skipif(not emulator.available(), reason="no emulator")
def test_on_an_emulated_device_both_are_counted_and_the_smaller_count_wins(tmp_path):
    result = compress(cnn(), DATA, tmp_path / "m.bundle", target="rpi4", recipe=RECIPE, rounds=1)
    counts = result.preferred.instructions
    assert set(counts) == {"original", "onnxruntime", "litert"}
    best = "litert" if counts["litert"] < engines.WORTH * counts["onnxruntime"] else "onnxruntime"
    assert result.preferred.engine == Session(result.bundle).engine == best
    assert result.after.instructions == counts[best] < counts["original"]
    metrics = Bundle.open(tmp_path / "m.bundle").manifest.metrics
    assert metrics["instructions"] == counts | {"compressed": counts[best]}
