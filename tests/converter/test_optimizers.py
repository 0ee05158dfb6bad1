"""Every optimiser against torch's, and LAMB against its paper's equations, over twelve steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)

from converter.autodiff import optimizers
from converter.differentiate import differentiate
from converter.trainable import pack_trainable
from edge_runtime.errors import ModelError
from edge_runtime.trainer import Trainer
from tests.converter.test_losses import linear
from tests.edge_runtime.test_trainer import lenet

STEPS, LR = 12, 0.02
RNG = np.random.default_rng(7)
X = RNG.standard_normal((STEPS, 16, 5)).astype(np.float32)
Y = RNG.integers(0, 4, (STEPS, 16))

TORCH: dict[str, tuple[dict[str, Any], Callable[..., torch.optim.Optimizer]]] = {
    "sgd": ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, LR)),
    "momentum": ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, LR, momentum=0.9)),
    "nesterov": (
        {"optimizer": "nesterov", "momentum": 0.8},
        lambda p: torch.optim.SGD(p, LR, momentum=0.8, nesterov=True),
    ),
    "weight decay": ({"weight_decay": 0.1}, lambda p: torch.optim.SGD(p, LR, weight_decay=0.1)),
    "adagrad": ({"optimizer": "adagrad"}, lambda p: torch.optim.Adagrad(p, LR)),
    "rmsprop": ({"optimizer": "rmsprop"}, lambda p: torch.optim.RMSprop(p, LR)),
    "rmsprop with momentum": (
        {"optimizer": "rmsprop", "momentum": 0.5},
        lambda p: torch.optim.RMSprop(p, LR, momentum=0.5),
    ),
    "adam": ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, LR)),
    "adam with weight decay": (
        {"optimizer": optimizers.Adam(0.8, 0.99), "weight_decay": 0.1},
        lambda p: torch.optim.Adam(p, LR, betas=(0.8, 0.99), weight_decay=0.1),
    ),
    "adamw": (
        {"optimizer": optimizers.AdamW(decay=0.3)},
        lambda p: torch.optim.AdamW(p, LR, weight_decay=0.3),
    ),
}


def compare(
    trainer: Trainer, solver: Callable[..., torch.optim.Optimizer], treat: Callable[[torch.Tensor], None]
):
    w = torch.tensor(trainer.parameters["w"], requires_grad=True)
    solved = solver([w])
    for x, y in zip(X, Y, strict=True):
        solved.zero_grad()
        F.cross_entropy(torch.tensor(x) @ w, torch.tensor(y)).backward()
        treat(w)
        solved.step()
        trainer.step(x, y, LR)
    np.testing.assert_allclose(trainer.parameters["w"], w.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("micro_batch", [0, 5], ids=["whole", "micro-batches"])
@pytest.mark.parametrize("case", TORCH)
def test_steps_are_those_of_torch(case: str, micro_batch: int, tmp_path: Path) -> None:
    arguments, solver = TORCH[case]
    bundle = pack_trainable(linear(), tmp_path / "m.bundle", name="m", micro_batch=micro_batch, **arguments)
    compare(Trainer(bundle, threads=1), solver, lambda _w: None)


def l1(w: torch.Tensor) -> None:
    w.grad += 0.05 * w.detach().sign()


def norm(w: torch.Tensor) -> None:
    assert torch.nn.utils.clip_grad_norm_([w], 0.1) > 0.1


@pytest.mark.parametrize(
    ("arguments", "treat"),
    [
        ({"clip_norm": 0.1}, norm),
        ({"clip_value": 0.02}, lambda w: torch.nn.utils.clip_grad_value_([w], 0.02)),
        ({"l1": 0.05}, l1),
    ],
)
def test_gradients_are_treated_as_torch_does(
    arguments: dict[str, float], treat: Callable[[torch.Tensor], None], tmp_path: Path
) -> None:
    bundle = pack_trainable(linear(), tmp_path / "m.bundle", name="m", **arguments)
    compare(Trainer(bundle, threads=1), lambda p: torch.optim.SGD(p, LR), treat)


def test_lamb_is_the_paper_s(tmp_path: Path) -> None:
    trainer = Trainer(pack_trainable(linear(), tmp_path / "m.bundle", name="m", optimizer="lamb"), threads=1)
    w = trainer.parameters["w"].astype(np.float64)
    m = v = np.zeros_like(w)
    for t, (x, y) in enumerate(zip(X, Y, strict=True), start=1):
        p = torch.softmax(torch.tensor(x.astype(np.float64) @ w), 1).numpy()
        g = x.T @ (p - np.eye(4)[y]) / len(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        r = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
        u = r + 0.01 * w
        w = w - LR * np.linalg.norm(w) / np.linalg.norm(u) * u
        trainer.step(x, y, LR)
    np.testing.assert_allclose(trainer.parameters["w"], w, rtol=1e-5, atol=1e-5)


def test_lamb_takes_weights_that_are_zero(tmp_path: Path) -> None:
    model = linear()
    model.graph.initializer[0].raw_data = bytes(80)
    trainer = Trainer(pack_trainable(model, tmp_path / "m.bundle", name="m", optimizer="lamb"))
    assert np.isfinite(trainer.step(X[0], Y[0], LR))
    assert np.isfinite(trainer.parameters["w"]).all()
    assert trainer.parameters["w"].any()


def test_what_there_is_and_is_not() -> None:
    with pytest.raises(ModelError, match="no optimiser 'adm' \\(did you mean 'adam'"):
        differentiate(linear(), optimizer="adm")
    with pytest.raises(ModelError, match="needs a momentum"):
        optimizers.Sgd(nesterov=True)
    with pytest.raises(ModelError, match="optimizer='none'"):
        differentiate(linear(), accumulate=True)


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "lamb"])
@pytest.mark.parametrize("recompute", [False, True])
def test_memory_that_is_written_in_place_changes_nothing(
    optimizer: str, recompute: bool, tmp_path: Path
) -> None:
    """The same step with every tensor in two places."""
    bundle = pack_trainable(
        lenet(), tmp_path / "m.bundle", name="m", optimizer=optimizer, recompute=recompute
    )
    shared, apart = Trainer(bundle, threads=1), Trainer(bundle, threads=1)
    stepper = apart._stepper
    assert stepper._update.roles.in_place >= set(stepper.state)
    banks = stepper._banks
    banks[1].update({name: np.zeros_like(array) for name, array in banks[0].items()})
    stepper._bindings = [stepper._bind(banks[i], banks[1 - i]) for i in range(2)]
    x = RNG.standard_normal((8, 1, 28, 28)).astype(np.float32)
    for _ in range(5):
        assert shared.step(x, Y[0][:8], LR) == apart.step(x, Y[0][:8], LR)
    for name, array in shared.parameters.items():
        np.testing.assert_array_equal(apart.parameters[name], array)
