"""Where in a serialised model the bytes of its parameters lie: the table by which a device writes new ones.

The offsets are found by reading the file's protobuf structure, as
https://protobuf.dev/programming-guides/encoding/ defines it. `edge_runtime.training.export` describes the table.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from converter.model import attribute, consumers, producers
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

# Field numbers in onnx.proto.
_GRAPH, _INITIALIZER, _NAME, _RAW_DATA = 7, 5, 8, 9


def tensor_data(model: bytes) -> dict[str, tuple[int, int]]:
    """Offset and length of the raw data of each initializer in a serialised model."""
    found = {}
    for graph in _fields(model, (0, len(model)), _GRAPH):
        for tensor in _fields(model, graph, _INITIALIZER):
            names = list(_fields(model, tensor, _NAME))
            data = list(_fields(model, tensor, _RAW_DATA))
            if names and data:
                (start, stop), (first, last) = names[-1], data[-1]
                found[model[start:stop].decode()] = (first, last - first)
    return found


def _fields(buffer: bytes, span: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    """Where the content of each length-delimited field `wanted` of the message at `span` starts and stops."""
    position, end = span
    while position < end:
        key, position = _varint(buffer, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _, position = _varint(buffer, position)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        elif wire == 2:
            length, position = _varint(buffer, position)
            if number == wanted:
                yield position, position + length
            position += length
        else:
            raise ModelError(f"byte {position}: not a serialised ONNX model (wire type {wire})")


def _varint(buffer: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def weights_table(model: bytes, parameters: Mapping[str, Array]) -> dict[str, Any]:
    """The place of each parameter in a float model.

    Raises:
        ModelError: the model does not hold it.
    """
    places = tensor_data(model)
    table: dict[str, Any] = {}
    for name, array in parameters.items():
        offset, length = places[name]
        if model[offset : offset + length] != array.tobytes():
            raise ModelError(f"'{name}': its bytes are not where the serialised model should hold them")
        table[name] = {"offset": offset, "length": length}
    return table


def quantized_table(
    model: bytes, quantized: onnx.ModelProto, original: onnx.ModelProto, parameters: Mapping[str, Array]
) -> dict[str, Any]:
    """The places of each parameter in a model in QDQ form: of integers and scales, or as floats.

    Args:
        model: the quantised model serialised.
        quantized: the same.
        original: the float model that it was made of.
        parameters: the float parameters, by the names that they have in the float model.

    Raises:
        ModelError: the model does not hold a parameter: it was not made of this float model, or normalisation
            was folded into weights on the way.
    """
    known = {tensor.name: tensor for tensor in quantized.graph.initializer}
    places = {k: {"offset": offset, "length": length} for k, (offset, length) in tensor_data(model).items()}
    table: dict[str, Any] = {}
    for name in parameters:
        if f"{name}.integers" in known:
            integers = numpy_helper.to_array(known[f"{name}.integers"])
            table[name] = {
                "integers": places[f"{name}.integers"],
                "scale": places[f"{name}.scale"],
                "limit": int(np.abs(integers.astype(int)).max(initial=1)),
                "axis": _axis(quantized.graph, known, name),
                "biases": [],
            }
        elif name in known:
            table[name] = places[name]
    names = _bias_names(original.graph, parameters)
    for stem, scale, weight, group in _biases(quantized.graph, known):
        if weight in table:
            of = names.get((weight, stem), names.get((weight, "")))
            table[weight]["biases"].append(
                {
                    "integers": places[f"{stem}.integers"],
                    "scale": places[f"{stem}.scale"],
                    "input_scale": float(numpy_helper.to_array(known[scale])),
                    "of": of,
                    "group": group,
                }
            )
            if of is not None:
                table.setdefault(of, {"with": []})["with"].append(weight)
    for name in parameters:
        if name not in table:
            raise ModelError(
                f"the quantised model holds no '{name}': train the very model that was quantised, with its "
                "batch normalisation folded (converter.optimize)"
            )
    return table


def _bias_names(graph: onnx.GraphProto, parameters: Mapping[str, Array]) -> dict[tuple[str, str], str]:
    """The bias of each layer of the float model, by its weight and the name that the quantised bias gets."""
    found: dict[tuple[str, str], str] = {}
    for node in graph.node:
        if len(node.input) > 2 and node.input[2] in parameters:
            found[node.input[1], f"{node.output[0]}.bias"] = node.input[2]
            found.setdefault((node.input[1], ""), node.input[2])
    return found


def _axis(graph: onnx.GraphProto, known: Mapping[str, onnx.TensorProto], name: str) -> int | None:
    if not known[f"{name}.scale"].dims:
        return None
    node = next(n for n in consumers(graph)[f"{name}.integers"] if n.op_type == "DequantizeLinear")
    return int(attribute(node, "axis", 1))


def _biases(graph: onnx.GraphProto, known: Mapping[str, onnx.TensorProto]) -> list[tuple[str, str, str, int]]:
    """Each int32 bias: the stem of its name, and its layer's input scale, weight and number of groups."""
    made, found = producers(graph), []
    for node in graph.node:
        if len(node.input) < 3 or node.input[2] not in made:
            continue
        stem = node.input[2].removesuffix(".dequantized")
        source = made.get(node.input[0])
        if f"{stem}.integers" in known and source is not None and source.op_type == "DequantizeLinear":
            weight = node.input[1].removesuffix(".dequantized")
            found.append((stem, source.input[1], weight, int(attribute(node, "group", 1))))
    return found
