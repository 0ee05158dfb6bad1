"""Real photographs for ImageNet classifiers: labelled ones, and random crops to calibrate on and to compare on."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.bundle import Preprocess
from edge_runtime.data import Samples, normalise, read_picture
from edge_runtime.tensors import Array

sys.path.insert(0, str(Path(__file__).parents[1]))
assets = importlib.import_module("tests.assets")


def labelled(preprocess: Preprocess) -> Samples:
    """The 20 labelled photographs: x float32[20, 3, crop, crop], y int64[20] ImageNet classes."""
    files = assets.find("labelled-photographs")
    labels = np.array([int(file.stem.rpartition("_")[2]) for file in files], np.int64)
    return Samples(np.stack([read_picture(file, preprocess) for file in files]), labels)


def crops(preprocess: Preprocess, count: int, seed: int) -> Samples:
    """Random crops of the labelled photographs, 50 to 100 % of the shorter side, mirrored half the time."""
    return Samples(_crops(assets.find("labelled-photographs"), preprocess, count, seed))


def calibration(preprocess: Preprocess, count: int = 200, seed: int = 7) -> Samples:
    """Random crops of other photographs than the labelled ones."""
    files = assets.find("photographs-skimage") + assets.find("photographs-sklearn")
    return Samples(_crops(files, preprocess, count, seed))


def _crops(files: Sequence[Path], preprocess: Preprocess, count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    pictures = [Image.open(file).convert("RGB") for file in files]
    shape = (preprocess.crop, preprocess.crop)
    made = []
    for k in range(count):
        picture = pictures[k % len(pictures)]
        side = int(min(picture.size) * rng.uniform(0.5, 1.0))
        left, top = rng.integers(0, picture.width - side + 1), rng.integers(0, picture.height - side + 1)
        square = picture.resize(shape, Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        array = np.asarray(square, np.float32)
        made.append(normalise(array[:, ::-1] if rng.random() < 0.5 else array, preprocess))
    return np.stack(made)
