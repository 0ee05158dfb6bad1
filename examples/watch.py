"""Shoulder exercises seen by a smartwatch, by person, and a small network that tells them apart.

littoral convert examples.watch:model --train -o watch.bundle

Burns et al., "Shoulder Physiotherapy Exercise Recognition: Machine Learning the Inertial Signals from a Smartwatch",
Physiological Measurement 39, 2018 (arXiv 1802.01489): 20 repetitions of each of 7 exercises by 10 people, with either
arm, acceleration and rotation about three axes at 50 Hz.
"""

import importlib
import io
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.data import Samples

WINDOW = 100  # 2 s
CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of 2 s: `samples` float32[n, 6, 100] with their exercise; of which `person` and `recording`, int64[n]."""

    samples: Samples
    person: NDArray[np.int64]
    recording: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> "Windows":
        """Those that are chosen."""
        x, y = self.samples.x[chosen], np.asarray(self.samples.y)[chosen]
        return Windows(Samples(x, y), self.person[chosen], self.recording[chosen])


def model(seed: int = 0) -> tuple[Any, tuple[Any, ...]]:
    """Three convolutions over time and a dense layer (45k parameters), not trained; an example: float32[1, 6, 100]."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv1d(6, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(32, 64, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv1d(64, 64, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 13, 14),
        nn.ReLU(),
        nn.Linear(14, len(CLASSES)),
    )
    return network.eval(), (torch.zeros(1, 6, WINDOW),)


def load(step: int = WINDOW // 2) -> Windows:
    """All recordings cut into windows, `step` measurements apart; each axis scaled to mean 0 and deviation 1."""
    (file,) = importlib.import_module("tests.assets").find("watch")
    with file.open("rb") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        table = _Arrays(io.BytesIO(stream.read()), encoding="latin1").load().item()
    x, y, person, recording = [], [], [], []
    for k, signal in enumerate(table["X"]):
        starts = range(0, len(signal) - WINDOW + 1, step)
        x += [signal[at : at + WINDOW].T for at in starts]
        y += [int(table["y"][k])] * len(starts)
        person += [int(table["subject"][k])] * len(starts)
        recording += [k] * len(starts)
    windows = np.asarray(x, np.float32)
    windows -= windows.mean(axis=(0, 2), keepdims=True)
    windows /= windows.std(axis=(0, 2), keepdims=True)
    return Windows(Samples(windows, np.asarray(y, np.int64)), np.asarray(person), np.asarray(recording))


class _Arrays(pickle.Unpickler):
    """Reads arrays and nothing else: the file, whose hash is known, was pickled with an old numpy."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): "numpy._core.multiarray",
            ("numpy", "ndarray"): "numpy",
            ("numpy", "dtype"): "numpy",
            ("_codecs", "encode"): "_codecs",
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return getattr(importlib.import_module(known[module, name]), name)
