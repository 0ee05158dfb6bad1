"""Structured pruning: smaller in proportion, valid, trainable, and exact where what was removed did nothing."""

import functools
import importlib.resources

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from compress.fidelity import compare
from compress.pruning.analyse import analyse
from compress.pruning.importance import importance
from compress.pruning.instructions import prices_of
from compress.pruning.linear import linear_layers
from compress.pruning.prepare import prepared
from compress.pruning.prune import Prune, prune, sensitivities, sizes
from compress.pruning.resize import remove
from compress.pruning.sensitivity import table
from compress.pruning.units import Units
from compress.step import Work
from converter.convert import convert
from converter.model import constants, copy, set_constant
from converter.trainable import pack_trainable
from edge_runtime import ModelError, Samples, Session, Target, Trainer, emulator
from edge_runtime.tensors import example
from tests import networks
from tests.models import HEADER, LINEAR, build, cnn, images

FAST = ("lenet", "mobilenetv2", "shufflenetv2", "densenet", "unet", "googlenet", "vit_packed")
CONVOLUTIONAL = (
    *("lenet", "cnn", "vgg", "resnet18", "resnet50", "densenet", "googlenet", "squeezenet", "mobilenetv2"),
    *("mobilenetv3", "shufflenetv2", "unet", "unet_bilinear", "cnn1d"),
)
OTHERS = ("mlp", "transformer", "vit", "vit_packed", "encoder", "bert")
LIGHT = (
    *("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet"),
    *("vgg19", "zfnet512"),
)
ALL = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in (*CONVOLUTIONAL, *OTHERS)
]


@functools.cache
def exported(name):
    torch.manual_seed(0)
    network, shape = networks.resnet18(32, 16) if name == "resnet18" else getattr(networks, name)()
    kind = torch.int64 if name == "bert" else torch.float32
    return convert(network.eval(), example=(torch.zeros(1, *shape, dtype=kind),), trainable=True)


def run(model, seed=0):
    session = Session(model.SerializeToString(), threads=1)
    return next(iter(session.run(example(session.inputs, seed)).values()))


def samples(model, count=12, seed=0):
    """Smooth random signals, which a network passes on better than noise."""
    (spec,) = Session(model.SerializeToString()).inputs
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, *(length for length in spec.shape[1:]))).astype(np.float32)
    return Samples(x + rng.standard_normal((count, *[1] * (x.ndim - 1))).astype(np.float32))


def work(model, count=12, labels=None):
    given = samples(model, count)
    return Work(Samples(given.x, labels), Target.load("rpi4"), model)


def trains(model, folder):
    """Whether one step of training runs, and changes weights."""
    path = folder / "m.bundle"
    trainer = Trainer(pack_trainable(model, path, name="m"), threads=1)
    before = trainer.parameters
    session = Session(model.SerializeToString())
    x = np.concatenate([example(session.inputs, seed)[session.inputs[0].name] for seed in range(2)])
    loss = trainer.step(x, np.array([0, 1]), lr=0.01)
    changed = [name for name, value in trainer.parameters.items() if not np.array_equal(value, before[name])]
    return np.isfinite(loss) and len(changed) > len(before) / 2


@pytest.mark.parametrize("name", ALL)
def test_the_pruned_graph_is_smaller_runs_and_trains(name, tmp_path):
    model = exported(name)
    pruned = prune(model, Prune(0.4, multiple=1, most=0.8))
    before, after = sizes(prepared(model)), sizes(pruned)
    assert 0.45 < after["macs"] / before["macs"] <= 0.6 + 1e-9
    assert after["parameters"] < 0.8 * before["parameters"]
    out = run(pruned)
    assert np.isfinite(out).all()
    assert out.shape == run(model).shape
    assert trains(pruned, tmp_path)


def light(name):
    """A model of ONNX's own tests, in which constants stand for the weights, with weights drawn at random."""
    folder = importlib.resources.files("onnx.backend.test.data") / "light"
    model = onnx.load_from_string((folder / f"light_{name}.onnx").read_bytes())
    known, rng = constants(model.graph), np.random.default_rng(0)
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        shape = known[node.input[0]].tolist()
        value = np.abs(rng.standard_normal(shape)) + 0.5 if len(shape) == 1 else rng.standard_normal(shape)
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 4
        tensor = numpy_helper.from_array((value / np.sqrt(fan_in / 2)).astype(np.float32), node.output[0])
        model.graph.initializer.append(tensor)
        model.graph.node.remove(node)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_models_that_onnx_ships_can_be_pruned(name):
    model = light(name)
    pruned = prune(model, Prune(0.3, multiple=4))
    before, after = sizes(prepared(model)), sizes(pruned)
    assert 0.6 < after["macs"] / before["macs"] <= 0.7 + 1e-9
    assert after["parameters"] < before["parameters"]
    out = run(pruned)
    assert np.isfinite(out).all()
    assert out.shape[:2] == (1, 1000)


def test_a_model_whose_weights_are_made_by_its_graph():
    folder = importlib.resources.files("onnx.backend.test.data") / "light"
    model = onnx.load_from_string((folder / "light_squeezenet.onnx").read_bytes())
    pruned = prune(model, Prune(0.3))
    assert sizes(pruned)["macs"] <= 0.7 * sizes(prepared(model))["macs"]
    assert np.isfinite(run(pruned)).all()


@pytest.mark.parametrize(
    "name",
    [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in CONVOLUTIONAL if n != "googlenet"],
)
def test_channels_that_do_nothing_leave_without_a_trace(name):
    """With every weight of the removed channels at zero, the smaller network computes the same."""
    model = prepared(exported(name))
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


@pytest.mark.parametrize("name", ["vit", "vit_packed", "encoder", "bert"])
def test_whole_attention_heads_are_units(name):
    """A head whose values are projected to nothing leaves without a trace, however the attention is written."""
    model = prepared(exported(name))
    channels = analyse(model)
    units = Units.of(model, channels)
    ties = [(layer, channels.ties.get((layer.weight, layer.input_axis))) for layer in linear_layers(model)]
    heads = [
        (head, layer, tie)
        for layer, tie in ties
        if tie is not None
        for head, count in zip(*np.unique(channels.classes.root(tie.labels), return_counts=True), strict=True)
        if head in units.roots and count in (12, 16, 64)
    ]
    assert heads, "no head can be removed"
    head, layer, tie = heads[0]
    silent = copy(model)
    value = channels.known[tie.name].copy()
    np.moveaxis(value, layer.input_axis, 0)[channels.classes.root(tie.labels) == head] = 0
    set_constant(silent.graph, tie.name, value)
    gone = remove(model, channels, np.array([head]))
    np.testing.assert_allclose(run(gone), run(silent), rtol=1e-3, atol=1e-5)


def test_the_least_important_channel_goes_first():
    model = weak_channel()
    pruned = prune(model, Prune(0.1, multiple=1))
    np.testing.assert_array_equal(
        constants(pruned.graph)["w"], np.delete(constants(model.graph)["w"], 2, axis=1)
    )


def weak_channel():
    model = build(
        HEADER + " m (float[n, 4] x) => (float[n, 2] y) <float[4, 6] w, float[6, 2] v> { h = MatMul(x, w)"
        " r = Relu(h) y = MatMul(r, v) }"
    )
    values = constants(model.graph)["w"].copy()
    values[:, 2] *= 1e-3
    set_constant(model.graph, "w", values)
    return model


def test_widths_stay_a_multiple():
    model = exported("resnet18")
    widths = {t.dims[0] for t in prune(model, Prune(0.5, multiple=8)).graph.initializer if len(t.dims) == 4}
    assert all(width % 8 == 0 for width in widths)


def test_a_residual_is_one_unit():
    channels = analyse(prepared(cnn()))
    first, second = channels.ties["w1", 0].labels, channels.ties["w2", 0].labels
    np.testing.assert_array_equal(channels.classes.root(first), channels.classes.root(second))


def test_the_source_is_not_changed_and_its_names_stay():
    model = cnn()
    before = model.SerializeToString(deterministic=True)
    pruned = prune(model, Prune(0.3, multiple=1))
    assert model.SerializeToString(deterministic=True) == before
    assert Session(pruned.SerializeToString()).run({"images": images(2)})["logits"].shape == (2, 4)


@pytest.mark.parametrize("budget", ["macs", "parameters", "bytes"])
def test_the_budget_is_met_in_its_own_unit(budget):
    model = exported("lenet")
    pruned = prune(model, Prune(0.5, multiple=1, budget=budget))

    def cost(found):
        return len(found.SerializeToString()) if budget == "bytes" else sizes(found)[budget]

    assert 0.4 < cost(pruned) / cost(prepared(model)) < 0.52


@pytest.mark.slow
@pytest.mark.skipif(not emulator.available(), reason="no emulator here: see littoral doctor")
def test_a_budget_in_instructions_is_met_by_count(capsys):
    model = exported("unet")
    prune(model, Prune(0.3, budget="instructions"), work(model, 2))
    last = [line for line in capsys.readouterr().err.splitlines() if "instructions are left" in line][-1]
    assert 0.5 < float(last.rpartition("(")[2].rstrip("%)")) / 100 <= 0.7


def test_known_prices_need_no_emulator(capsys, monkeypatch):
    monkeypatch.setattr(emulator, "count", None)
    model = cnn()
    made = prune(model, Prune(0.3, multiple=1, budget="instructions", prices="xnnpack-int8"))
    assert sizes(made)["macs"] < sizes(model)["macs"]
    assert "of the instructions are gone" in capsys.readouterr().err


def test_prices_of_work_are_found_from_counts():
    rng = np.random.default_rng(0)
    work_done = rng.uniform(1e4, 1e6, (7, 5)) * [1, 0.1, 1, 0.01, 0]
    work_done[:, -1] = 1
    prices = np.array([0.3, 2.0, 0.5, 9.0, 5e4])
    counts = work_done @ prices
    np.testing.assert_allclose(work_done @ prices_of(work_done, counts), counts, rtol=0.01)


# ---------------------------------------------------------------------------------- importance and reconstruction


@pytest.mark.parametrize("criterion", ["taylor", "movement", "reconstruction"])
@pytest.mark.parametrize("labelled", [False, True])
def test_every_criterion_spares_what_matters(criterion, labelled):
    """A channel whose outgoing weights are zero goes first, however large its incoming ones are."""
    model = build(
        HEADER
        + " m (float[n, 4] x) => (float[n, 3] y) <float[4, 8] w, float[8] b, float[8, 3] v, float[3] c>"
        "{ h = Gemm(x, w, b)  r = Relu(h)  y = Gemm(r, v, c) }"
    )
    known = constants(model.graph)
    strong, mute = known["w"].copy(), known["v"].copy()
    strong[:, 5] *= 4
    mute[5] = 0
    set_constant(model.graph, "w", strong)
    set_constant(model.graph, "v", mute)
    labels = np.arange(64) % 3 if labelled else None
    options = Prune(0.1, multiple=1, importance=criterion, reconstruct=False)
    pruned = prune(model, options, work(model, 64, labels))
    kept = constants(pruned.graph)["w"]
    assert kept.shape == (4, 7)
    if criterion != "movement":  # which scores where weights go, not what they do
        np.testing.assert_array_equal(kept, np.delete(strong, 5, axis=1))


@pytest.mark.parametrize("criterion", ["magnitude", "taylor", "movement"])
def test_scores_have_the_shapes_of_the_weights(criterion):
    model = prepared(cnn())
    found = importance(model, criterion, work(model))
    for name, weight in constants(model.graph).items():
        if name in found:
            assert found[name].elements.shape == weight.shape
            assert [len(each) for each in found[name].slices] == list(weight.shape)
            assert np.isfinite(found[name].elements).all()
    assert set(found) == {"w1", "w2", "w3"}


def test_taylor_is_the_square_of_gradient_times_weight():
    """One sample at a time would give the Fisher information; here against PyTorch, for one mini-batch."""
    model = build(
        HEADER + " m (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w, float[3] b> { y = Gemm(x, w, b) }"
    )
    given = samples(model, 8)
    labels = np.arange(8) % 3
    found = importance(model, "taylor", Work(Samples(given.x, labels), Target.load("rpi4"), model))["w"]
    known = {name: torch.tensor(value, requires_grad=True) for name, value in constants(model.graph).items()}
    loss = torch.nn.functional.cross_entropy(
        torch.tensor(given.x) @ known["w"] + known["b"], torch.tensor(labels)
    )
    loss.backward()
    product = (known["w"].grad * known["w"]).detach().double().numpy()
    np.testing.assert_allclose(found.elements, product**2, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(found.slices[1], product.sum(axis=0) ** 2, rtol=1e-3, atol=1e-9)


def duplicated():
    """A network that has every second hidden channel twice: half of it can go for nothing."""
    model = build(
        HEADER
        + " m (float[n, 6] x) => (float[n, 3] y) <float[6, 16] w, float[16] b, float[16, 3] v, float[3] c>"
        "{ h = Gemm(x, w, b)  r = Relu(h)  y = Gemm(r, v, c) }"
    )
    known = constants(model.graph)
    for name, axis in (("w", 1), ("b", 0)):
        value = known[name].copy()
        half = [slice(None)] * value.ndim
        twin = list(half)
        half[axis], twin[axis] = slice(0, None, 2), slice(1, None, 2)
        value[tuple(twin)] = value[tuple(half)]
        set_constant(model.graph, name, value)
    return model


def test_reconstruction_takes_over_what_is_gone():
    """What another channel says too costs nothing when that one takes its place."""
    model = duplicated()
    given, held = work(model, 60), samples(model, 40, 1).x
    options = Prune(0.49, multiple=1, importance="reconstruction", samples=60)
    wanted = Session(model.SerializeToString()).run_batches(held)[0]
    sqnr = {}
    for reconstruct in (False, True):
        chosen = Prune(0.49, multiple=1, importance="reconstruction", samples=60, reconstruct=reconstruct)
        pruned = prune(model, chosen, given)
        sqnr[reconstruct] = compare(wanted, Session(pruned.SerializeToString()).run_batches(held)[0]).sqnr_db
    assert options.reconstruct
    assert sqnr[True] > 20
    assert sqnr[True] > sqnr[False] + 10


@pytest.mark.parametrize("name", ["unet", "lenet", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_reconstruction_brings_outputs_nearer(name):
    model = exported(name)
    given, held = work(model, 48), samples(model, 16, 1).x
    wanted = Session(model.SerializeToString()).run_batches(held)[0]
    found = []
    for reconstruct in (False, True):
        pruned = prune(model, Prune(0.3, multiple=1, reconstruct=reconstruct), given)
        found.append(compare(wanted, Session(pruned.SerializeToString()).run_batches(held)[0]).sqnr_db)
    assert found[1] > found[0] + 1


def test_sensitivities_say_which_layer_bears_least_and_give_it_most():
    model = exported("lenet")
    found = sensitivities(model, Prune(multiple=1, samples=24), work(model, 24))
    assert len(found) == 4
    assert all((np.diff(each.noise) >= 0).all() for each in found)
    assert found[0].layer in table(found)
    held = samples(model, 16, 1).x
    wanted = Session(model.SerializeToString()).run_batches(held)[0]
    sqnr = []
    for allocation in ("global", "sensitivity"):
        pruned = prune(model, Prune(0.5, 1, allocation=allocation, samples=24), work(model, 24))
        assert sizes(pruned)["macs"] <= 0.5 * sizes(prepared(model))["macs"]
        sqnr.append(compare(wanted, Session(pruned.SerializeToString()).run_batches(held)[0]).sqnr_db)
    assert sqnr[1] > sqnr[0]


def test_rounds_score_anew_and_meet_the_same_budget():
    model, seen = exported("lenet"), []

    def between(current):
        seen.append(sizes(current)["macs"])
        return current

    pruned = prune(model, Prune(0.6, multiple=1, rounds=3), between=between)
    whole = sizes(prepared(model))["macs"]
    assert len(seen) == 3
    assert seen == sorted(seen, reverse=True)
    assert 0.3 < sizes(pruned)["macs"] / whole <= 0.4


def test_what_cannot_be_pruned_is_said():
    with pytest.raises(ModelError, match="nothing to prune"):
        prune(build(LINEAR))
    for wrong in (Prune(0), Prune(1.0), Prune(0.5, multiple=0), Prune(0.5, most=0), Prune(rounds=0)):
        with pytest.raises(ModelError, match="amount and most are shares"):
            prune(cnn(), wrong)
    for wrong, sentence in (
        (Prune(budget="joules"), "budget 'joules' is unknown; expected one of macs"),
        (Prune(importance="luck"), "importance 'luck' is unknown"),
        (Prune(allocation="fair"), "allocation 'fair' is unknown"),
        (Prune(importance="taylor"), "needs samples"),
        (Prune(allocation="sensitivity"), "needs samples"),
        (Prune(budget="instructions"), "needs a target"),
        (Prune(prices="dsp"), "expected one of"),
    ):
        with pytest.raises(ModelError, match=sentence):
            prune(cnn(), wrong)
