"""Data: an `.npz` with `x` and `y`, an `.npy`, or a folder of images, one folder a class."""

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Preprocess
from edge_runtime.errors import BackendError, InputError
from edge_runtime.files import existing
from edge_runtime.tensors import Array, TensorSpec, describe

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, slots=True)
class Samples:
    """`x`: the samples, stacked on axis 0; `y`: int64[n] class indices, or None where there are no labels."""

    x: Array
    y: Array | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)


def load(path: str | os.PathLike[str], preprocess: Preprocess | None = None) -> Samples:
    """Read samples.

    A folder holds pictures: either directly (no labels), or in one folder a class. Class folders that are all
    integers are the class indices themselves; otherwise indices follow the sorted names.

    Args:
        path: an `.npz` with `x` and, with labels, `y`; an `.npy`; or a folder of pictures.
        preprocess: how pictures become the model's input; needed for a folder.

    Raises:
        InputError: missing, not such a file, empty, not finite, or `x` and `y` of different length.
        BackendError: pictures are to be read and Pillow is not installed.
    """
    where = existing(path, "data: an .npz with x and y, an .npy, or a folder of class folders of pictures")
    samples = _load_folder(where, preprocess) if where.is_dir() else _load_arrays(where)
    return check(samples, str(where))


def check(samples: Samples, where: str) -> Samples:
    """Return the samples if they are usable.

    Raises:
        InputError: they are empty, not finite, or have another number of labels.
    """
    x, y = samples.x, samples.y
    if x.ndim < 1 or len(x) == 0:
        raise InputError(f"{where}: holds no samples (x is {describe(x)}); at least one is needed")
    if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
        bad = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))[0])
        raise InputError(f"{where}: sample {bad} holds NaN or infinity; every value must be finite")
    if y is not None and (y.ndim != 1 or len(y) != len(x)):
        raise InputError(
            f"{where}: y is {describe(y)} for {len(x)} samples; expected int64[{len(x)}] class indices"
        )
    return samples


def fit(samples: Samples, spec: TensorSpec, where: str) -> Samples:
    """Return the samples if a model with input `spec` takes them (the batch length aside).

    Raises:
        InputError: their dtype or sample shape is another.
    """
    free = TensorSpec(spec.name, spec.dtype, ("n", *spec.shape[1:]))
    try:
        free.check(samples.x)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return samples


def _load_arrays(where: Path) -> Samples:
    try:
        loaded = np.load(where, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return Samples(loaded)
        with loaded:
            if "x" not in loaded:
                raise InputError(
                    f"{where}: has no array 'x'; it holds {', '.join(loaded.files) or 'nothing'}"
                )
            y = loaded.get("y")
            return Samples(loaded["x"], None if y is None else _labels(y, where))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: not a NumPy .npy or .npz file of plain arrays, or cut short") from error


def _labels(y: Array, where: Path) -> Array:
    if not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"{where}: y is {describe(y)}; expected integer class indices")
    return y.astype(np.int64)


def _load_folder(where: Path, preprocess: Preprocess | None) -> Samples:
    if preprocess is None:
        raise InputError(
            f"{where}: a folder of pictures needs --preprocess, such as resize=256,crop=224,mean=127,std=128"
        )
    folders = sorted(entry.name for entry in where.iterdir() if entry.is_dir() and _pictures(entry))
    if not folders:
        files = _pictures(where)
        if not files:
            raise InputError(
                f"{where}: holds no pictures ({', '.join(_PICTURES)}) and no class folders of them"
            )
        return Samples(np.stack([read_picture(file, preprocess) for file in files]))
    indices = (
        [int(name) for name in folders] if all(name.isdigit() for name in folders) else range(len(folders))
    )
    pairs = [(file, k) for name, k in zip(folders, indices, strict=True) for file in _pictures(where / name)]
    x = np.stack([read_picture(file, preprocess) for file, _ in pairs])
    return Samples(x, np.array([k for _, k in pairs], np.int64), tuple(folders))


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _PICTURES)


def read_picture(path: Path, preprocess: Preprocess) -> Array:
    """One picture as the model's input: float32[channels, crop, crop].

    Raises:
        InputError: it is not a picture.
        BackendError: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise BackendError("reading pictures needs Pillow: pip install 'littoral[images]'") from error
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not a picture that can be read ({error})") from error
    scale = preprocess.resize / min(picture.size)
    size = (
        max(preprocess.crop, round(picture.width * scale)),
        max(preprocess.crop, round(picture.height * scale)),
    )
    resized = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
    top, left = (resized.shape[0] - preprocess.crop) // 2, (resized.shape[1] - preprocess.crop) // 2
    return normalise(resized[top : top + preprocess.crop, left : left + preprocess.crop], preprocess)


def normalise(picture: Array, preprocess: Preprocess) -> Array:
    """From [h, w, channels], 0 to 255, to float32[channels, h, w] as the model takes it."""
    mean, std = np.asarray(preprocess.mean, np.float32), np.asarray(preprocess.std, np.float32)
    return np.ascontiguousarray(((picture.astype(np.float32) - mean) / std).transpose(2, 0, 1))


def batches(
    samples: Samples, size: int, rng: np.random.Generator | None = None
) -> Iterator[tuple[Array, Array]]:
    """Labelled mini-batches of at most `size`, shuffled by `rng` if one is given.

    Raises:
        InputError: the samples have no labels.
    """
    if samples.y is None:
        raise InputError("training needs labels: the data has x and no y")
    order = np.arange(len(samples)) if rng is None else rng.permutation(len(samples))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        yield samples.x[chosen], samples.y[chosen]


def parse_preprocess(text: str) -> Preprocess:
    """Read ``resize=256,crop=224,mean=127,std=128``; a value per channel is written ``mean=124/117/104``.

    Raises:
        InputError: a key is unknown or a value is not a number.
    """
    read: dict[str, Callable[[str], object]] = {"resize": int, "crop": int, "mean": _numbers, "std": _numbers}
    found: dict[str, object] = {}
    try:
        for part in text.split(","):
            key, _, value = part.strip().partition("=")
            found[key] = read[key](value)
        return Preprocess(**found)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"--preprocess '{text}': expected resize=256,crop=224,mean=127,std=128") from error


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split("/"))
