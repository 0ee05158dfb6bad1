"""A whole training step (forward, loss, backward, SGD with momentum) against PyTorch eager, and on Arm.

Times are medians of interleaved steps on one thread; "rpi4" cases are exact guest instructions of a step over those
of a forward pass of the same batch, weights being inputs of both.
"""

import copy
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)

from benchmarks.harness import Case, main
from benchmarks.training_peers import onnxruntime_training
from converter import convert
from converter.differentiate import differentiate, evaluation_graph
from converter.trainable import pack_trainable
from edge_runtime import Target, Trainer, emulator
from edge_runtime.profile import interleaved
from edge_runtime.tensors import Array
from tests import networks

LR, MOMENTUM = 0.01, 0.9
ARM_GOAL = 3.5  # the arithmetic limit is 3
PEER_GOAL = 0.9
TARGET = "x86-64" if platform.machine().lower() in ("x86_64", "amd64") else "rpi4"


@dataclass(frozen=True, slots=True)
class Setting:
    """A network, its batch here and on the emulated device, and the goal against PyTorch."""

    network: Callable[[], networks.Network]
    batch: int
    arm_batch: int
    goal: float
    rounds: int


SETTINGS = {
    "cnn": Setting(networks.cnn, 32, 4, 0.80, 100),
    # With 4 on the device its 52 small updates weigh: 3.64 forward passes; with 16 it is 3.16.
    "mobilenetv2": Setting(networks.mobilenetv2, 16, 8, 0.75, 25),
    "mlp": Setting(networks.mlp, 64, 64, 0.85, 300),
    "transformer": Setting(networks.transformer, 16, 4, 0.90, 100),
    "resnet18": Setting(networks.resnet18, 16, 4, 1.0, 15),
}


def cases() -> Iterator[Case]:
    torch.set_num_threads(1)
    for name, setting in SETTINGS.items():
        torch.manual_seed(0)
        network, shape = setting.network()
        x, y = _sample(setting.batch, shape)
        model = convert(network, example=[x[:2]], trainable=True)
        yield from _against_torch(name, setting, (network, model), x, y)
        yield _against_onnxruntime_training(name, setting, model, x, y)
        yield _on_arm(name, setting, model)


def _sample(n: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, 10, n)


def _against_torch(
    name: str, setting: Setting, pair: tuple[torch.nn.Module, onnx.ModelProto], x: Array, y: Array
) -> Iterator[Case]:
    network, model = pair
    with tempfile.TemporaryDirectory() as folder:
        pack_trainable(model, Path(folder) / "bundle", name=name, target=TARGET, momentum=MOMENTUM)
        trainer = Trainer(Path(folder) / "bundle", threads=1)
        steps = [lambda: trainer.step(x, y, LR), _torch_step(network, x, y, torch.contiguous_format)]
        if x.ndim == 4:
            steps.append(_torch_step(network, x, y, torch.channels_last))
        ours, *peers = interleaved(steps, setting.rounds)
    for what, goal, peer in zip(
        ("PyTorch", "PyTorch channels_last"), (setting.goal, None), peers, strict=False
    ):
        note = f"batch {setting.batch}; {ours.median_ms:.2f} ms against {peer.median_ms:.2f} ms"
        ratio = round(ours.median_ms / peer.median_ms, 4)
        yield Case(f"{name}: step / {what}", ratio, "ratio", goal, "lower", peer.n, note)


def _against_onnxruntime_training(
    name: str, setting: Setting, model: onnx.ModelProto, x: Array, y: Array
) -> Case:
    """Plain gradient descent on both sides: there is no momentum in that package."""
    case = f"{name}/onnxruntime-training"
    try:
        with onnxruntime_training.Peer(model, x, y) as peer, tempfile.TemporaryDirectory() as folder:
            pack_trainable(model, Path(folder) / "bundle", name=name, target=TARGET)
            trainer = Trainer(Path(folder) / "bundle", threads=1)
            spent: tuple[list[float], list[float]] = ([], [])
            for _ in range(3 + setting.rounds):
                began = time.perf_counter_ns()
                trainer.step(x, y, LR)
                spent[0].append((time.perf_counter_ns() - began) / 1e6)
                spent[1].append(peer.step())
    except onnxruntime_training.PeerError as error:
        return Case(case, None, "ratio", PEER_GOAL, "lower", 0, str(error)[:200])
    ours, theirs = (statistics.median(times[3:]) for times in spent)
    note = f"{onnxruntime_training.VERSION}, without momentum; {ours:.2f} ms against {theirs:.2f} ms"
    return Case(case, round(ours / theirs, 4), "ratio", PEER_GOAL, "lower", setting.rounds, note)


def _torch_step(network: torch.nn.Module, x: Array, y: Array, layout: Any) -> Callable[[], float]:
    """A step of a copy of the network, as PyTorch's own tutorial writes it."""
    twin = copy.deepcopy(network).train()
    data, labels = torch.from_numpy(x), torch.from_numpy(y)
    if layout is torch.channels_last:
        twin, data = twin.to(memory_format=layout), data.to(memory_format=layout)
    solver = torch.optim.SGD(twin.parameters(), LR, momentum=MOMENTUM)

    def step() -> float:
        solver.zero_grad()
        loss = F.cross_entropy(twin(data), labels)
        loss.backward()
        solver.step()
        return float(loss.item())

    return step


def _on_arm(name: str, setting: Setting, model: onnx.ModelProto) -> Case:
    case = f"rpi4: {name} step / forward"
    if not emulator.available():
        lacking = ", ".join(need.tool for need in emulator.missing())
        return Case(case, None, "ratio", ARM_GOAL, "lower", 0, f"no emulator: {lacking} missing")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "step.onnx", Path(folder) / "forward.onnx"]
        graphs = (differentiate(model, momentum=MOMENTUM), evaluation_graph(model))
        for path, graph in zip(paths, graphs, strict=True):
            onnx.save(_with_batch(graph, setting.arm_batch), path)
        step, forward = (count.instructions for count in emulator.count(Target.load("rpi4"), paths))
    note = f"batch {setting.arm_batch}; {step / 1e6:.1f} M against {forward / 1e6:.1f} M"
    return Case(case, round(step / forward, 4), "ratio", ARM_GOAL, "lower", 1, note)


def _with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy whose batch has that length."""
    fixed = onnx.ModelProto.FromString(model.SerializeToString())
    for value in [*fixed.graph.input, *fixed.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.ClearField("dim_param")
                dim.dim_value = batch
    return fixed


if __name__ == "__main__":
    main(cases)
