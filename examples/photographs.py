"""Real photographs for ImageNet classifiers: labelled ones, and random crops to calibrate on and to compare on."""

import importlib
import io
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.bundle import Preprocess
from edge_runtime.data import Samples
from edge_runtime.processing.images import normalise, read_picture
from edge_runtime.tensors import Array

sys.path.insert(0, str(Path(__file__).parents[1]))
assets = importlib.import_module("tests.assets")

SMALLEST = 150  # pixels of a photograph's shorter side; what is smaller is a symbol


def labelled(preprocess: Preprocess) -> Samples:
    """The 20 labelled photographs: x float32[20, 3, crop, crop], y int64[20] ImageNet classes."""
    files = assets.find("labelled-photographs")
    labels = np.array([int(file.stem.rpartition("_")[2]) for file in files], np.int64)
    return Samples(np.stack([read_picture(file, preprocess) for file in files]), labels)


def names() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet in words, the first of WordNet's for each."""
    lemmas, synsets = (file.read_text("utf-8") for file in assets.find("imagenet-names"))
    words = dict(line.split("\t") for line in lemmas.splitlines())
    return tuple(words[synset].partition(",")[0] for synset in synsets.split())


def crops(preprocess: Preprocess, count: int, seed: int) -> Samples:
    """Random crops of the labelled photographs, 50 to 100 % of the shorter side, mirrored half the time."""
    return Samples(_crops(_opened(assets.find("labelled-photographs")), preprocess, count, seed))


def calibration(preprocess: Preprocess, count: int = 200, seed: int = 7) -> Samples:
    """Random crops of other photographs than the labelled ones."""
    return Samples(_crops(_opened(_others()), preprocess, count, seed))


def training(preprocess: Preprocess, count: int = 2840, seed: int = 21) -> Samples:
    """Random crops of 284 photographs, those of `calibration` among them, of none that `crops` shows; no labels."""
    packed = [each for file in assets.find("photographs-gcompris") for each in _packed(file)]
    return Samples(_crops([*packed, *_opened(_others())], preprocess, count, seed))


def _others() -> tuple[Path, ...]:
    found: tuple[Path, ...] = assets.find("photographs-skimage") + assets.find("photographs-sklearn")
    return found


def _opened(files: Sequence[Path]) -> list[Image.Image]:
    return [Image.open(file).convert("RGB") for file in files]


def _packed(file: Path) -> Iterator[Image.Image]:
    """The photographs in a file of Qt's resources (.rcc), where each piece of data follows its length."""
    content = file.read_bytes()
    for found in re.finditer(rb"RIFF....WEBP", content, re.DOTALL):
        begin = found.start()
        (length,) = struct.unpack(">I", content[begin - 4 : begin])
        picture = Image.open(io.BytesIO(content[begin : begin + length]))
        if picture.mode == "RGB" and min(picture.size) >= SMALLEST:
            yield picture


def _crops(pictures: Sequence[Image.Image], preprocess: Preprocess, count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
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
