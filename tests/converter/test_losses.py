"""Every loss against torch: its value, and its gradient by one step of plain descent."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import helper, numpy_helper, parser

from converter.autodiff import losses
from converter.differentiate import differentiate
from converter.trainable import pack_trainable
from edge_runtime.data import Samples
from edge_runtime.errors import InputError, ModelError
from edge_runtime.trainer import Trainer

N, FEATURES, CLASSES = 12, 5, 4
RNG = np.random.default_rng(3)
X = RNG.standard_normal((N, FEATURES)).astype(np.float32)
INTEGERS = RNG.integers(0, CLASSES, N)
NUMBERS = RNG.standard_normal((N, CLASSES)).astype(np.float32)
BITS = (NUMBERS > 0).astype(np.float32)
TEACHER = RNG.standard_normal((N, CLASSES)).astype(np.float32)
WEIGHTS = (0.5, 1.0, 2.0, 4.0)


def linear(last: str = "") -> onnx.ModelProto:
    """Logits, or with `last` what that operator makes of them."""
    content = np.random.default_rng(0).standard_normal((FEATURES, CLASSES)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z" if last else "y"])]
    if last:
        nodes.append(helper.make_node(last, ["z"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", 1, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", 1, ["n", CLASSES])],
        [numpy_helper.from_array(content, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def distances(x: torch.Tensor) -> torch.Tensor:
    square = (x * x).sum(1)
    return ((square[:, None] + square[None] - 2 * x @ x.T).clamp(min=0) + 1e-12).sqrt()


def triplet(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    d, same = distances(x), y[:, None] == y[None]
    alike = same & ~torch.eye(len(y), dtype=torch.bool)
    farthest = torch.where(alike, d, torch.zeros(())).amax(1)
    nearest = torch.where(same, torch.full((), 1e30), d).amin(1)
    return (F.relu(farthest - nearest + 1) * alike.any(1)).mean()


def contrastive(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    d, same = distances(x), y[:, None] == y[None]
    each = torch.where(same, d**2, F.relu(3 - d) ** 2) / 2
    pairs = ~torch.eye(len(y), dtype=torch.bool)
    return each[pairs].mean()


def distilled(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    soft = F.kl_div(F.log_softmax(z / 3, 1), F.softmax(torch.tensor(TEACHER) / 3, 1), reduction="batchmean")
    return 0.3 * F.cross_entropy(z, y) + 0.7 * 9 * soft


CASES = {
    "cross_entropy": ("cross_entropy", INTEGERS, F.cross_entropy),
    "smoothed": (
        losses.CrossEntropy(smoothing=0.2),
        INTEGERS,
        lambda z, y: F.cross_entropy(z, y, label_smoothing=0.2),
    ),
    "weighted": (
        losses.CrossEntropy(weights=WEIGHTS),
        INTEGERS,
        lambda z, y: F.cross_entropy(z, y, torch.tensor(WEIGHTS)),
    ),
    "weighted and smoothed": (
        losses.CrossEntropy(0.1, WEIGHTS),
        INTEGERS,
        lambda z, y: F.cross_entropy(z, y, torch.tensor(WEIGHTS), label_smoothing=0.1),
    ),
    "binary": ("binary_cross_entropy", BITS, F.binary_cross_entropy_with_logits),
    "mse": ("mse", NUMBERS, F.mse_loss),
    "mae": ("mae", NUMBERS, F.l1_loss),
    "huber": (losses.Huber(0.7), NUMBERS, lambda z, y: F.huber_loss(z, y, delta=0.7)),
    "distillation": (losses.Distillation(0.7, 3.0), INTEGERS, distilled),
    "triplet": ("triplet", INTEGERS, triplet),
    "contrastive": (losses.Contrastive(3.0), INTEGERS, contrastive),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_torch(case: str, tmp_path: Path) -> None:
    loss, y, reference = CASES[case]
    bundle = pack_trainable(linear(), tmp_path / "m.bundle", name="m", loss=loss, gradients=True)
    trainer = Trainer(bundle, threads=1)
    w = torch.tensor(trainer.parameters["w"], requires_grad=True)
    want = reference(torch.tensor(X) @ w, torch.tensor(y))
    want.backward()
    extra = {"teacher": TEACHER} if case == "distillation" else {}
    got, gradient = trainer.gradients(X, y, **extra)
    assert got == pytest.approx(want.item(), rel=1e-5)
    np.testing.assert_allclose(gradient["w"], w.grad.numpy(), rtol=2e-5, atol=2e-6)
    assert trainer.evaluate(Samples(X, y), extra=extra)["loss"] == pytest.approx(got, rel=1e-5)
    assert trainer.step(X, y, 0.1, extra=extra) == got
    np.testing.assert_allclose(trainer.parameters["w"], (w - 0.1 * w.grad).detach().numpy(), rtol=1e-5)


def test_a_loss_over_pixels(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    pixels (float[n,2,3,3] x) => (float[n,4,3,3] y) <float[4,2,1,1] w> { y = Conv(x, w) }"""
    model = parser.parse_model(text)
    model.graph.initializer.append(
        numpy_helper.from_array(RNG.standard_normal((4, 2, 1, 1)).astype(np.float32), "w")
    )
    trainer = Trainer(pack_trainable(model, tmp_path / "m.bundle", name="m", gradients=True))
    x, y = RNG.standard_normal((5, 2, 3, 3)).astype(np.float32), RNG.integers(0, 4, (5, 3, 3))
    w = torch.tensor(trainer.parameters["w"], requires_grad=True)
    want = F.cross_entropy(F.conv2d(torch.tensor(x), w), torch.tensor(y))
    want.backward()
    got, gradient = trainer.gradients(x, y)
    assert got == pytest.approx(want.item(), rel=1e-5)
    np.testing.assert_allclose(gradient["w"], w.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_any_graph_may_be_the_loss(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    huberish (float[n,4] output, float[n,4] wanted, float[n] importance) => (float value) <int64[1] one = {1}> {
      d = Sub(output, wanted)  s = Mul(d, d)  r = Sqrt(s)  e = Unsqueeze(importance, one)
      p = Mul(r, e)  value = ReduceMean<keepdims = 0>(p)
    }"""
    loss = losses.Custom(parser.parse_model(text), "weighted_distance")
    trainer = Trainer(
        pack_trainable(linear(), tmp_path / "m.bundle", name="m", loss=loss, gradients=True), threads=1
    )
    importance = np.linspace(0, 1, N, dtype=np.float32)
    w = torch.tensor(trainer.parameters["w"], requires_grad=True)
    want = ((torch.tensor(X) @ w - torch.tensor(NUMBERS)).abs() * torch.tensor(importance)[:, None]).mean()
    want.backward()
    got, gradient = trainer.gradients(X, NUMBERS, importance=importance)
    assert got == pytest.approx(want.item(), rel=1e-5)
    np.testing.assert_allclose(gradient["w"], w.grad.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("loss", "last"), [("cross_entropy", "Softmax"), ("binary_cross_entropy", "Sigmoid")]
)
def test_a_final_activation_belongs_to_the_loss(loss: str, last: str, tmp_path: Path) -> None:
    y = INTEGERS if loss == "cross_entropy" else BITS
    plain, final = (
        Trainer(pack_trainable(model, tmp_path / f"{k}.bundle", name="m", loss=loss))
        for k, model in enumerate((linear(), linear(last)))
    )
    assert plain.step(X, y, 0.1) == final.step(X, y, 0.1)


def test_extra_rows_follow_the_shuffling(tmp_path: Path) -> None:
    loss = losses.Distillation(1.0, 1.0)  # the teacher alone
    trainer = Trainer(pack_trainable(linear(), tmp_path / "m.bundle", name="m", loss=loss))
    w = np.random.default_rng(1).standard_normal((FEATURES, CLASSES)).astype(np.float32)
    teacher = X @ w
    for _ in range(3):
        trainer.fit(Samples(X, INTEGERS), epochs=200, batch_size=4, lr=0.5, extra={"teacher": teacher})
    found = torch.softmax(torch.tensor(trainer.predict(X)), 1).numpy()
    np.testing.assert_allclose(found, torch.softmax(torch.tensor(teacher), 1).numpy(), atol=0.02)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (losses.CrossEntropy(weights=(1.0, 2.0)), "2 class weights; the model has 4 classes"),
        ("crossentropy", r"no loss 'crossentropy' \(did you mean 'cross_entropy'"),
    ],
)
def test_a_loss_that_does_not_fit(loss: "str | losses.Loss", sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        differentiate(linear(), loss=loss)


def test_settings_out_of_range() -> None:
    with pytest.raises(ModelError, match="label smoothing 1"):
        losses.CrossEntropy(1.0)
    with pytest.raises(ModelError, match="alpha 2"):
        losses.Distillation(2.0)


def test_what_a_loss_takes_must_be_given(tmp_path: Path) -> None:
    trainer = Trainer(pack_trainable(linear(), tmp_path / "m.bundle", name="m", loss="distillation"))
    with pytest.raises(InputError, match="the loss distillation needs 'teacher'"):
        trainer.step(X, INTEGERS, 0.1)
    with pytest.raises(InputError, match="extra 'teecher': the loss distillation takes teacher"):
        trainer.step(X, INTEGERS, 0.1, extra={"teecher": TEACHER})
    with pytest.raises(InputError, match=r"extra 'teacher' is .* for 12 samples"):
        trainer.fit(Samples(X, INTEGERS), extra={"teacher": TEACHER[:5]})
