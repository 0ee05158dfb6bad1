"""Fashion-MNIST, 70,000 real photographs of clothes in 10 classes, from Debian's package `dataset-fashion-mnist`.

    python examples/fashion_mnist.py fashion      # writes fashion-train.npz and fashion-test.npz for EfficientNet-Lite0

Xiao, Rasul and Vollgraf, 2017. `tests.assets` knows where the files are.
"""

import gzip
import importlib
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.data import Samples
from edge_runtime.files import atomic
from edge_runtime.tensors import Array

assets = importlib.import_module("tests.assets")

LABELS = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


def load(train: int = 2000, test: int = 1000, side: int = 96) -> tuple[Samples, Samples]:
    """The first photographs of either part, for a network that was trained on ImageNet.

    Args:
        train: how many to train on, of 60,000.
        test: how many to test on, of 10,000.
        side: length in pixels to which the 28 are enlarged.

    Returns:
        Both: x float32[n, 3, side, side], (grey - 127) / 128 in each channel; y int64[n].

    Raises:
        FileNotFoundError: the package is not installed and cannot be downloaded.
        ValueError: a file is another than the one that was measured.
    """
    folder = assets.find("fashion-mnist")[0].parent
    return _part(folder, "train", train, side), _part(folder, "t10k", test, side)


def _part(folder: Path, part: str, count: int, side: int) -> Samples:
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as stream:
        pixels = np.frombuffer(stream.read(16 + count * 784), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read(8 + count), np.uint8, offset=8).astype(np.int64)
    return Samples(np.stack([_enlarged(picture, side) for picture in pixels]), labels, LABELS)


def _enlarged(picture: Array, side: int) -> Array:
    large = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
    grey = (np.asarray(large, np.float32) - 127.0) / 128.0
    return np.repeat(grey[None], 3, axis=0)


if __name__ == "__main__":
    stem = sys.argv[1] if len(sys.argv) > 1 else "fashion"
    for name, samples in zip(("train", "test"), load(), strict=True):
        with atomic(f"{stem}-{name}.npz") as partial, partial.open("wb") as stream:
            np.savez(stream, x=samples.x, y=np.asarray(samples.y))
        print(f"{stem}-{name}.npz  {len(samples)} photographs")
