"""The Open Inference Protocol, version 2: requests and answers with tensors as JSON or as binary data.

https://github.com/kserve/open-inference-protocol, with its binary tensor data extension: after the JSON, whose length
the header ``Inference-Header-Content-Length`` gives, the tensors follow in order, little-endian and row by row.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array, TensorSpec

HEADER_LENGTH = "inference-header-content-length"
DATATYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
"""The protocol's names of element types, and NumPy's."""
_NAMES = {kind: name for name, kind in DATATYPES.items()}
_MOST_DIMS = 32


@dataclass(frozen=True, slots=True)
class Request:
    """An inference asked for: `outputs` maps the names wanted (None for all) to whether as binary data."""

    id: str
    inputs: dict[str, Array]
    outputs: Mapping[str, bool] | None
    binary: bool


def parse(body: bytes, header_length: str | None) -> Request:
    """Read the body of an inference request.

    Args:
        body: JSON, and binary tensors after it.
        header_length: the header of that name: how many bytes the JSON has; None if there is nothing after it.

    Raises:
        InputError: the body is not such a request; the sentence says where.
    """
    table, rest = _split(body, header_length)
    tensors = table.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise InputError("the request needs 'inputs', a list of tensors with name, shape, datatype and data")
    parameters = _table(table.get("parameters", {}), "parameters")
    binary = bool(parameters.get("binary_data_output", False))
    found: dict[str, Array] = {}
    offset = 0
    for k, tensor in enumerate(tensors):
        name, array, size = _tensor(_table(tensor, f"inputs[{k}]"), rest, offset, f"inputs[{k}]")
        if name in found:
            raise InputError(f"inputs[{k}]: '{name}' is given twice")
        found[name] = array
        offset += size
    if offset != len(rest):
        raise InputError(
            f"{len(rest)} bytes follow the JSON; the inputs' binary_data_size account for {offset}"
        )
    return Request(str(table.get("id", "")), found, _wanted(table.get("outputs"), binary), binary)


def _split(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    length = len(body)
    if header_length is not None:
        if not header_length.isascii() or not header_length.isdigit() or int(header_length) > len(body):
            raise InputError(
                f"Inference-Header-Content-Length is '{header_length[:40]}'; expected at most {len(body)}, the body's"
            )
        length = int(header_length)
    try:
        table = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON ({str(error)[:80]})") from error
    return _table(table, "the body"), memoryview(body)[length:]


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value


def _tensor(tensor: dict[str, Any], rest: memoryview, offset: int, where: str) -> tuple[str, Array, int]:
    """Name and values of one input, and how many binary bytes it took."""
    name, kind, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if not isinstance(name, str) or not name:
        raise InputError(f"{where}: has no name")
    if not isinstance(kind, str) or kind not in DATATYPES:
        raise InputError(
            f"{where} '{name[:80]}': datatype is {str(kind)[:40]!r}; expected one of {', '.join(DATATYPES)}"
        )
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMS
        or not all(type(d) is int and d >= 0 for d in shape)
    ):
        raise InputError(f"{where} '{name[:80]}': shape is {str(shape)[:80]}; expected a list of lengths")
    dtype, count = np.dtype(DATATYPES[kind]), math.prod(shape)
    parameters = _table(tensor.get("parameters", {}), f"{where}.parameters")
    size = parameters.get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != count * dtype.itemsize or offset + size > len(rest):
            raise InputError(
                f"{where} '{name[:80]}': binary_data_size is {str(size)[:40]}; {kind} of shape {str(shape)[:80]} takes "
                f"{count * dtype.itemsize} bytes, and {len(rest) - offset} are left"
            )
        little = dtype.newbyteorder("<")
        return name, np.frombuffer(rest, little, count, offset).reshape(shape), size
    return name, _from_json(tensor.get("data"), dtype, shape, f"{where} '{name[:80]}'"), 0


def _from_json(data: object, dtype: "np.dtype[Any]", shape: Sequence[int], where: str) -> Array:
    if not isinstance(data, list):
        raise InputError(f"{where}: has neither data, a list, nor binary_data_size")
    try:
        read = np.asarray(data)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: data is ragged or not numbers") from error
    if read.dtype.kind not in ("biuf" if read.size else "biufO") or read.size != math.prod(shape):
        raise InputError(
            f"{where}: data holds {read.size} values of {read.dtype}; expected {math.prod(shape)} numbers"
        )
    if read.size and dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        if read.dtype.kind == "f" or read.min() < bounds.min or read.max() > bounds.max:
            raise InputError(f"{where}: data does not fit {dtype}")
    with np.errstate(over="ignore"):
        return read.astype(dtype).reshape(shape)


def _wanted(outputs: object, binary: bool) -> dict[str, bool] | None:
    if outputs is None:
        return None
    if not isinstance(outputs, list):
        raise InputError(f"outputs: expected a list, got {type(outputs).__name__}")
    found = {}
    for k, each in enumerate(outputs):
        table = _table(each, f"outputs[{k}]")
        parameters = _table(table.get("parameters", {}), f"outputs[{k}].parameters")
        found[str(table.get("name"))] = bool(parameters.get("binary_data", binary))
    return found


def answer(
    request: Request, model: str, version: str, outputs: Mapping[str, Array]
) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON if binary data follows.

    Raises:
        InputError: an output that is asked for does not exist.
    """
    wanted = request.outputs if request.outputs is not None else dict.fromkeys(outputs, request.binary)
    tensors: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for name, binary in wanted.items():
        if name not in outputs:
            raise InputError(f"outputs: the model has no '{name[:80]}'; it gives {', '.join(outputs)}")
        array = np.ascontiguousarray(outputs[name])
        if array.dtype.name not in _NAMES:
            raise InputError(f"output '{name}': {array.dtype} has no name in the protocol")
        tensor: dict[str, Any] = {
            "name": name,
            "shape": list(array.shape),
            "datatype": _NAMES[array.dtype.name],
        }
        if binary:
            chunks.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
            tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            tensor["data"] = array.ravel().tolist()
        tensors.append(tensor)
    table = {"model_name": model, "model_version": version, "outputs": tensors}
    head = json.dumps(table | ({"id": request.id} if request.id else {})).encode()
    return b"".join([head, *chunks]), len(head) if chunks else None


def metadata(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """Inputs or outputs as a model's metadata holds them; a length that varies is -1."""
    return [
        {
            "name": spec.name,
            "datatype": _NAMES.get(spec.dtype, "BYTES"),
            "shape": [dim if isinstance(dim, int) else -1 for dim in spec.shape],
        }
        for spec in specs
    ]
