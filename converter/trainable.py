"""Bundles that can learn: inference graph, training step, evaluation graph and initial weights.

The device exports a trained model without the onnx package: `weights.json` says where in `infer.onnx` the
bytes of each parameter lie, so new weights are written over them. The offsets are found by reading the file's
protobuf structure, as https://protobuf.dev/programming-guides/encoding/ defines it.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import helper, numpy_helper

from converter.autodiff.canonical import canonical
from converter.differentiate import METADATA, differentiate, evaluation_graph
from edge_runtime.bundle import Bundle, Manifest, Preprocess, pack
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array, TensorSpec
from edge_runtime.trainer import write_parameters

# Field numbers in onnx.proto.
_GRAPH, _INITIALIZER, _NAME, _RAW_DATA = 7, 5, 8, 9


def pack_trainable(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    name: str,
    target: str = "rpi4",
    loss: str = "cross_entropy",
    optimizer: str = "sgd",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trainable: Collection[str] | None = None,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle that runs and learns. The same arguments give the same bytes.

    Args:
        model: as for `converter.differentiate.differentiate`.
        path: where to; with a suffix a zip, else a folder.
        name: what the model is called.
        target: the device profile that it is meant for.
        loss: "cross_entropy" or "mse".
        optimizer: "sgd" or "adam".
        momentum: of sgd.
        weight_decay: added to each gradient, times the weight.
        trainable: the weights to train; None trains all.
        preprocess: how pictures become the input.
        labels: the classes' names.
        metrics: what was measured of the model.

    Raises:
        ModelError: the model cannot be differentiated.
        InputError: `path` cannot be written.
    """
    inference = canonical(model)
    train = differentiate(
        model,
        loss=loss,
        optimizer=optimizer,
        momentum=momentum,
        weight_decay=weight_decay,
        trainable=trainable,
    )
    table = json.loads(next(entry.value for entry in train.metadata_props if entry.key == METADATA))
    parameters = _content(inference, table["parameters"])
    infer_bytes = _serialised(inference)
    files = {
        "infer.onnx": infer_bytes,
        "train.onnx": _serialised(train),
        "eval.onnx": _serialised(evaluation_graph(model, trainable, loss=loss)),
        "params.npz": write_parameters(parameters),
        "weights.json": _weights_table(infer_bytes, parameters),
    }
    inputs, outputs = (
        tuple(map(_spec, values)) for values in (inference.graph.input, inference.graph.output)
    )
    known = dict(metrics or {})
    return pack(path, Manifest(name, target, inputs, outputs, preprocess, tuple(labels), (), known), files)


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


def _weights_table(model: bytes, parameters: Mapping[str, Array]) -> bytes:
    places = tensor_data(model)
    table = {}
    for name, array in parameters.items():
        offset, length = places[name]
        if model[offset : offset + length] != array.tobytes():
            raise ModelError(f"'{name}': its bytes are not where the serialised model should hold them")
        table[name] = {"offset": offset, "length": length}
    return (json.dumps(table, indent=1) + "\n").encode()


def _content(model: onnx.ModelProto, names: Collection[str]) -> dict[str, Array]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return {name: numpy_helper.to_array(tensors[name]) for name in names}


def _serialised(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?") for dim in kind.shape.dim
    )
    return TensorSpec(value.name, helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape)
