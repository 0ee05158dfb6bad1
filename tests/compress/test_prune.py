"""Structured pruning: smaller in proportion, valid, and exact where what was removed did nothing."""

import functools

import numpy as np
import pytest
import torch

from compress.pruning.channel_rules import analyse
from compress.pruning.prune import Prune, Units, prune, remove, sizes
from converter.convert import convert
from converter.model import copy, set_constant
from converter.optimize import optimize
from edge_runtime import ModelError, Session
from edge_runtime.profile import example
from tests import networks
from tests.models import HEADER, LINEAR, build, cnn, images

CONVOLUTIONAL = (
    *("lenet", "cnn", "mobilenetv2", "resnet18", "mobilenetv3", "shufflenetv2", "densenet", "unet"),
    *("unet_bilinear", "cnn1d"),
)


@functools.cache
def exported(name):
    torch.manual_seed(0)
    network, shape = getattr(networks, name)()
    kind = torch.int64 if name == "bert" else torch.float32
    return convert(network.eval(), example=(torch.zeros(1, *shape, dtype=kind),), trainable=True)


def run(model, seed=0):
    session = Session(model.SerializeToString())
    return next(iter(session.run(example(session.inputs, seed)).values()))


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, "mlp", "transformer", "vit", "bert"])
@pytest.mark.parametrize("amount", [0.4])
def test_the_pruned_graph_is_smaller_and_runs(name, amount):
    model = exported(name)
    pruned = prune(model, Prune(amount, multiple=1, most=0.8))
    before, after = sizes(optimize(model, trainable=True)), sizes(pruned)
    assert 0.45 < after["macs"] / before["macs"] <= 1 - amount + 1e-9
    assert after["parameters"] < 0.8 * before["parameters"]
    out = run(pruned)
    assert np.isfinite(out).all()
    assert out.shape == run(model).shape


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_channels_that_do_nothing_leave_without_a_trace(name):
    """With every weight of the removed channels at zero, the smaller network computes the same."""
    model = optimize(exported(name), trainable=True)
    channels = analyse(model)
    roots = np.random.default_rng(0).choice(Units.of(model, channels).roots, 20, replace=False)
    silent = copy(model)
    values = {}
    for (weight, axis), tie in channels.ties.items():
        value = values.get(weight, channels.known[weight]).copy()
        gone = np.isin(channels.classes.root(tie.labels), roots)
        value[(slice(None),) * axis + (gone,)] = 0
        values[weight] = value
    for weight, value in values.items():
        set_constant(silent.graph, weight, value)
    np.testing.assert_allclose(run(remove(model, channels, roots)), run(silent), rtol=1e-4, atol=1e-6)


def test_the_least_important_channel_goes_first():
    model = build(
        HEADER + " m (float[n, 4] x) => (float[n, 2] y) <float[4, 6] w, float[6, 2] v> { h = MatMul(x, w)"
        " r = Relu(h) y = MatMul(r, v) }"
    )
    weak = np.array(model.graph.initializer[0].raw_data)
    values = np.frombuffer(weak.tobytes(), np.float32).reshape(4, 6).copy()
    values[:, 2] *= 1e-3
    set_constant(model.graph, "w", values)
    pruned = prune(model, Prune(0.1, multiple=1))
    kept = next(t for t in pruned.graph.initializer if t.name == "w")
    np.testing.assert_array_equal(
        np.frombuffer(kept.raw_data, np.float32).reshape(4, 5), np.delete(values, 2, axis=1)
    )


def test_widths_stay_a_multiple():
    model = exported("resnet18")
    widths = {t.dims[0] for t in prune(model, Prune(0.5, multiple=8)).graph.initializer if len(t.dims) == 4}
    assert all(width % 8 == 0 for width in widths)


def test_a_residual_is_one_unit():
    channels = analyse(optimize(cnn(), trainable=True))
    first, second = channels.ties["w1", 0].labels, channels.ties["w2", 0].labels
    np.testing.assert_array_equal(channels.classes.root(first), channels.classes.root(second))


def test_the_source_is_not_changed_and_its_names_stay():
    model = cnn()
    before = model.SerializeToString(deterministic=True)
    pruned = prune(model, Prune(0.3, multiple=1))
    assert model.SerializeToString(deterministic=True) == before
    assert Session(pruned.SerializeToString()).run({"images": images(2)})["logits"].shape == (2, 4)


def test_what_cannot_be_pruned_is_said():
    with pytest.raises(ModelError, match="nothing to prune"):
        prune(build(LINEAR))
    for wrong in (Prune(0), Prune(1.0), Prune(0.5, multiple=0), Prune(0.5, most=0)):
        with pytest.raises(ModelError, match="amount and most are shares"):
            prune(cnn(), wrong)
