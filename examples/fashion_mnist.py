"""Fashion-MNIST, 70,000 real photographs of clothes in 10 classes, from Debian's package `dataset-fashion-mnist`.

    python examples/fashion_mnist.py fashion      # writes fashion-train.npz and fashion-test.npz for EfficientNet-Lite0

Xiao, Rasul and Vollgraf, 2017; MIT licence. The package need not be installed: apt downloads it into the cache.
"""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.files import atomic, cache_dir
from edge_runtime.tensors import Array

LABELS = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
_PACKAGE = "dataset-fashion-mnist"
_FOLDER = "usr/share/datasets/fashion-mnist"
_FILES = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


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
    folder = find()
    return _part(folder, "train", train, side), _part(folder, "t10k", test, side)


def find() -> Path:
    """The folder with the four files: installed, or in the cache, or downloaded into it.

    Raises:
        FileNotFoundError: as for `load`.
        ValueError: as for `load`.
    """
    cached = cache_dir() / "assets" / _PACKAGE
    found = next((folder for folder in (Path("/") / _FOLDER, cached) if folder.is_dir()), None)
    if found is None:
        _download(cached)
        found = cached
    for name, digest in _FILES.items():
        if hashlib.sha256((found / name).read_bytes()).hexdigest() != digest:
            raise ValueError(f"{found / name}: is not the file that was measured; remove the folder")
    return found


def _download(folder: Path) -> None:
    say(f"download Debian's {_PACKAGE}, 31 MB")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            subprocess.run(
                ["apt-get", "download", "-q", _PACKAGE], cwd=scratch, check=True, capture_output=True
            )
            (package,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(package), scratch], check=True, capture_output=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise FileNotFoundError(
                f"asset '{_PACKAGE}': neither installed nor to be downloaded: apt-get install {_PACKAGE}"
            ) from error
        with atomic(folder) as partial:
            shutil.copytree(Path(scratch) / _FOLDER, partial)


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
