"""Peak memory of a process that trains, against one that does the same with PyTorch, and the planner's word on it.

Each runs in a process of its own, one thread, the same model and batch, SGD with momentum, four steps: ours from
a bundle with NumPy and onnxruntime alone, PyTorch eager. The peak is the kernel's VmHWM, imports included.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import ROOT, Case, main
from converter.convert import convert
from converter.memory import plan
from converter.step import Step
from converter.trainable import pack_trainable
from tests import networks

STEPS = 4
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
from edge_runtime import Trainer
trainer = Trainer(sys.argv[1], threads=1)
shape, n = trainer.bundle.manifest.inputs[0].shape[1:], int(sys.argv[2])
x = np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)
for _ in range(int(sys.argv[3])):
    trainer.step(x, np.arange(n) % 10, 0.01)
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
"""


def peak(code: str, what: str, batch: int) -> int:
    """Peak resident memory, in bytes, of a Python process that runs `code`."""
    command = [sys.executable, "-c", code + PEAK, what, str(batch), str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout.split()[-1])


def cases() -> Iterator[Case]:
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


if __name__ == "__main__":
    main(cases)
