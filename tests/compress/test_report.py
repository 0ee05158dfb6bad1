"""The report's tables: layers found and measured in whatever form they are, answers that changed, the frontier."""

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
from converter.model import constants, copy, set_constant
from tests.models import cnn, images

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
