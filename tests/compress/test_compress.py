"""The whole step: a bundle with its measurements, the same bytes each time, and a report to look at."""

import json

import numpy as np
import pytest

from compress import Cluster, Optimize, Quantize, Recipe, compress
from compress.fidelity import compare
from edge_runtime import Bundle, ModelError, Samples, Session
from edge_runtime.__main__ import main
from tests.models import cnn, images

DATA = Samples(images(32), np.arange(32) % 4)


def test_the_bundle_carries_what_was_measured(tmp_path):
    result = compress(
        cnn(), DATA, tmp_path / "m.bundle", emulate=False, rounds=2, labels=("a", "b", "c", "d")
    )
    bundle = Bundle.open(tmp_path / "m.bundle")
    metrics = bundle.manifest.metrics
    assert metrics["agreement"] == round(result.fidelity.agreement, 6)
    assert metrics["n"] == 32
    assert set(metrics["accuracy"]) == {"original", "compressed"}
    assert bundle.manifest.recipe[1]["name"] == "quantize"
    assert result.after.size == (tmp_path / "m.bundle").stat().st_size
    again = Session(bundle).run({"images": DATA.x})["logits"]
    np.testing.assert_allclose(again, result.outputs[1], atol=1e-6)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / name / "m.bundle" for name in ("a", "b")]
    for path in paths:
        compress(cnn(), DATA, path, emulate=False, rounds=1)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_recipe_decides_the_steps(tmp_path):
    made = compress(
        cnn(),
        DATA,
        tmp_path / "m.bundle",
        recipe=Recipe((Quantize(per_channel=False),)),
        emulate=False,
        rounds=1,
    )
    scales = {t.name: t.dims for t in made.model.graph.initializer if t.name == "w2.scale"}
    assert list(scales["w2.scale"]) == []


def test_too_little_agreement_is_refused(tmp_path):
    rough = Recipe((Quantize(weight_bits=2, per_channel=False, bias_correction=False, rounding="nearest"),))
    with pytest.raises(ModelError, match="agrees with the original on"):
        compress(cnn(3), DATA, tmp_path / "m.bundle", recipe=rough, min_agreement=0.5, emulate=False)
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_and_writes_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    from converter.model import save

    save(cnn(), "m.onnx")
    np.savez("d.npz", x=DATA.x, y=DATA.y)
    assert main(["compress", "m.onnx", "--data", "d.npz", "--target", "rpi5", "--no-emulate"]) == 0
    shown = capsys.readouterr().out
    assert "agreement" in shown
    assert "instructions, rpi5" in shown
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7
    assert "http" not in page.replace("http-equiv", "")
    assert main(["compress", "m.onnx", "--data", "d.npz", "--no-emulate", "--json", "-o", "folder"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["compressed"]["bytes"] < 20_000
    assert main(["run", "folder", "--input", "d.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == figures["compressed_accuracy"]


def test_recipes_round_trip(tmp_path):
    recipe = Recipe()
    assert Recipe.from_json(recipe.to_json(), "here") == recipe
    (tmp_path / "r.toml").write_text('[[step]]\nname = "quantize"\nactivation = "int8"\n')
    assert Recipe.load(tmp_path / "r.toml").steps == (Quantize(activation="int8"),)


def test_fidelity_by_hand():
    reference = np.array([[1.0, 0.0], [0.0, 2.0]])
    candidate = np.array([[0.0, 1.0], [0.0, 2.0]])
    found = compare(reference, candidate, np.array([0, 1]))
    assert (found.agreement, found.original_accuracy, found.compressed_accuracy) == (0.5, 1.0, 0.5)
    assert found.sqnr_db == pytest.approx(10 * np.log10(5 / 2))
    assert compare(reference, reference).sqnr_db >= 200


def test_a_coded_bundle_is_smaller_and_the_same_model(tmp_path):
    recipe = Recipe((Optimize(), Cluster(3), Quantize()))
    plain, coded = (
        compress(cnn(), DATA, tmp_path / f"{on}.bundle", recipe=recipe, coded=on, emulate=False, rounds=1)
        for on in (False, True)
    )
    assert Bundle.open(tmp_path / "True.bundle").read("infer.onnx") == plain.bundle.read("infer.onnx")
    assert "infer.onnx" in coded.bundle
    assert coded.after.size < plain.after.size
    again = Session(Bundle.open(tmp_path / "True.bundle")).run({"images": DATA.x})["logits"]
    np.testing.assert_allclose(again, plain.outputs[1], atol=1e-6)
