"""The planner against what the engine and the kernel measure, and the budgets that it keeps."""

import itertools
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from converter.arena import Arena
from converter.convert import convert
from converter.memory import SPARE, Plan, fit_memory, parse_size, plan
from converter.step import Step
from converter.trainable import pack_trainable
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from tests import networks
from tests.edge_runtime.test_trainer import lenet


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """Twelve convolutions with batch normalisation, all of the picture's size."""
    layers = [networks.conv_bn(24 if k else 3, 24, 1, act=torch.nn.ReLU6) for k in range(12)]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(24, 10)]
    return convert(torch.nn.Sequential(*layers, *head), example=[torch.zeros(2, 3, 48, 48)], trainable=True)


MEASURE = """
import sys
import numpy as np
from edge_runtime import Samples, Trainer
trainer = Trainer(sys.argv[1], threads=1)
shape, n = trainer.bundle.manifest.inputs[0].shape[1:], int(sys.argv[2])
x = np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)
for _ in range(3):
    trainer.step(x, np.arange(n) % 10, 0.01)
trainer.evaluate(Samples(x, np.arange(n) % 10), int(sys.argv[3]))
print(next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) * 1024)
"""


def measured(path: Path, batch: int, tested: int = 0) -> int:
    command = [sys.executable, "-c", MEASURE, str(path), str(batch), str(tested)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize(
    ("batch", "settings"),
    [
        (32, {}),
        (32, {"recompute": True}),
        (32, {"recompute": True, "micro_batch": 4}),
    ],
    ids=["whole", "recompute", "micro-batches"],
)
def test_the_plan_is_what_a_process_takes(
    network: onnx.ModelProto, tmp_path: Path, batch: int, settings: dict[str, int]
) -> None:
    pack_trainable(network, tmp_path / "m.bundle", name="m", momentum=0.9, **settings)
    planned = plan(Step(network, momentum=0.9), batch, **settings)
    tested = planned.micro_batch or batch
    assert planned.total == pytest.approx(measured(tmp_path / "m.bundle", batch, tested), rel=0.25)


def test_every_measure_saves(network: onnx.ModelProto) -> None:
    step = Step(network)
    whole, again = plan(step, 32), plan(step, 32, recompute=True)
    parts, both = plan(step, 32, micro_batch=8), plan(step, 32, micro_batch=8, recompute=True)
    assert again.activations < 0.7 * whole.activations
    assert parts.activations < 0.35 * whole.activations
    assert both.activations < again.activations
    assert both.activations < parts.activations
    assert plan(step, 64).activations > 1.7 * whole.activations
    assert whole.largest[0][1] >= 32 * 24 * 48 * 48 * 4


def test_a_budget_chooses_as_little_as_is_needed(network: onnx.ModelProto, tmp_path: Path) -> None:
    step = Step(network, momentum=0.9)
    whole, again = plan(step, 32), plan(step, 32, recompute=True)

    def choice(budget: int) -> tuple[int, bool]:
        found = fit_memory(step, 32, budget)
        assert found.total <= budget
        return found.micro_batch, found.recompute

    assert choice(math.ceil(whole.total * (1 + SPARE))) == (0, False)
    assert choice(whole.total) == (0, True)
    micro_batch, recompute = choice(again.total)
    assert recompute
    assert micro_batch in (16, 8)
    with pytest.raises(InputError, match=r"needs \d+ MB at least, sample by sample, and 60 MB are allowed"):
        fit_memory(step, 32, 60_000_000)

    budget = 100_000_000
    path = tmp_path / "m.bundle"
    pack_trainable(network, path, name="m", momentum=0.9, max_memory=budget, batch_size=32)
    assert measured(path, 32) <= budget


def test_recomputation_gives_the_same_training(network: onnx.ModelProto, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((8, 3, 48, 48)).astype(np.float32)
    plain, again = (
        Trainer(
            pack_trainable(network, tmp_path / f"{k}.bundle", name="m", gradients=True, recompute=k),
            threads=1,
        )
        for k in (False, True)
    )
    (loss, gradients), (other, others) = (t.gradients(x, np.arange(8)) for t in (plain, again))
    assert loss == pytest.approx(other, rel=1e-5)
    error = sum(float(((gradients[k] - others[k]) ** 2).sum()) for k in gradients)
    assert error < 1e-4 * sum(float((array**2).sum()) for array in gradients.values())
    exact = [
        Trainer(pack_trainable(lenet(), tmp_path / f"l{k}.bundle", name="m", recompute=k), threads=1)
        for k in (False, True)
    ]
    x = x[:, :1, :28, :28].copy()
    for _ in range(5):
        first, second = (t.step(x, np.arange(8), 0.02) for t in exact)
        assert first == pytest.approx(second, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "count"),
    [("150MB", 150_000_000), ("64MiB", 1 << 26), ("1.5 GB", 1_500_000_000), ("900kB", 900_000)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["150", "MB", "150 pounds", "-3MB", ""])
def test_no_sizes(text: str) -> None:
    with pytest.raises(InputError, match="expected one such as 150MB"):
        parse_size(text)


def test_a_plan_as_a_table() -> None:
    table = Plan(8, 2, True, 1, 2, 3, 4, 5, 6, 7, 8).to_json()
    assert table["total"] == 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8
    assert table["micro_batch"] == 2


def test_the_arena_never_hands_out_a_byte_twice() -> None:
    rng = random.Random(0)
    arena, live, held, peak = Arena(), {}, 0, 0
    for k in range(3000):
        if live and rng.random() < 0.5:
            name = rng.choice(list(live))
            held -= live.pop(name)
            arena.release(name)
        else:
            size = int(2 ** rng.uniform(0, 23))
            arena.allocate(str(k), size)
            live[str(k)] = size
            held += size
            peak = max(peak, held)
            spans = sorted((c.region, c.start, c.start + live[n]) for n, c in arena._held.items())
            for (region, _, stop), (other, start, _) in itertools.pairwise(spans):
                assert region != other or stop <= start
    assert peak <= arena.touched < 3 * peak


def test_the_arena_fills_the_same_room_again() -> None:
    arena = Arena()
    for _ in range(10):
        arena.allocate("a", 600_000)
        arena.allocate("b", 300_000)
        arena.release("a")
        arena.release("b")
    assert arena.touched == -(-600_000 // 256) * 256 + -(-300_000 // 256) * 256
