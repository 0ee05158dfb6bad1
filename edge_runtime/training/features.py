"""The feature cache: the frozen backbone runs once over the data, and training starts from what it gave.

The features stay in memory or in a file that is mapped into memory, so that only the pages of the current
mini-batch are resident. The file is an ordinary `.npy` with 32 bytes behind it: the SHA-256 of backbone and data,
by which a later start knows that it may use the file as it is.

What is cached cannot be augmented: every epoch sees the same features.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.console import progress as bar
from edge_runtime.data import Samples, fit
from edge_runtime.errors import BundleError, InputError
from edge_runtime.files import atomic
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_DIGEST = 32  # bytes of a SHA-256


class FeatureCache:
    """What the backbone of a bundle gives for some samples: ``FeatureCache(bundle, samples).samples``.

    `reused` says whether the features were found in the file.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        samples: Samples,
        file: str | os.PathLike[str] | None = None,
        *,
        batch_size: int = 32,
        threads: int = 0,
        progress: bool = False,
    ) -> None:
        """Run the backbone over all samples, or take up what an earlier run left.

        Args:
            bundle: a bundle with `backbone.onnx`, or its path; see `converter.transfer`.
            samples: x as the whole model takes it; y is passed on.
            file: where the features are kept, as an .npy; None keeps them in memory.
            batch_size: samples a run.
            threads: threads within an operator; 0 lets the engine choose.
            progress: draw a bar on a terminal.

        Raises:
            InputError: the samples are empty or do not fit, or the file cannot be written.
            BundleError: the bundle has no backbone.
        """
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        if "backbone.onnx" not in opened:
            raise BundleError(
                f"{opened.path}: has no backbone.onnx, so there are no features to keep; make it with: "
                "littoral adapt MODEL --split auto -o m.bundle"
            )
        if len(samples) == 0 or batch_size < 1:
            raise InputError(
                f"features need samples and a batch_size of at least 1; got {len(samples)} samples"
            )
        graph = opened.read("backbone.onnx")
        key = _key(graph, samples.x) if file is not None else b""
        found = None if file is None else _stored(Path(file), key)
        self.reused = found is not None
        if found is None:
            session = Session(graph, threads=threads)
            fit(samples, session.inputs[0], "features")
            parts = _parts(session, samples.x, batch_size)
            steps = bar(parts, "features", -(-len(samples) // batch_size)) if progress else parts
            found = (
                np.concatenate(list(steps)) if file is None else _write(Path(file), steps, len(samples), key)
            )
        self.samples = replace(samples, x=found)

    def __len__(self) -> int:
        return len(self.samples)


def _parts(session: Session, x: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(x), size):
        yield session.run_batches(np.ascontiguousarray(x[start : start + size]), size)[0]


def _key(graph: bytes, x: Array) -> bytes:
    """SHA-256 of the backbone and the data, a megabyte at a time: the data may be larger than the memory."""
    digest = hashlib.sha256(hashlib.sha256(graph).digest())
    digest.update(f"{x.dtype.str}{x.shape}".encode())
    rows = max(1, (1 << 20) // max(1, x[:1].nbytes))
    for start in range(0, len(x), rows):
        digest.update(np.ascontiguousarray(x[start : start + rows]).data)
    return digest.digest()


def _stored(file: Path, key: bytes) -> Array | None:
    """The features in the file, if they are those of the key."""
    try:
        with file.open("rb") as stream:
            stream.seek(-_DIGEST, os.SEEK_END)
            if stream.read() != key:
                return None
        mapped: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or not one of ours: it is written anew
    return mapped


def _write(file: Path, parts: Iterator[Array], count: int, key: bytes) -> Array:
    # Written as a stream, not through the map: a full disk is then an error and not a fatal signal.
    if file.is_dir():
        raise InputError(f"{file}: is a folder; give a file for the features, such as features.npy")
    try:
        with atomic(file) as partial, partial.open("wb") as stream:
            for number, part in enumerate(parts):
                if number == 0:
                    np.lib.format.write_array_header_1_0(stream, _header(part, count))
                stream.write(np.ascontiguousarray(part).data)
            stream.write(key)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(f"{file}: the features cannot be written ({error.strerror or error})") from error
    found: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    return found


def _header(part: Array, count: int) -> dict[str, object]:
    return {"descr": part.dtype.str, "fortran_order": False, "shape": (count, *part.shape[1:])}
