"""Data: an `.npz` with `x` and `y`, or an array for each input; an `.npy`; a folder of images, one folder a class."""

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.tensors import Array, TensorSpec, describe

if TYPE_CHECKING:
    from edge_runtime.declared import Input

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True, slots=True)
class Samples:
    """`x`: the samples, stacked on axis 0; `y`: int64[n] class indices, or None where there are no labels.

    For a model of several inputs `x` is an array of records, with a field for each input: ``x["input_ids"]``.
    `extra` is what else is known of each sample, such as the logits of a teacher: a loss takes it by name.
    """

    x: Array
    y: Array | None = None
    names: tuple[str, ...] = ()
    extra: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)


def load(path: str | os.PathLike[str], preprocess: "Input | None" = None) -> Samples:
    """Read samples.

    A folder holds pictures: either directly (no labels), or in one folder a class. Class folders that are all
    integers are the class indices themselves; otherwise indices follow the sorted names.

    Args:
        path: an `.npz` with `x`, or with an array for each input by its name, and, with labels, `y`; beside `x` what
            a loss takes by name, with a row a sample; an `.npy`; or a folder of pictures.
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
    for part in [x] if x.dtype.names is None else [x[name] for name in x.dtype.names]:
        if np.issubdtype(part.dtype, np.floating) and not np.isfinite(part).all():
            bad = int(np.flatnonzero(~np.isfinite(part.reshape(len(x), -1)).all(axis=1))[0])
            raise InputError(f"{where}: sample {bad} holds NaN or infinity; every value must be finite")
    if y is not None and (y.ndim != 1 or len(y) != len(x)):
        raise InputError(
            f"{where}: y is {describe(y)} for {len(x)} samples; expected int64[{len(x)}] class indices"
        )
    return samples


def fit(samples: Samples, inputs: TensorSpec | Sequence[TensorSpec], where: str) -> Samples:
    """Return the samples, as a model with these inputs takes them (the batch length aside).

    Beside the data of a model of one input, further fields of records become `Samples.extra`.

    Raises:
        InputError: an input is missing or unknown, or a dtype or sample shape is another.
    """
    specs = (inputs,) if isinstance(inputs, TensorSpec) else tuple(inputs)
    held = samples.x.dtype.names or ()
    own = specs[0].name if specs[0].name in held else "x"
    if len(specs) == 1 and own in held and held != (specs[0].name,):
        extra = {name: np.ascontiguousarray(samples.x[name]) for name in held if name != own}
        samples = replace(samples, x=np.ascontiguousarray(samples.x[own]), extra=extra)
    x, names = samples.x, samples.x.dtype.names or ()
    wanted = ", ".join(map(str, specs))
    if not names and len(specs) != 1:
        raise InputError(
            f"{where}: the model takes {wanted}; expected an .npz with an array for each, by its name"
        )
    if names and set(names) != {spec.name for spec in specs}:
        raise InputError(f"{where}: has no array 'x'; it holds {', '.join(names)}, the model takes {wanted}")
    for spec in specs:
        part = x[spec.name] if names else x
        lead = ("n",) if names and part.ndim > len(spec.shape) else ("n",)[: len(spec.shape)]
        rest = spec.shape if part.ndim > len(spec.shape) and names else spec.shape[1:]
        try:
            TensorSpec(spec.name, spec.dtype, (*lead, *rest)).check(part)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    only = names and len(specs) == 1 and x[names[0]].ndim == len(specs[0].shape)
    return replace(samples, x=np.ascontiguousarray(x[names[0]])) if only else samples


def feeds(x: Array, inputs: Sequence[TensorSpec], batch: int = 0) -> Iterator[tuple[dict[str, Array], int]]:
    """Samples as a model takes them call by call: an array for each input, and how many samples they hold.

    Args:
        x: the samples, or records of samples, as `fit` returns them.
        inputs: of the model.
        batch: samples a call; 0 takes the model's own batch, or 1 where that may vary. Where an input has no axis for
            the batch (each sample brings all of its axes), a call takes one sample, said to be 0.
    """
    parts = {spec.name: x[spec.name] if x.dtype.names else x for spec in inputs}
    if any(parts[spec.name].ndim > len(spec.shape) for spec in inputs):
        for k in range(len(x)):
            chosen = {
                s.name: parts[s.name][k] if parts[s.name].ndim > len(s.shape) else parts[s.name][k : k + 1]
                for s in inputs
            }
            yield {name: np.asarray(part, order="C") for name, part in chosen.items()}, 0
        return
    fixed = next((spec.shape[0] for spec in inputs if spec.shape and isinstance(spec.shape[0], int)), 0)
    size = int(fixed) or batch or 1
    for start in range(0, len(x), size):
        count = min(size, len(x) - start)
        # A graph of fixed batch takes no less: the last sample is repeated.
        rows = np.minimum(np.arange(start, start + (size if fixed else count)), len(x) - 1)
        yield (
            {
                name: part[rows[0] : rows[-1] + 1] if count == len(rows) else part[rows]
                for name, part in parts.items()
            },
            count,
        )


def _load_arrays(where: Path) -> Samples:
    try:
        loaded = np.load(where, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return Samples(loaded)
        with loaded:
            y, arrays = loaded.get("y"), {name: loaded[name] for name in loaded.files if name != "y"}
            alone = "x" in arrays and any(
                array.ndim and len(array) != len(arrays["x"]) for array in arrays.values()
            )
            x = arrays["x"] if alone or arrays.keys() == {"x"} else records(arrays, str(where))
            return Samples(x, None if y is None else _labels(y, where))
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: not a NumPy .npy or .npz file of plain arrays, or cut short") from error


def records(arrays: Mapping[str, Array], where: str = "data") -> Array:
    """Arrays of several inputs, samples stacked on axis 0, as one array of records; a single number serves all of them.

    Raises:
        InputError: there are none, or they hold different numbers of samples.
    """
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if (
        not lengths
        or len(set(lengths.values())) > 1
        or any(array.dtype.hasobject for array in arrays.values())
    ):
        held = ", ".join(f"{name}: {describe(array)}" for name, array in arrays.items())
        raise InputError(
            f"{where}: has no array 'x', nor one for each input with a row a sample; it holds {held or 'nothing'}"
        )
    kinds = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]
    made = np.empty(next(iter(lengths.values())), np.dtype(kinds))
    for name, array in arrays.items():
        made[name] = array
    return made


def _labels(y: Array, where: Path) -> Array:
    if not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"{where}: y is {describe(y)}; expected integer class indices")
    return y.astype(np.int64)


def _load_folder(where: Path, preprocess: "Input | None") -> Samples:
    from edge_runtime.declared import Preprocess
    from edge_runtime.processing.images import read_picture

    if not isinstance(preprocess, Preprocess):
        raise InputError(
            f"{where}: a folder of pictures needs --preprocess, such as resize=256,crop=224,mean=127,std=128"
        )
    folders = sorted(entry.name for entry in where.iterdir() if entry.is_dir() and _pictures(entry))
    if not folders:
        files = _pictures(where)
        if not files:
            raise InputError(
                f"{where}: holds no pictures ({', '.join(PICTURES)}) and no class folders of them"
            )
        return Samples(np.stack([read_picture(file, preprocess) for file in files]))
    indices = (
        [int(name) for name in folders] if all(name.isdigit() for name in folders) else range(len(folders))
    )
    pairs = [(file, k) for name, k in zip(folders, indices, strict=True) for file in _pictures(where / name)]
    x = np.stack([read_picture(file, preprocess) for file, _ in pairs])
    return Samples(x, np.array([k for _, k in pairs], np.int64), tuple(folders))


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)


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
