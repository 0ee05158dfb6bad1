"""The trainer on real digits: it learns, repeats bit for bit, agrees with torch, and exports what it learnt."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import helper, numpy_helper

from converter.trainable import pack_trainable
from edge_runtime.bundle import Bundle, pack
from edge_runtime.data import Samples, batches
from edge_runtime.errors import BundleError, InputError, ModelError
from edge_runtime.session import Session
from edge_runtime.trainer import Trainer, read_parameters, write_parameters
from tests import assets


@cache
def digits() -> tuple[Samples, Samples]:
    """2,000 digits to learn from and 1,000 to test, float32[n, 1, 28, 28] from 0 to 1."""
    assets.locate("digits")
    from examples.digits import load

    train, test = load()
    return Samples(train.x[:2000], train.y[:2000]), test


def lenet(seed: int = 0) -> onnx.ModelProto:
    """Two convolutions, one with batch normalisation, and a linear layer."""
    rng = np.random.default_rng(seed)
    shapes = {"c1": (8, 1, 5, 5), "c2": (16, 8, 3, 3), "fc": (10, 16 * 6 * 6)}
    tensors = {k: rng.standard_normal(s) * np.sqrt(2 / np.prod(s[1:])) for k, s in shapes.items()}
    tensors |= {
        "b1": np.zeros(8),
        "s": np.ones(16),
        "b": np.zeros(16),
        "m": np.zeros(16),
        "v": np.ones(16),
        "bf": np.zeros(10),
    }
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "c1", "b1"], ["a"], strides=[2, 2], pads=[2, 2, 2, 2]),
        make("Relu", ["a"], ["r"]),
        make("Conv", ["r", "c2"], ["d"]),
        make("BatchNormalization", ["d", "s", "b", "m", "v"], ["n"]),
        make("Relu", ["n"], ["q"]),
        make("MaxPool", ["q"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Flatten", ["p"], ["f"]),
        make("Gemm", ["f", "fc", "bf"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lenet",
        [helper.make_tensor_value_info("x", 1, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", 1, ["n", 10])],
        [numpy_helper.from_array(content.astype(np.float32), name) for name, content in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("trainer") / "lenet.bundle"
    return pack_trainable(lenet(), path, name="lenet", momentum=0.9, metrics={"accuracy": 0.1})


def torch_lenet(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    r = F.relu(F.conv2d(x, p["c1"], p["b1"], 2, 2))
    n = F.batch_norm(F.conv2d(r, p["c2"]), p["m"], p["v"], p["s"], p["b"], training=True)
    return F.linear(F.max_pool2d(F.relu(n), 2).flatten(1), p["fc"], p["bf"])


def test_it_learns_digits(bundle: Bundle, tmp_path: Path) -> None:
    train, test = digits()
    trainer = Trainer(bundle, threads=1)
    assert trainer.evaluate(test)["accuracy"] < 0.3
    losses = trainer.fit(train, epochs=3, batch_size=64, lr=0.02)
    assert losses[2] < losses[1] < losses[0]
    found = trainer.evaluate(test)
    assert found["n"] == 1000
    assert found["accuracy"] > 0.93

    exported = trainer.export(tmp_path / "better.bundle")
    logits = Session(exported).run({"x": test.x})["logits"]
    assert (logits.argmax(1) == test.y).mean() == found["accuracy"]
    want = F.cross_entropy(torch.tensor(logits), torch.tensor(test.y)).item()
    assert found["loss"] == pytest.approx(want, rel=1e-5)
    assert exported.manifest.metrics == {}
    onnx.checker.check_model(onnx.load_from_string(exported.read("infer.onnx")), full_check=True)
    again = Trainer(tmp_path / "better.bundle")
    for name, array in trainer.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], array)
    assert again.evaluate(test) == found


def test_the_losses_are_those_of_torch(bundle: Bundle) -> None:
    train, _ = digits()
    few = Samples(train.x[:500], train.y[:500])
    trainer = Trainer(bundle, threads=1)
    p = {k: torch.tensor(v, requires_grad=k not in "mv") for k, v in trainer.parameters.items()}
    solver = torch.optim.SGD([w for w in p.values() if w.requires_grad], 0.02, momentum=0.9)
    for x, y in batches(few, 32, np.random.default_rng(0)):
        solver.zero_grad()
        want = F.cross_entropy(torch_lenet(torch.tensor(x), p), torch.tensor(y))
        want.backward()
        solver.step()
        assert trainer.step(x, y, 0.02) == pytest.approx(want.item(), rel=1e-4)
    mean, variance = trainer.parameters["m"], trainer.parameters["v"]
    np.testing.assert_allclose(mean, p["m"].numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(variance, p["v"].numpy(), rtol=1e-3, atol=1e-4)


def test_a_run_repeats_bit_for_bit(bundle: Bundle) -> None:
    train, _ = digits()
    few = Samples(train.x[:150], train.y[:150])  # the last batch is smaller
    first, second = Trainer(bundle), Trainer(bundle)
    assert first.fit(few, epochs=2, lr=0.02, seed=4) == second.fit(few, epochs=2, lr=0.02, seed=4)
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(second.parameters[name], array)
    assert first.fit(few, seed=5) != second.fit(few, seed=6)


def test_loading_starts_anew(bundle: Bundle) -> None:
    train, _ = digits()
    few = Samples(train.x[:100], train.y[:100])
    trainer = Trainer(bundle)
    start = trainer.parameters
    first = trainer.fit(few)
    kept = {name: array.copy() for name, array in start.items()}
    trainer.load(start)  # after an odd number of steps or not, the momentum is forgotten too
    assert trainer.fit(few) == first
    for name, array in kept.items():
        np.testing.assert_array_equal(start[name], array)  # training never writes into what was handed over


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p | {"fd": p["fc"]}, "parameter 'fd': the model has no such parameter"),
        (lambda p: {k: v for k, v in p.items() if k != "fc"}, "parameter 'fc': missing"),
        (lambda p: p | {"bf": p["bf"][:9]}, r"parameter 'bf': expected float32\[10\], got float32\[9\]"),
        (lambda p: p | {"bf": p["bf"].astype(np.float64)}, r"expected float32\[10\], got float64\[10\]"),
    ],
)
def test_wrong_parameters_change_nothing(bundle: Bundle, change, sentence: str) -> None:
    trainer = Trainer(bundle)
    before = trainer.parameters
    with pytest.raises(InputError, match=sentence):
        trainer.load(change({name: array + 1 for name, array in before.items()}))
    for name, array in trainer.parameters.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (np.zeros((2, 1, 28, 28), np.float32), np.array([0, 10]), "label 10 is not a class .* 0 to 9"),
        (np.zeros((2, 1, 28, 28), np.float32), np.array([0, -1]), "label -1"),
        (np.zeros((2, 1, 28, 28), np.float32), np.array([0, 1, 2]), "as many labels as samples"),
        (
            np.zeros((2, 28, 28), np.float32),
            np.array([0, 1]),
            r"input 'x': expected float32\[batch, 1, 28, 28\]",
        ),
        (np.zeros((2, 1, 28, 28), np.float32), np.array([0.0, 1.0]), "input 'labels': expected int64"),
    ],
)
def test_data_that_does_not_fit(bundle: Bundle, x: np.ndarray, y: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Trainer(bundle).step(x, y, 0.1)


def test_divergence_is_an_error(bundle: Bundle) -> None:
    train, _ = digits()
    with pytest.raises(
        ModelError, match=r"at epoch \d, step \d+: training diverged; lower the learning rate"
    ):
        Trainer(bundle).fit(Samples(train.x[:200] * 1e10, train.y[:200]), lr=1e20, epochs=3)


def test_no_samples_and_no_labels(bundle: Bundle) -> None:
    x = np.zeros((4, 1, 28, 28), np.float32)
    with pytest.raises(InputError, match="training needs labels"):
        Trainer(bundle).fit(Samples(x))
    with pytest.raises(InputError, match="got 0 samples"):
        Trainer(bundle).fit(Samples(x[:0], np.zeros(0, np.int64)))
    with pytest.raises(InputError, match="at least one sample"):
        Trainer(bundle).evaluate(Samples(x[:0], np.zeros(0, np.int64)))


def test_a_bundle_without_a_training_step(bundle: Bundle, tmp_path: Path) -> None:
    plain = pack(tmp_path / "plain.bundle", bundle.manifest, {"infer.onnx": bundle.read("infer.onnx")})
    with pytest.raises(BundleError, match=r"littoral convert MODEL --train -o m\.bundle"):
        Trainer(plain)


def test_a_training_graph_that_does_not_describe_itself(bundle: Bundle, tmp_path: Path) -> None:
    files = {name: bundle.read(name) for name in bundle.manifest.files} | {
        "train.onnx": bundle.read("infer.onnx")
    }
    with pytest.raises(BundleError, match="does not say what its inputs are"):
        Trainer(pack(tmp_path / "odd.bundle", bundle.manifest, files))


def test_regression_and_adam(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4)).astype(np.float32)
    y = (x @ rng.standard_normal((4, 2)) + 1).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", 1, ["n", 4])],
        [helper.make_tensor_value_info("y", 1, ["n", 2])],
        [numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in (("w", (4, 2)), ("b", (2,)))],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    trainer = Trainer(pack_trainable(made, tmp_path / "m.bundle", name="m", loss="mse", optimizer="adam"))
    losses = trainer.fit(Samples(x, y), epochs=40, lr=0.05)
    assert losses[-1] < 1e-3 * losses[0]
    found = trainer.evaluate(Samples(x, y))
    assert set(found) == {"loss", "n"}
    assert found["loss"] < 1e-3 * losses[0]


def test_gradients_change_nothing_and_apply_is_a_step(tmp_path: Path) -> None:
    train, _ = digits()
    x, y = train.x[:32], train.y[:32]
    bundle = pack_trainable(lenet(), tmp_path / "m.bundle", name="m", gradients=True)
    stepped, applied = Trainer(bundle, threads=1), Trainer(bundle, threads=1)
    before = applied.parameters
    loss, gradients = applied.gradients(x, y)
    for name, array in applied.parameters.items():
        np.testing.assert_array_equal(array, before[name])
    assert set(gradients) == set(before) - {"m", "v"}
    assert loss == stepped.step(x, y, 0.1)
    applied.apply(gradients, 0.1)
    for name, array in stepped.parameters.items():  # the running statistics too
        np.testing.assert_array_equal(applied.parameters[name], array)
    with pytest.raises(InputError, match="gradient 'm2': the model has no such"):
        applied.apply({"m2": gradients["b1"]}, 0.1)


def test_micro_batches_add_up_to_the_batch(tmp_path: Path) -> None:
    """Without batch normalisation, which sees the micro-batch alone, the step is the same."""
    train, _ = digits()
    model = lenet()
    norm = next(node for node in model.graph.node if node.op_type == "BatchNormalization")
    norm.CopyFrom(helper.make_node("Identity", ["d"], ["n"]))
    whole, parts = (
        Trainer(
            pack_trainable(model, tmp_path / f"{k}.bundle", name="m", momentum=0.9, micro_batch=k), threads=1
        )
        for k in (0, 6)
    )
    for start in range(0, 320, 32):  # five micro-batches of 6, and one of 2
        x, y = train.x[start : start + 32], train.y[start : start + 32]
        assert parts.step(x, y, 0.05) == pytest.approx(whole.step(x, y, 0.05), rel=1e-5)
    for name, array in whole.parameters.items():
        np.testing.assert_allclose(parts.parameters[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("micro_batch", [0, 16])
def test_the_penalty_pulls_towards_the_anchor(tmp_path: Path, micro_batch: int) -> None:
    train, _ = digits()
    x, y = train.x[:32], train.y[:32]
    arguments = {"penalty": True, "gradients": True, "micro_batch": micro_batch}
    bundle = pack_trainable(lenet(), tmp_path / "m.bundle", name="m", **arguments)
    trainer = Trainer(bundle, threads=1)
    free_loss, free = trainer.gradients(x, y)
    weights = trainer.parameters
    importance = {"fc": np.full_like(weights["fc"], 2.0)}
    trainer.anchor(importance, {"fc": weights["fc"] - 0.5}, strength=3.0)
    loss, held = trainer.gradients(x, y)
    assert loss == pytest.approx(free_loss + 3 / 2 * 2 * 0.25 * weights["fc"].size, rel=1e-5)
    np.testing.assert_allclose(held["fc"], free["fc"] + 3 * 2 * 0.5, rtol=1e-5)
    np.testing.assert_allclose(held["c1"], free["c1"], rtol=1e-6)
    assert trainer.step(x, y, 0.01) == loss
    trainer.load(weights)
    trainer.anchor({}, {}, 0.0)
    assert trainer.gradients(x, y)[0] == free_loss
    with pytest.raises(InputError, match="anchor 'fc': missing"):
        trainer.anchor(importance, {}, 1.0)


def test_what_was_not_packed_is_said(bundle: Bundle) -> None:
    trainer = Trainer(bundle)
    x = np.zeros((2, 1, 28, 28), np.float32)
    with pytest.raises(BundleError, match="gradients=True"):
        trainer.gradients(x, np.array([0, 1]))
    with pytest.raises(BundleError, match="penalty=True"):
        trainer.anchor({}, {}, 1.0)


def test_corrections_of_biases_are_of_the_old_weights(tmp_path: Path) -> None:
    """They may have given a layer a bias that the float model has not; it must follow the weight's scale."""
    from compress.quantization.quantize import quantize
    from converter.optimize import optimize

    train, test = digits()
    model = optimize(lenet())
    bundle = pack_trainable(model, tmp_path / "m.bundle", name="m", quantized=quantize(model, train.x[:100]))
    trainer = Trainer(bundle)
    trainer.fit(train, epochs=1, lr=0.05)
    logits = Session(trainer.export(tmp_path / "better.bundle")).run({"x": test.x})["logits"]
    assert (logits.argmax(1) == trainer.predict(test.x).argmax(1)).mean() > 0.95


def test_a_quantised_model_of_another_float_one_is_refused(tmp_path: Path) -> None:
    from compress.quantization.quantize import quantize
    from converter.optimize import optimize

    folded = quantize(optimize(lenet()), np.zeros((4, 1, 28, 28), np.float32))
    with pytest.raises(ModelError, match="batch normalisation folded"):
        pack_trainable(lenet(), tmp_path / "m.bundle", name="m", quantized=folded)


def test_parameters_as_bytes_are_reproducible_and_any_name_will_do() -> None:
    arrays = {
        "file": np.arange(3.0),
        "a/b.weight": np.ones((2, 2), np.float32),
        "scalar": np.array(2.0, np.float32),
    }
    content = write_parameters(arrays)
    assert content == write_parameters({name: array.copy() for name, array in arrays.items()})
    for name, array in read_parameters(content, "here").items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.shape == arrays[name].shape
    with pytest.raises(BundleError, match=r"here: params\.npz is not"):
        read_parameters(content[:50], "here")
