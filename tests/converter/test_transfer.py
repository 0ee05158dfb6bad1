"""Graph surgery: a new head, the last layers, the cut and the join; and bundles that learn in stages."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compress.quantization.quantize import quantize
from converter.autodiff.losses import CrossEntropy
from converter.model import to_bytes
from converter.optimize import optimize
from converter.trainable import pack_trainable
from converter.transfer import (
    OldAndNew,
    cuts,
    join,
    last_layers,
    pack_split,
    pack_stages,
    replace_head,
    split,
)
from converter.transfer.layers import weighted_layers
from edge_runtime.__main__ import main
from edge_runtime.bundle import Bundle
from edge_runtime.continual.distilled import UNKNOWN
from edge_runtime.data import Samples
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.trainer import Trainer
from edge_runtime.training.features import FeatureCache
from edge_runtime.training.stages import select, stages
from tests.models import HEADER, LINEAR, build, cnn, images


def initializer(model, name):
    (found,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    return numpy_helper.to_array(found)


def test_layers_are_counted_with_their_bias_and_normalisation():
    assert weighted_layers(cnn()) == [["w1", "b1", "gamma", "beta"], ["w2", "b2"], ["w3", "b3"]]
    assert last_layers(cnn(), 1) == ["w3", "b3"]
    assert last_layers(cnn(), 2) == ["w2", "b2", "w3", "b3"]


@pytest.mark.parametrize("k", [0, 4])
def test_there_are_only_so_many_layers(k):
    with pytest.raises(ModelError, match="3 layers"):
        last_layers(cnn(), k)


def test_a_new_head_has_its_classes_and_keeps_the_rest():
    made = replace_head(cnn(), 7, seed=1)
    assert Session(to_bytes(made)).run({"images": images(3)})["logits"].shape == (3, 7)
    weight, bias = initializer(made, "w3"), initializer(made, "b3")
    assert weight.shape == (6, 7)
    assert 0 < np.abs(weight).max() <= np.sqrt(6 / (6 + 7))
    assert bias.shape == (7,)
    assert not bias.any()
    np.testing.assert_array_equal(initializer(made, "w1"), initializer(cnn(), "w1"))
    np.testing.assert_array_equal(weight, initializer(replace_head(cnn(), 7, seed=1), "w3"))
    assert (weight != initializer(replace_head(cnn(), 7, seed=2), "w3")).any()


@pytest.mark.parametrize(
    ("body", "shapes"),
    [
        ("p = MatMul(x, w)  q = Add(p, b)  y = Softmax(q)", "float[4, 3] w, float[3] b"),
        ("q = Gemm<transB = 1>(x, w, b)  y = LogSoftmax(q)", "float[3, 4] w, float[3] b"),
        ("y = MatMul(x, w)", "float[4, 3] w"),
    ],
)
def test_the_head_is_found_behind_what_follows_it(body, shapes):
    model = build(f"{HEADER} m (float[n, 4] x) => (float[n, 3] y) <{shapes}> {{ {body} }}")
    made = replace_head(model, 5)
    assert Session(to_bytes(made)).run({"x": np.zeros((2, 4), np.float32)})["y"].shape == (2, 5)


def test_a_convolution_may_be_the_head():
    model = build(
        f"{HEADER} m (float[n, 2, 4, 4] x) => (float[n, 3] y) <float[3, 2, 1, 1] w, float[3] b> "
        "{ c = Conv(x, w, b)  r = Relu(c)  g = GlobalAveragePool(r)  y = Flatten(g) }"
    )
    made = replace_head(model, 5)
    assert Session(to_bytes(made)).run({"x": np.zeros((2, 2, 4, 4), np.float32)})["y"].shape == (2, 5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("y = Tanh(x)", "ends in Tanh"),
        ("t = Transpose(w)  p = MatMul(x, t)  y = Add(p, x)", "no output layer|constant weight"),
        ("p = MatMul(x, w)  q = MatMul(p, w)  y = Relu(q)", "tied"),
    ],
)
def test_where_there_is_no_head_it_says_so(body, said):
    model = build(f"{HEADER} m (float[n, 4] x) => (float[n, 4] y) <float[4, 4] w> {{ {body} }}")
    with pytest.raises(ModelError, match=said):
        replace_head(model, 5)


def test_no_classes_are_too_few():
    with pytest.raises(ModelError, match="at least one"):
        replace_head(cnn(), 0)


def test_a_residual_cannot_be_cut_within():
    assert cuts(cnn()) == ["c1", "n1", "r1", "s", "p", "g", "f"]


def test_the_cut_is_the_last_before_what_trains():
    backbone, head = split(cnn())
    assert backbone.graph.output[0].name == head.graph.input[0].name == "f"
    assert [node.op_type for node in head.graph.node] == ["Gemm"]
    assert {tensor.name for tensor in head.graph.initializer} == {"w3", "b3"}
    backbone, _ = split(cnn(), trainable=last_layers(cnn(), 2))
    assert backbone.graph.output[0].name == "r1"


@pytest.mark.parametrize("at", ["c1", "r1", "s", "p", "f"])
def test_parts_joined_are_the_whole(at):
    backbone, head = split(cnn(), at)
    x = images(5)
    want = Session(to_bytes(cnn())).run({"images": x})["logits"]
    features = Session(to_bytes(backbone)).run({"images": x})[at]
    got = Session(to_bytes(head)).run({at: features})["logits"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    got = Session(to_bytes(join(backbone, head))).run({"images": x})["logits"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_shape_that_only_a_run_tells_is_measured():
    model = build(
        f"{HEADER} m (float[n, 2, 3] x) => (float[n, 4] y) <float[3, 3] v, float[6, 4] w, int64[1] one = {{-1}}> "
        "{ h = MatMul(x, v)  s = Shape(h)  t = Shape<start = 0, end = 1>(h)  k = Concat<axis = 0>(t, one)"
        "  f = Reshape(h, k)  y = MatMul(f, w) }"
    )
    backbone, head = split(model)
    assert head.graph.input[0].name == "f"
    assert [d.dim_value for d in backbone.graph.output[0].type.tensor_type.shape.dim[1:]] == [6]


def test_axes_other_than_the_batch_first_are_passed_over():
    model = build(
        f"{HEADER} m (float[n, 3] x) => (float[n, 4] y) <float[3, 5] v, float[5, 4] w> "
        "{ h = MatMul(x, v)  t = Transpose(h)  f = Transpose(t)  r = Transpose(f)  q = Transpose(r) y = MatMul(q, w) }"
    )
    assert split(model)[0].graph.output[0].name == "q"
    with pytest.raises(ModelError, match="need a batch"):
        split(model, "t")


@pytest.mark.parametrize(
    ("at", "trainable", "said"),
    [
        ("c2", None, "cannot cut at 'c2'"),
        ("nowhere", None, "cannot cut"),
        ("g", ["w1"], "comes before it and trains"),
        (None, ["w1"], "nothing to run once"),
        (None, ["w9"], "no node uses"),
    ],
)
def test_where_it_cannot_be_cut_it_says_so(at, trainable, said):
    with pytest.raises(ModelError, match=said):
        split(cnn(), at, trainable)


def test_parts_of_two_splits_do_not_join():
    with pytest.raises(ModelError, match="not of one split"):
        join(split(cnn(), "p")[0], split(cnn(), "g")[1])


def test_names_that_an_optimiser_invents_do_not_collide():
    backbone, head = split(cnn())
    backbone.graph.node[0].output[0] = backbone.graph.node[1].input[0] = "w3"
    want = Session(to_bytes(cnn())).run({"images": images(2)})["logits"]
    got = Session(to_bytes(join(backbone, head))).run({"images": images(2)})["logits"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    model = replace_head(cnn(), 3)
    return (
        pack_split(model, folder / "head.bundle", name="m"),
        pack_split(model, folder / "all.bundle", name="m", whole=True),
    )


def test_a_split_bundle_learns_on_features_and_runs_on_data(bundles, tmp_path):
    bundle = bundles[0]
    assert list(stages(bundle)) == ["head"]
    assert [spec.name for spec in bundle.manifest.inputs] == ["images"]
    kinds = {node.op_type for node in onnx.load_model_from_string(bundle.read("backbone.onnx")).graph.node}
    assert "BatchNormalization" not in kinds, "nothing in a frozen backbone changes, so it is folded"
    x, y = images(32), np.arange(32) % 3
    features = Session(bundle.read("backbone.onnx")).run({"images": x})["f"]
    trainer = Trainer(bundle)
    losses = [trainer.step(features, y, 0.1) for _ in range(30)]
    assert losses[-1] < losses[0]
    learnt = trainer.export(tmp_path / "learnt.bundle")
    got = Session(learnt).run({"images": x})["logits"]
    np.testing.assert_allclose(got, trainer.predict(features), rtol=1e-5, atol=1e-5)
    assert (got != Session(bundle).run({"images": x})["logits"]).any()


def test_the_same_model_gives_the_same_bundle(bundles, tmp_path):
    again = pack_split(replace_head(cnn(), 3), tmp_path / "head.bundle", name="m")
    assert again.path.read_bytes() == bundles[0].path.read_bytes()


def test_a_bundle_may_have_two_stages(bundles):
    bundle = Bundle.open(bundles[1].path)
    found = stages(bundle)
    assert list(found) == ["head", "all"]
    assert set(Trainer(select(bundle, found["head"])).parameters) == {"w3", "b3"}
    everything = Trainer(select(bundle, found["all"])).parameters
    assert {"w1", "mean", "var", "w3"} <= set(everything)


def test_parts_of_other_models_do_not_make_a_bundle(tmp_path):
    backbone, head = split(cnn())
    packed = pack_trainable(head, tmp_path / "head", name="m")
    with pytest.raises(ModelError, match="not of one split"):
        pack_stages(tmp_path / "m.bundle", split(cnn(), "p")[0], packed)
    assert not (tmp_path / "m.bundle").exists()
    assert backbone.graph.output[0].name == "f"


def test_the_head_learns_on_what_a_quantised_backbone_gives(bundles, tmp_path):
    backbone, head = split(replace_head(cnn(), 3))
    small = quantize(optimize(backbone), images(64))
    packed = pack_trainable(head, tmp_path / "head", name="m")
    bundle = pack_stages(tmp_path / "m.bundle", small, packed)
    assert b"DequantizeLinear" in bundle.read("infer.onnx")
    x, y = images(16), np.arange(16) % 3
    features = FeatureCache(bundle, Samples(x, y)).samples
    trainer = Trainer(bundle)
    trainer.fit(features, epochs=5)
    got = Session(trainer.export(tmp_path / "e.bundle")).run({"images": x})["logits"]
    np.testing.assert_allclose(got, trainer.predict(features.x), rtol=1e-4, atol=1e-4)
    whole = pack_trainable(replace_head(cnn(), 3), tmp_path / "all", name="m")
    with pytest.raises(ModelError, match="quantised"):
        pack_stages(tmp_path / "n.bundle", small, packed, whole)


def gradient(loss, answers=None):
    """Loss and gradient of the linear model's weight for eight samples."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(pack_trainable(build(LINEAR), folder, name="l", loss=loss, gradients=True))
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    extra = {} if answers is None else {"answers": answers}
    return trainer.gradients(x, np.full(8, 2), **extra), trainer.predict(x)


def test_old_and_new_is_cross_entropy_while_nothing_is_old():
    (want, wanted), _ = gradient(CrossEntropy())
    (loss, found), _ = gradient(OldAndNew(), np.full((8, 3), UNKNOWN, np.float32))
    assert loss == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(found["w"], wanted["w"], rtol=1e-5, atol=1e-7)


def test_old_and_new_holds_the_old_classes_where_they_were():
    _, logits = gradient(CrossEntropy())
    own = logits.copy()
    own[:, 2] = UNKNOWN
    (loss, found), _ = gradient(OldAndNew(), own)
    assert loss == pytest.approx(0, abs=1e-6), "the model's own answers, and one new class"
    np.testing.assert_allclose(found["w"], 0, atol=1e-6)
    other = own + np.array([1, 0, 0], np.float32)
    (loss, found), _ = gradient(OldAndNew(), other)
    assert loss > 0.01
    assert np.abs(found["w"][:, 2]).max() < 1e-6, "the new class is no part of it"


def test_the_command_makes_a_bundle(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    onnx.save(cnn(), "m.onnx")
    argv = ["adapt", "m.onnx", "--classes", "5", "--last", "2", "--whole", "-o", "m.bundle", "--json"]
    assert main(argv) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["stages"] == ["head", "all"]
    assert said["cut"] == "r1"
    assert said["trainable"] == ["w2", "b2", "w3", "b3"]
    assert said["parameters"] == 6 * 9 + 6 + 6 * 5 + 5
    assert Bundle.open("m.bundle").manifest.outputs[0].shape[-1] == 5


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--classes", "0"], "at least one"),
        (["--last", "9"], "3 layers"),
        (["--split", "c2"], "cannot cut"),
        (["--classes", "2", "--labels", "a,b,c"], "names 3 classes"),
    ],
)
def test_bad_use_of_the_command_is_one_sentence(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    onnx.save(cnn(), "m.onnx")
    assert main(["adapt", "m.onnx", "-o", "m.bundle", *argv]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "m.bundle").exists()
