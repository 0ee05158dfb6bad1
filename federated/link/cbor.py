"""CBOR (RFC 8949), as much of it as messages need; arrays are those of RFC 8746, and usual words take a byte or two.

Lengths are definite, and a floating-point number takes four bytes where it is one of float32. An array is tag 40 around
its shape and a typed array, little-endian; booleans have a tag of their own, for the RFC has none. A word of `WORDS` is
a simple value, as in "Packed CBOR" (draft-ietf-cbor-packed): the list belongs to the link's version, and grows only at
its end.
"""

import struct
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from edge_runtime.errors import TransferError
from edge_runtime.tensors import Array

_USUAL = """
    work update config message metrics num-examples loss arrays kind run client group repeat way train up down seed
    number held messages epochs batch-size lr server-round method evaluate query query.personalise error accuracy
    secure text round codec before replies"""
WORDS = tuple(_USUAL.split())
_KNOWN = {word: number for number, word in enumerate(WORDS)}
_UINT, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_ARRAY = 40
_TYPED = {
    "uint8": 64, "uint16": 69, "uint32": 70, "uint64": 71, "int8": 72, "int16": 77, "int32": 78, "int64": 79,
    "float16": 84, "float32": 85, "float64": 86, "bool": 0xB001,
}  # fmt: skip
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in _TYPED}
_OF_TAG = {tag: DTYPES[name] for name, tag in _TYPED.items()}
_FALSE, _TRUE, _NULL, _HALF, _SINGLE, _DOUBLE = 20, 21, 22, 25, 26, 27
_FLOATS = {_HALF: struct.Struct(">e"), _SINGLE: struct.Struct(">f"), _DOUBLE: struct.Struct(">d")}
_ONE_BYTE, _TWO_BYTES = 20, 32  # simple values below 20 take one byte; those from 32 on take two
_RANK, _DEPTH, _ITEMS = 32, 8, 1 << 20


def encode(value: Any) -> list[Any]:
    """The value as parts to be joined; what arrays hold is not copied.

    Args:
        value: None, a truth value, number, text, bytes, array, or a list or table of such.

    Raises:
        TransferError: it is something else, or a number beyond 64 bits.
    """
    parts: list[Any] = []
    _put(value, parts)
    return parts


def _put(value: Any, parts: list[Any]) -> None:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        parts.append(_front(_SIMPLE, _NULL if value is None else _TRUE if value else _FALSE))
    elif isinstance(value, str):
        _put_text(value, parts)
    elif isinstance(value, int):
        parts.append(_front(_UINT, value) if value >= 0 else _front(_NEGATIVE, -1 - value))
    elif isinstance(value, float):
        short = abs(value) < 1e38 and float(np.float32(value)) == value
        code = _SINGLE if short else _DOUBLE
        parts.append(bytes((_SIMPLE << 5 | code,)) + _FLOATS[code].pack(value))
    elif isinstance(value, bytes | bytearray | memoryview):
        parts += (_front(_BYTES, len(value)), value)
    elif isinstance(value, np.ndarray):
        _put_array(value, parts)
    elif isinstance(value, list | tuple):
        parts.append(_front(_LIST, len(value)))
        for each in value:
            _put(each, parts)
    elif isinstance(value, Mapping):
        parts.append(_front(_MAP, len(value)))
        for name, each in value.items():
            _put_text(name, parts)
            _put(each, parts)
    else:
        raise TransferError(f"a message cannot carry this: an object of {type(value).__name__}")


def _put_text(text: Any, parts: list[Any]) -> None:
    if not isinstance(text, str):
        raise TransferError(f"a message cannot carry this: a name that is of {type(text).__name__}")
    number = _KNOWN.get(text)
    if number is None:
        content = text.encode()
        parts += (_front(_TEXT, len(content)), content)
    elif number < _ONE_BYTE:
        parts.append(bytes((_SIMPLE << 5 | number,)))
    else:
        parts.append(bytes((_SIMPLE << 5 | 24, number - _ONE_BYTE + _TWO_BYTES)))


def _put_array(array: Array, parts: list[Any]) -> None:
    tag = _TYPED.get(array.dtype.name)
    if tag is None:
        raise TransferError(f"an array is of {array.dtype}; a message carries {', '.join(DTYPES)}")
    parts += (_front(_TAG, _ARRAY), _front(_LIST, 2))
    _put(list(array.shape), parts)
    content = np.ascontiguousarray(array, DTYPES[array.dtype.name]).reshape(-1).view(np.uint8).data
    parts += (_front(_TAG, tag), _front(_BYTES, array.nbytes), content)


def _front(major: int, count: int) -> bytes:
    """The first byte of an item, and its count."""
    if count < 24:
        return bytes((major << 5 | count,))
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if count < 1 << 8 * width:
            return bytes((major << 5 | code,)) + count.to_bytes(width, "big")
    raise TransferError("a message cannot carry this: a number beyond 64 bits")


def decode(data: memoryview) -> Any:
    """The value of these bytes; its arrays are views of them.

    Raises:
        ValueError: they are not one value of this kind and nothing else. Nothing is made before its size is known to be
            there.
    """
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes are left over")
    return value


class _Reader:
    """A place in bytes that are not trusted."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at, self._items = data, 0, _ITEMS

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if size > len(self.data) - self.at:
            raise ValueError(f"{size} bytes are announced and {len(self.data) - self.at} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def front(self) -> tuple[int, int, int]:
        """Major type, what the first byte says, and the count."""
        first = self.take(1)[0]
        major, code = first >> 5, first & 31
        if code < 24:
            return major, code, code
        if code > 27:
            raise ValueError(f"an item of no length, {first:#x}")
        return major, code, int.from_bytes(self.take(1 << code - 24), "big")

    def value(self, depth: int) -> Any:
        """The next item."""
        self._items -= 1
        if self._items < 0 or depth > _DEPTH:
            raise ValueError("it has too many parts")
        major, code, count = self.front()
        if major in (_UINT, _NEGATIVE):
            return count if major == _UINT else -1 - count
        if major in (_BYTES, _TEXT):
            content = bytes(self.take(count))
            return content if major == _BYTES else content.decode()
        if major == _SIMPLE:
            return self._simple(code, count)
        if major == _TAG:
            return self._array(count)
        if count > len(self.data) - self.at:
            raise ValueError(f"{count} parts are announced and {len(self.data) - self.at} bytes are left")
        if major == _LIST:
            return [self.value(depth + 1) for _ in range(count)]
        return self._table(count, depth)

    def _table(self, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            name = self.value(depth + 1)
            if not isinstance(name, str) or name in found:
                raise ValueError(f"name {name!r} is there twice, or is none")
            found[name] = self.value(depth + 1)
        return found

    def _simple(self, code: int, count: int) -> Any:
        if code in _FLOATS:
            return _FLOATS[code].unpack(count.to_bytes(1 << code - 24, "big"))[0]
        if count in (_FALSE, _TRUE, _NULL) and code == count:
            return None if count == _NULL else count == _TRUE
        number = count if code < _ONE_BYTE else count - _TWO_BYTES + _ONE_BYTE
        if number >= len(WORDS) or (code == 24) != (number >= _ONE_BYTE):
            raise ValueError(f"word {number} is unknown")
        return WORDS[number]

    def _array(self, tag: int) -> Array:
        if tag != _ARRAY or self.front() != (_LIST, 2, 2):
            raise ValueError(f"an item of tag {tag}")
        major, _, rank = self.front()
        lengths = [self.front() for _ in range(rank)] if rank <= _RANK else []
        if major != _LIST or len(lengths) != rank or any(each[0] != _UINT for each in lengths):
            raise ValueError("an array of no shape")
        shape = [length for _, _, length in lengths]
        typed, content = self.front(), self.front()
        dtype = _OF_TAG.get(typed[2])
        if typed[0] != _TAG or content[0] != _BYTES or dtype is None:
            raise ValueError("an array of no type")
        if content[2] != prod(shape) * dtype.itemsize:  # of Python's integers: nothing wraps around
            raise ValueError(f"an array of shape {shape} in {content[2]} bytes")
        return np.frombuffer(self.take(content[2]), dtype).reshape(shape)
