"""A message as bytes: a header of JSON, then the buffers of its arrays as they lie in memory.

::

    "LTW1"  uint32 n  n bytes of JSON  buffer  buffer ...        (little-endian, nothing between the parts)

The header is ``{"head": {...}, "records": [[name, kind, items], ...]}``. The items of an "arrays" record are
``[name, dtype, shape]`` in the order of the buffers, with dtype "bytes" for an opaque buffer such as the output of
a codec; those of "metrics" and "config" are a table. No pickle, no .npy header, no object is made before its size
is known to be there: every length is checked against the bytes that arrived.
"""

import base64
import binascii
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from edge_runtime.errors import TransferError
from edge_runtime.tensors import Array

MAGIC = b"LTW1"
MAX_HEADER_BYTES = 8 << 20
_LENGTH = struct.Struct("<I")
_FRONT = len(MAGIC) + _LENGTH.size
_OPAQUE = "bytes"
_NAMES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64"
_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in _NAMES.split()}
_RANK = 32

Kind = Literal["arrays", "metrics", "config"]
KINDS: tuple[Kind, ...] = ("arrays", "metrics", "config")


@dataclass(frozen=True, slots=True)
class Record:
    """Named items: of "arrays", numpy arrays or bytes; of "metrics" and "config", numbers, texts, bytes or lists."""

    kind: Kind
    items: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a few facts about it (numbers and texts), and records by name."""

    head: Mapping[str, Any]
    records: Mapping[str, Record] = field(default_factory=dict)


def encode(message: Message) -> bytes:
    """The message as bytes.

    Raises:
        TransferError: it holds what no message can carry, such as an array of objects.
    """
    buffers: list[Any] = []
    records = []
    for name, record in message.records.items():
        items: Any
        if record.kind == "arrays":
            items = [_buffer(each, value, buffers) for each, value in record.items.items()]
        else:
            items = {each: _plain(value) for each, value in record.items.items()}
        records.append([name, record.kind, items])
    try:
        text = json.dumps({"head": dict(message.head), "records": records}, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise TransferError(f"a message cannot carry this: {error}") from error
    return b"".join([MAGIC, _LENGTH.pack(len(text)), text, *buffers])


def decode(data: bytes | bytearray | memoryview) -> Message:
    """The message of these bytes; its arrays are views of them, and cannot be written.

    Raises:
        TransferError: they are not a message: cut short, altered, or made by something else.
    """
    try:
        return _decode(memoryview(data).toreadonly().cast("B"))
    except TransferError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error) as error:
        raise TransferError(
            f"the {len(data)} bytes that came are not a message: {_first(error)}; were they altered on the way?"
        ) from error


def _decode(data: memoryview) -> Message:
    if len(data) < _FRONT or bytes(data[: len(MAGIC)]) != MAGIC:
        raise ValueError(f"they do not begin with {MAGIC.decode()}")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    if length > MAX_HEADER_BYTES or _FRONT + length > len(data):
        raise ValueError(f"a header of {length} bytes is announced")
    header = json.loads(bytes(data[_FRONT : _FRONT + length]))
    head = {_text(key): _fact(value) for key, value in header["head"].items()}
    rest, records = data[_FRONT + length :], {}
    for name, kind, items in header["records"]:
        if kind not in KINDS or _text(name) in records:
            raise ValueError(f"record {name!r} is of an unknown kind, or there twice")
        if kind == "arrays":
            found, rest = _arrays(items, rest)
        else:
            found = {_text(key): _unplain(value) for key, value in items.items()}
        records[name] = Record(kind, found)
    if len(rest):
        raise ValueError(f"{len(rest)} bytes are left over")
    return Message(head, records)


def _arrays(items: Iterable[Any], rest: memoryview) -> tuple[dict[str, Any], memoryview]:
    found: dict[str, Any] = {}
    for name, dtype, shape in items:
        if _text(name) in found or not _is_shape(shape):
            raise ValueError(f"array {name!r} is there twice, or of no shape")
        itemsize = 1 if dtype == _OPAQUE else _DTYPES[dtype].itemsize
        size = prod(shape) * itemsize  # of Python's integers: nothing wraps around
        if size > len(rest):
            raise ValueError(f"array {name!r} should have {size} bytes and {len(rest)} are left")
        part, rest = rest[:size], rest[size:]
        found[name] = bytes(part) if dtype == _OPAQUE else np.frombuffer(part, _DTYPES[dtype]).reshape(shape)
    return found, rest


def _buffer(name: str, value: Any, buffers: list[Any]) -> list[Any]:
    if isinstance(value, bytes):
        buffers.append(value)
        return [name, _OPAQUE, [len(value)]]
    array: Array = np.asarray(value)
    wanted = _DTYPES.get(array.dtype.name)
    if wanted is None:
        raise TransferError(f"array '{name}' is of {array.dtype}; a message carries {', '.join(_DTYPES)}")
    shape = list(array.shape)  # before ascontiguousarray, which makes a scalar one-dimensional
    buffers.append(np.ascontiguousarray(array, wanted).reshape(-1).view(np.uint8).data)
    return [name, array.dtype.name, shape]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _unplain(value: Any) -> Any:
    if isinstance(value, dict):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise ValueError("its base64 is damaged") from error
    if isinstance(value, list):
        return [_unplain(each) for each in value]
    return _fact(value)


def _fact(value: Any) -> Any:
    if not isinstance(value, str | int | float | None):
        raise TypeError(f"a number or a text is expected, not {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is expected, not {type(value).__name__}")
    return value


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= _RANK
        and all(type(length) is int and length >= 0 for length in value)
    )


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
