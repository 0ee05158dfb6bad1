"""Files that hold what another file of the bundle holds too: stored without it, and put together when they are read.

The weights of a network that learns are in its inference graph, in the backbone that makes features, and among the
initial parameters of a stage. They are stored once, in `infer.onnx`.

Layout, little-endian: magic "LTS1", length of the table u32, the table, and the rest of the file. The table is JSON:
``{"of": "infer.onnx", "spans": [[place, offset, length], ...]}``: at `place` of the file stand `length` bytes of the
other file, from its `offset` on.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError

SUFFIX = ".shared"
_MAGIC = b"LTS1"
_HEAD = struct.Struct("<4sI")
LOCAL = struct.Struct("<26xHH")  # a local file header of a zip: lengths of the name and of what follows it


def share(
    content: bytes, places: Mapping[str, Any], base: bytes, others: Mapping[str, Any], of: str = "infer.onnx"
) -> bytes:
    """A file without what stands in another one under the same name.

    Args:
        content: the file.
        places: offset and length of its arrays, by name.
        base: the other file.
        others: offset and length of its arrays; what differs is not shared.
        of: the other file's name.
    """
    spans = []
    for name, place in places.items():
        start, length, other = place["offset"], place["length"], others.get(name, {}).get("offset")
        if other is not None and content[start : start + length] == base[other : other + length]:
            spans.append([start, other, length])
    spans.sort()
    rest, at = [], 0
    for start, _, length in spans:
        rest.append(content[at:start])
        at = start + length
    table = json.dumps({"of": of, "spans": spans}).encode()
    return b"".join([_HEAD.pack(_MAGIC, len(table)), table, *rest, content[at:]])


def restore(stored: bytes, read: Callable[[str], bytes]) -> bytes:
    """The file that was shared; `read` gives the bundle's other files.

    Raises:
        BundleError: it is damaged, or does not fit the other file.
    """
    try:
        magic, length = _HEAD.unpack_from(stored)
        if magic != _MAGIC:
            raise ValueError("it does not begin as a shared file does")
        at = _HEAD.size + length
        table = json.loads(stored[_HEAD.size : at])
        base, parts, done = read(table["of"]), [], 0
        for place, offset, size in table["spans"]:
            parts += [stored[at : at + place - done], base[offset : offset + size]]
            if len(parts[-2]) != place - done or len(parts[-1]) != size:
                raise ValueError("it points beyond an end")
            at, done = at + place - done, place + size
        return b"".join([*parts, stored[at:]])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"a shared file is cut short or damaged: {error}") from error


def npz_places(content: bytes) -> dict[str, dict[str, int]]:
    """Offset and length of the data of each array in an uncompressed .npz."""
    import zipfile

    found = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            start = entry.header_offset + LOCAL.size + sum(LOCAL.unpack_from(content, entry.header_offset))
            stream = io.BytesIO(content[start : start + 4096])
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            header = stream.tell()
            found[entry.filename.removesuffix(".npy")] = {
                "offset": start + header,
                "length": entry.file_size - header,
            }
    return found
