"""A small convolutional network for 28×28 digits, and 5,000 real ones.

littoral convert examples.digits:model --train -o digits.bundle
python examples/digits.py digits            # writes digits-train.npz and digits-test.npz
littoral federate digits.bundle --data digits-train.npz --test digits-test.npz
"""

import gzip
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.data import Samples
from edge_runtime.files import atomic


def model(seed: int = 0) -> tuple[Any, tuple[Any, ...]]:
    """Two convolutions and two dense layers (52k parameters), not trained, and an example: float32[1, 1, 28, 28]."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 30),
        nn.ReLU(),
        nn.Linear(30, 10),
    )
    return network.eval(), (torch.zeros(1, 1, 28, 28),)


def load(held_out: float = 0.2, seed: int = 0) -> tuple[Samples, Samples]:
    """Training and held-out digits: x float32[n, 1, 28, 28] between 0 and 1, y int64[n]; 500 of each class in all."""
    (file,) = importlib.import_module("tests.assets").find("digits")
    with gzip.open(file, "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.float32)
    order = np.random.default_rng(seed).permutation(len(table))
    x = (table[order, :784] / 255.0).reshape(-1, 1, 28, 28).astype(np.float32)
    y = table[order, 784].astype(np.int64)
    cut = round(len(x) * (1 - held_out))
    return Samples(x[:cut], y[:cut]), Samples(x[cut:], y[cut:])


if __name__ == "__main__":
    stem = sys.argv[1] if len(sys.argv) > 1 else "digits"
    for part, samples in zip(("train", "test"), load(), strict=True):
        with atomic(f"{stem}-{part}.npz") as partial, partial.open("wb") as stream:
            np.savez(stream, x=samples.x, y=np.asarray(samples.y))
        print(f"{stem}-{part}.npz  {len(samples)} digits")
