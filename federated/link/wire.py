"""A message as bytes: the number of the wire's version, then one item of CBOR (`federated.link.cbor`).

The item is ``[head, {name: [kind, items], ...}]``. The items of an "arrays" record are arrays, or bytes such as a reply
that is kept; those of "metrics" and "config" are a table. No pickle, no .npy header, no object is made before its size
is known to be there: every length is checked against the bytes that arrived.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edge_runtime.errors import TransferError
from federated.link import cbor

VERSION = 2
MAGIC = bytes((VERSION,))
_OLD = b"LTW1"

Kind = Literal["arrays", "metrics", "config"]
KINDS: tuple[Kind, ...] = ("arrays", "metrics", "config")


@dataclass(frozen=True, slots=True)
class Record:
    """Named items: of "arrays", numpy arrays or bytes; of "metrics" and "config", numbers, texts, bytes or lists."""

    kind: Kind
    items: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a few facts about it (numbers, texts and bytes), and records by name."""

    head: Mapping[str, Any]
    records: Mapping[str, Record] = field(default_factory=dict)


def encode(message: Message) -> bytes:
    """The message as bytes.

    Raises:
        TransferError: it holds what no message can carry, such as an array of objects.
    """
    records = {name: [record.kind, _items(record)] for name, record in message.records.items()}
    return b"".join([MAGIC, *cbor.encode([dict(message.head), records])])


def decode(data: bytes | bytearray | memoryview) -> Message:
    """The message of these bytes; its arrays are views of them, and cannot be written.

    Raises:
        TransferError: they are not a message: cut short, altered, or made by something else.
    """
    try:
        return _decode(memoryview(data).toreadonly().cast("B"))
    except (TypeError, ValueError, struct.error) as error:
        raise TransferError(
            f"the {len(data)} bytes that came are not a message: {_first(error)}; were they altered on the way?"
        ) from error


def _decode(data: memoryview) -> Message:
    if bytes(data[: len(_OLD)]) == _OLD:
        raise ValueError(f"they are of version 1 of the link, and this end speaks version {VERSION}")
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise ValueError(f"they do not begin with {VERSION}, the version")
    found = cbor.decode(data[len(MAGIC) :])
    if not (isinstance(found, list) and len(found) == 2 and all(isinstance(each, dict) for each in found)):
        raise TypeError("head and records are expected")
    head, records = found
    if not all(_is_fact(value) for value in head.values()):
        raise TypeError("the head holds more than numbers and texts")
    return Message(head, {name: _record(name, entry) for name, entry in records.items()})


def _record(name: str, entry: Any) -> Record:
    kind, items = entry if isinstance(entry, list) and len(entry) == 2 else ("", None)
    if kind not in KINDS or not isinstance(items, dict):
        raise ValueError(f"record {name!r} is of an unknown kind")
    fits = _is_buffer if kind == "arrays" else _is_plain
    for each, value in items.items():
        if not fits(value):
            raise TypeError(f"item {each!r} cannot be in {kind}")
    return Record(kind, items)


def _items(record: Record) -> dict[str, Any]:
    if record.kind != "arrays":
        return dict(record.items)
    found: dict[str, Any] = {}
    for name, value in record.items.items():
        found[name] = value if isinstance(value, bytes) else np.asarray(value)
        dtype = getattr(found[name], "dtype", None)
        if dtype is not None and dtype.name not in cbor.DTYPES:
            raise TransferError(f"array '{name}' is of {dtype}; a message carries {', '.join(cbor.DTYPES)}")
    return found


def _is_fact(value: Any) -> bool:
    return isinstance(value, str | int | float | bytes | None)


def _is_buffer(value: Any) -> bool:
    return isinstance(value, bytes | np.ndarray)


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, list) else _is_fact(value)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
