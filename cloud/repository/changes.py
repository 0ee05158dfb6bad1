"""Patches between two versions of a bundle: where their tensors lie, and whether a patch is worth it."""

import io
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.delta import Tensor, apply, make, recoded
from edge_runtime.delta.sealed import apply_sealed, closed, cover, opened
from edge_runtime.errors import InputError, LittoralError, TransferError
from edge_runtime.sealing import SUFFIX
from edge_runtime.sharing import LOCAL
from edge_runtime.storage import SUFFIX as CODED
from edge_runtime.storage import restore

WORTH = 0.9  # of the bundle's bytes: a larger patch is not kept

# TensorProto.DataType to the types whose differences are coded.
_ONNX = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 10: "float16"}
_NUMPY = {
    "<f4": "float32",
    "|u1": "uint8",
    "|i1": "int8",
    "<i2": "int16",
    "<u2": "uint16",
    "<i4": "int32",
    "<f2": "float16",
}
_ITEM = {1: "int8", 2: "float16", 4: "float32"}


def patch(old: bytes, new: bytes, key: bytes | None = None) -> bytes | None:
    """What makes the bundle `new` of `old`; None if it is hardly smaller, or does not do so.

    Args:
        old: the file of the bundle that devices have.
        new: the file of the one that they shall have.
        key: the content key, where both are sealed.
    """
    if key is not None:
        made = cover(_plain_patch(_opened(old, key), _opened(new, key)), key)
    elif _coded(old) or _coded(new):
        spans, others = _coded(old), _coded(new)
        inner = _plain_patch(recoded.decoded(old, spans), recoded.decoded(new, others), old, new)
        made = recoded.cover(inner, spans, new, others)
    else:
        made = _plain_patch(old, new)
    if len(made) >= WORTH * len(new):
        return None
    return None if wrong("", old, made, new, key) else made


def wrong(about: str, old: bytes, made: bytes, new: bytes, key: bytes | None = None) -> list[str]:
    """A sentence if the patch does not make `new` of `old`."""
    try:
        if key is not None:
            with _file(old) as path:
                fits = apply_sealed(path, made, key) == new
        elif made.startswith(recoded.MAGIC):
            fits = recoded.apply_recoded(old, made) == new
        else:
            fits = apply(old, made) == new
    except TransferError as error:
        return [f"{about}: {error}"]
    return [] if fits else [f"{about}: makes another file than is signed"]


def _plain_patch(old: bytes, new: bytes, old_file: bytes = b"", new_file: bytes = b"") -> bytes:
    """The patch between two bundles, or between what they decode to, of the files that are given beside."""
    return make(old, new, tensors(old_file or old), tensors(new_file or new))


def sealed(content: bytes, key: bytes) -> bytes:
    """A bundle's file with its files encrypted.

    Raises:
        InputError: it is sealed already.
    """
    with _file(content) as path:
        if any(name.endswith(SUFFIX) for name in Bundle.open(path, whole=False).manifest.files):
            raise InputError("the bundle is sealed already, by another key; publish the plain one")
        return closed(content, key, path.parent)


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bundle"
        path.write_bytes(content)
        yield path


def _opened(content: bytes, key: bytes) -> bytes:
    with _file(content) as path:
        return opened(path, key)


def tensors(bundle: bytes) -> dict[str, Tensor]:
    """Where the tensors of a bundle's graphs and arrays lie in its file; of coded files, in what they decode to."""
    found: dict[str, Tensor] = {}
    grown = 0
    for file, start, content in _stored(bundle):
        plain = content
        if file.endswith(CODED):
            plain = restore(content)
        try:
            for name, each in _within(file.removesuffix(CODED), plain):
                found[f"{file}/{name}"] = replace(each, offset=start + grown + each.offset)
        except (LittoralError, ValueError, IndexError, struct.error, zipfile.BadZipFile):
            pass  # a file that is not what its name says is compared as it is
        grown += len(plain) - len(content)
    return found


def _coded(bundle: bytes) -> list[tuple[int, int]]:
    """Where the coded files lie in a bundle's file."""
    return [(start, len(content)) for file, start, content in _stored(bundle) if file.endswith(CODED)]


def _stored(bundle: bytes) -> list[tuple[str, int, bytes]]:
    """The files of a bundle that are stored as they are, in their order: name, place and content."""
    found = []
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        for entry in sorted(archive.infolist(), key=lambda each: each.header_offset):
            if entry.compress_type == zipfile.ZIP_STORED:
                start = entry.header_offset + LOCAL.size + sum(LOCAL.unpack_from(bundle, entry.header_offset))
                found.append((entry.filename, start, bundle[start : start + entry.file_size]))
    return found


def _within(file: str, content: bytes) -> Iterator[tuple[str, Tensor]]:
    if file.endswith(".onnx"):
        yield from _onnx(content)
    elif file.endswith(".tflite"):
        from converter.lowering.flatbuffer import buffers

        for index, (offset, length, size) in enumerate(buffers(content)):
            yield str(index), Tensor(offset, length, _ITEM.get(size, ""))
    elif file.endswith(".npz"):
        yield from _npz(content)


def _onnx(content: bytes) -> Iterator[tuple[str, Tensor]]:
    import onnx

    from converter.places import tensor_data

    places = tensor_data(content)
    for tensor in onnx.load_from_string(content).graph.initializer:
        if tensor.name in places:
            offset, length = places[tensor.name]
            rows = tensor.dims[0] if len(tensor.dims) > 1 else 1
            yield tensor.name, Tensor(offset, length, _ONNX.get(tensor.data_type, ""), rows)


def _npz(content: bytes) -> Iterator[tuple[str, Tensor]]:
    from edge_runtime.sharing import npz_places

    for name, place in npz_places(content).items():
        start = place["offset"]
        head = content[max(0, start - 256) : start].rpartition(b"\x93NUMPY")[2]
        kind = next((kind for code, kind in _NUMPY.items() if f"'{code}'".encode() in head), "")
        yield name, Tensor(start, place["length"], kind)
