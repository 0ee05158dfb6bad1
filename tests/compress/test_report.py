"""The report's tables: layers found and measured in whatever form they are, answers that changed, the frontier."""

import json

import numpy as np
import pytest

from compress import Prune, Quantize
from compress.fidelity import Fidelity
from compress.pruning.prune import prune
from compress.quantization.quantize import quantize
from compress.recipe import Recipe
from compress.report import confusion, frontier, layers
from compress.search.price import Price
from compress.search.space import Choice
from compress.search.trial import Found, Trial
from converter import optimize
from converter.model import constants, copy, save, set_constant
from edge_runtime import Bundle
from edge_runtime.__main__ import main
from tests.models import HEADER, build, cnn, images

SOURCE = optimize(cnn())


def test_layers_are_compared_in_the_form_in_which_they_are_stored():
    found = layers.layers(SOURCE, quantize(SOURCE, images(32), Quantize(bias_correction=False)), images(4))
    assert [layer.before.op for layer in found] == ["Conv", "Conv", "Gemm"]
    assert all(layer.after.stored < layer.before.stored for layer in found)
    assert all(30 < layer.weight_sqnr < 70 for layer in found)
    assert all(20 < layer.output_sqnr <= 150 for layer in found)


def test_multiply_accumulates_by_hand():
    first, second, third = layers.layers(SOURCE, SOURCE)
    assert first.before.macs == 8 * 8 * 6 * 27
    assert second.before.macs == 8 * 8 * 6 * 9
    assert third.before.macs == 6 * 4
    assert first.weight_sqnr == 150


def test_the_layer_that_was_damaged_is_the_sensitive_one():
    damaged = copy(SOURCE)
    set_constant(damaged.graph, "w3", np.round(constants(damaged.graph)["w3"]))
    found = {layer.name: layer for layer in layers.layers(SOURCE, damaged, images(8))}
    assert found["w3"].output_sqnr < 40
    assert all(layer.output_sqnr == 150 for name, layer in found.items() if name != "w3")


def test_a_pruned_layer_has_no_error_but_a_price():
    found = layers.layers(SOURCE, prune(SOURCE, Prune(amount=0.3, multiple=1)), images(4))
    smaller = [layer for layer in found if layer.after.values.shape != layer.before.values.shape]
    assert smaller
    assert all(layer.weight_sqnr is None and layer.after.macs < layer.before.macs for layer in smaller)


def test_changed_answers_are_counted():
    pair = (np.array([0, 1, 1, 2, 2]), np.array([0, 2, 2, 2, 0]))
    assert confusion.changed(pair, ("a", "b", "c")) == [("b", "c", 2), ("c", "a", 1)]
    assert confusion.matrix(*pair, 3).tolist() == [[1, 0, 0], [0, 0, 2], [1, 0, 1]]


def trial(drop: float, latency: float, size: float = 1.0) -> Trial:
    found = Fidelity(1 - drop, 30.0, 100)
    return Trial(Choice(0.0, "int8"), 0, Recipe(()), found, Price(size, latency, None, "here"))


def test_the_frontier_holds_what_nothing_betters():
    trials = [trial(0.1, 1), trial(0.0, 4), trial(0.05, 2), trial(0.06, 3), trial(0.0, 5)]
    kept = frontier.frontier(trials, "latency_ms")
    assert [t.price.latency_ms for t in kept] == [1, 2, 4]
    rows = frontier.rows(Found(tuple(trials), (), (trials[2],), Price(4, 6, None, "here")))
    assert rows[0][-1] == "chosen"
    assert rows[0][2] == "0.0500"


def test_no_answer_changed():
    same = np.array([1, 2, 3])
    assert confusion.changed((same, same), ()) == []
    assert pytest.approx(layers.sqnr(same, same + 0.1 * same), abs=1e-6) == 20.0


def test_the_noisiest_layers_are_measured_and_the_page_says_which(monkeypatch):
    damaged = copy(SOURCE)
    set_constant(damaged.graph, "w3", np.round(constants(damaged.graph)["w3"]))
    found = layers.layers(SOURCE, damaged, images(4), most=1)
    assert [layer.name for layer in found if layer.output_sqnr is not None] == ["w3"]
    assert "was measured for 1 of 3 layers" in layers.coverage(found)
    assert layers.coverage(layers.layers(SOURCE, damaged, images(4))) == ""
    monkeypatch.setattr(layers.time, "monotonic", iter(range(0, 1000, 30)).__next__)
    assert not any(each.output_sqnr for each in layers.layers(SOURCE, damaged, images(4), seconds=20))


def test_a_report_that_fails_costs_no_bundle(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(cnn(), "m.onnx")
    np.save("d.npy", images(16))
    command = ["compress", "m.onnx", "--data", "d.npy", "--no-emulate", "-o", "m.bundle"]

    def fail(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr("compress.report.pictures.cost", fail)
    assert main([*command, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["report"] is None
    assert "warning: the bundle is complete, its report could not be written: no font" in shown.err
    assert Bundle.open("m.bundle").manifest.metrics["n"] == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.npy", "m.bundle", "m.onnx"]
    assert main(command) == 0
    assert "report not written" in capsys.readouterr().out


def test_a_report_in_the_place_of_a_folder_is_refused_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(cnn(), "m.onnx")
    np.save("d.npy", images(16))
    assert main(["compress", "m.onnx", "--data", "d.npy", "--report", ".", "-o", "m.bundle"]) == 2
    assert "is a folder; expected the name of an HTML page" in capsys.readouterr().err
    assert not (tmp_path / "m.bundle").exists()


def test_many_ways_to_one_value_cost_no_time():
    """Sixty sums of a value with itself: followed way by way, as 2^60, this would not end."""
    sums = " ".join(f"a{k + 1} = Add(a{k}, a{k})" for k in range(60))
    model = build(
        HEADER + " m (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w>"
        "{ t = Transpose(x) z = MatMul(x, t) a0 = Tanh(z) "
        + sums
        + " m = MatMul(z, a60) u = MatMul(m, x) y = MatMul(u, w) }"
    )
    assert list(layers.weights(model)) == ["w"]
