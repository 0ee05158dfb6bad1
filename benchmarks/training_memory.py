"""Peak memory of a process that trains, against one that does the same with PyTorch, and the planner's word on it.

Each runs in a process of its own, one thread, the same model and batch, SGD with momentum, four steps and an
evaluation: ours from a bundle with NumPy and onnxruntime alone, PyTorch eager. The peak is the kernel's VmHWM,
imports included. On the emulated device it is `littoral train` from data to exported bundle, and the peak that of
the device's own pages, without the emulator's.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import ROOT, Case, main
from converter.convert import convert
from converter.memory import plan
from converter.step import Step
from converter.trainable import pack_trainable
from edge_runtime import emulator
from edge_runtime.errors import EmulatorError
from edge_runtime.target import Target
from tests import networks

STEPS = 4
DEVICE, BUDGET = "rpi-zero2", 150_000_000
SAVES = 0.9  # recomputation is taken where the planner says that it saves a tenth
CASES: dict[str, tuple[list[object], int]] = {
    "cnn": (["cnn"], 32),
    "mobilenetv2": (["mobilenetv2", 1.0], 16),
    "mlp": (["mlp"], 64),
    "transformer": (["transformer"], 16),
    "resnet18": (["resnet18"], 16),
}
PEAK = """
print(next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) * 1024)
"""
OURS = """
import sys
import numpy as np
from edge_runtime import Samples, Trainer
trainer = Trainer(sys.argv[1], threads=1)
shape, n = trainer.bundle.manifest.inputs[0].shape[1:], int(sys.argv[2])
x = np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)
for _ in range(int(sys.argv[3])):
    trainer.step(x, np.arange(n) % 10, 0.01)
trainer.evaluate(Samples(x, np.arange(n) % 10), n)
"""
TORCH = """
import json, sys
import torch
from tests import networks
torch.set_num_threads(1)
name, *arguments = json.loads(sys.argv[1])
module, shape = getattr(networks, name)(*arguments)
module.train()
n = int(sys.argv[2])
solver = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9)
x, y = torch.randn(n, *shape), torch.arange(n) % 10
for _ in range(int(sys.argv[3])):
    solver.zero_grad()
    torch.nn.functional.cross_entropy(module(x), y).backward()
    solver.step()
module.eval()
with torch.no_grad():
    torch.nn.functional.cross_entropy(module(x), y)
"""


def peak(code: str, what: str, batch: int) -> int:
    """Peak resident memory, in bytes, of a Python process that runs `code`."""
    command = [sys.executable, "-c", code + PEAK, what, str(batch), str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout.split()[-1])


def cases() -> Iterator[Case]:
    """Each network against PyTorch, then the device."""
    yield from against_torch()
    yield from on_the_device()


def against_torch() -> Iterator[Case]:
    """Peak memory of a training process over that of PyTorch's."""
    for name, (network, batch) in CASES.items():
        kind, *arguments = network
        module, shape = getattr(networks, str(kind))(*arguments)
        model = convert(module, example=[torch.zeros(2, *shape)], trainable=True)
        plans = [plan(Step(model, momentum=0.9), batch, recompute=again) for again in (False, True)]
        chosen = plans[plans[1].total < SAVES * plans[0].total]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.bundle")
            pack_trainable(model, path, name=name, momentum=0.9, recompute=chosen.recompute)
            ours = peak(OURS, str(path), batch)
        theirs = peak(TORCH, json.dumps(network), batch)
        how = ", recompute" if chosen.recompute else ""
        note = f"{ours / 1e6:.0f} MB against {theirs / 1e6:.0f} MB, batch {batch}{how}"
        yield Case(name, round(ours / theirs, 3), "ratio", 0.5, "lower", STEPS, note)
        error = abs(chosen.total - ours) / ours
        note = f"planned {chosen.total / 1e6:.0f} MB"
        yield Case(f"{name}: planner's error", round(error, 3), "share", 0.25, "lower", 1, note)


def on_the_device() -> Iterator[Case]:
    """MobileNetV2 learns within the memory of a small board, and a step that is too large for it does not run."""
    names = (
        "mobilenetv2 inside rpi-zero2, MB",
        "mobilenetv2 inside rpi-zero2, batch 64 as it is: stopped at",
    )
    if not emulator.available():
        for name in names:
            yield Case(name, None, "MB", None, "lower", 0, f"not here: {emulator.missing()}")
        return
    module, shape = networks.mobilenetv2(1.0, 96)
    model = convert(module, example=[torch.zeros(2, *shape)], trainable=True)
    ram = Target.load(DEVICE).ram_mib
    with tempfile.TemporaryDirectory() as folder:
        taken, note = trained(model, Path(folder), 16, max_memory=BUDGET)
        yield Case(
            names[0], round(taken / 1e6, 1), "MB", BUDGET / 1e6, "lower", 2, f"--max-memory 150MB; {note}"
        )
        taken, note = trained(model, Path(folder), 64)
        yield Case(names[1], round(taken / 2**20), "MiB", ram, "higher", 1, note)


def trained(model: onnx.ModelProto, folder: Path, batch: int, max_memory: int = 0) -> tuple[int, str]:
    """What two steps and an export on the emulated device took, in bytes, and what is to be said of it."""
    path = folder / "m.bundle"
    bundle = pack_trainable(model, path, name="m", target=DEVICE, max_memory=max_memory, batch_size=batch)
    rng, data = np.random.default_rng(0), folder / "data.npz"
    shape = [int(length) for length in bundle.manifest.inputs[0].shape[1:]]
    np.savez(data, x=rng.standard_normal((batch, *shape)).astype(np.float32), y=np.arange(batch) % 10)
    command = f"train {bundle.path} --data {data} --test {data} --epochs 2 --threads 1 --batch-size {batch}"
    try:
        done = emulator.run(DEVICE, [*command.split(), "--out", str(folder / "out.bundle")], capture=True)
    except EmulatorError as error:
        return int(re.findall(r"took (\d+) MiB", str(error))[0]) << 20, str(error).partition(";")[0]
    if done.returncode:
        raise EmulatorError(done.stderr)
    return done.peak_bytes, f"batch {batch}, two epochs, exported"


if __name__ == "__main__":
    main(cases)
