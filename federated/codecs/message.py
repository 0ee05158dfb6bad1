"""A whole message: a header that says what it is, then the body of its codec.

Layout: ``u``, version (one byte), length of the codec's spec (one byte), the spec in ASCII; the arrays that are not
float, as they are, little-endian; the body. Arrays come in the order of their names.
"""

from collections.abc import Mapping

import numpy as np

from edge_runtime.errors import FleetError, InputError, TransferError
from edge_runtime.tensors import Array
from federated.codecs.codec import Codec, Context
from federated.codecs.reader import Reader
from federated.codecs.spec import parse, spec
from federated.update import check_finite

_MAGIC = b"u"
_VERSION = 1


def encode(codec: Codec, update: Mapping[str, Array], context: Context) -> bytes:
    """The message that holds `update` as `codec` writes it: named arrays of any shapes, numeric dtypes.

    Raises:
        FleetError: an element is NaN or infinite.
    """
    check_finite(update)
    floats, others = _sorts(update)
    name = spec(codec).encode("ascii")
    head = _MAGIC + bytes([_VERSION, len(name)]) + name
    parts = [update[name].astype(update[name].dtype.newbyteorder("<")).tobytes() for name in sorted(others)]
    return b"".join([head, *parts, codec.encode(floats, context)])


def decode(content: bytes, like: Mapping[str, Array], codec: Codec | None = None) -> dict[str, Array]:
    """The update that `encode` was given, or what its codec left of it; whatever the bytes, nothing else happens.

    Args:
        content: a message, from anyone.
        like: arrays of the same names, dtypes and shapes; nothing larger is allocated.
        codec: the one that was agreed on; another is refused. None: any that this version knows.

    Raises:
        TransferError: the content is not a message, cut short, damaged, or of other arrays.
        FleetError: it is written with another codec, or holds NaN or infinity.
    """
    reader = Reader(content)
    named = _header(reader)
    if codec is not None and named != spec(codec):
        raise FleetError(f"update is written as '{named}'; '{spec(codec)}' was agreed on")
    codec = codec or _known(named)
    floats, others = _sorts(like)
    found = {name: _plain(reader, others[name]) for name in sorted(others)}
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        found |= codec.decode(reader, floats)
    reader.done()
    check_finite(found)
    return {name: found[name] for name in like}


def _header(reader: Reader) -> str:
    if reader.take(1) != _MAGIC:
        raise TransferError("this is no update: it begins with other bytes")
    version = reader.byte()
    if version != _VERSION:
        raise TransferError(f"update is of version {version}; {_VERSION} can be read")
    return reader.take(reader.byte()).decode("ascii", "replace")


def _known(named: str) -> Codec:
    try:
        return parse(named)
    except InputError as error:
        raise TransferError(f"update is damaged: {error}") from error


def _sorts(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Float arrays, and the others."""
    floats = {name: array for name, array in arrays.items() if np.issubdtype(array.dtype, np.floating)}
    return floats, {name: array for name, array in arrays.items() if name not in floats}


def _plain(reader: Reader, like: Array) -> Array:
    dtype = like.dtype.newbyteorder("<")
    found = np.frombuffer(reader.take(like.size * dtype.itemsize), dtype)
    return found.astype(like.dtype).reshape(like.shape)
