"""ONNX models in memory: load, save, and the look-ups that every graph transformation needs."""

import math
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from edge_runtime.errors import ModelError
from edge_runtime.files import atomic, existing
from edge_runtime.tensors import Array

Model: TypeAlias = onnx.ModelProto | str | os.PathLike[str]
"""What every verb of the converter takes: a model, or the path of one."""

MAX_BYTES = 2**31
"""Of a serialised graph: a limit of protobuf."""
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""Operators that onnxruntime has."""
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators whose second input is a weight with output channels."""


def load(model: Model) -> onnx.ModelProto:
    """The model itself, checked; weights kept beside it are read in.

    Raises:
        InputError: there is nothing at the path.
        ModelError: it is not a valid ONNX model.
    """
    if isinstance(model, onnx.ModelProto):
        return model
    path = existing(model, "an ONNX model")
    try:
        loaded = onnx.load(str(path), load_external_data=False)
        _check(loaded, path)
        onnx.external_data_helper.load_external_data_for_model(loaded, str(path.parent))
        if all(value.type.tensor_type.HasField("shape") for value in loaded.graph.input):
            onnx.checker.check_model(loaded)  # which refuses inputs without; data may tell their rank
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: not a valid ONNX model ({first})") from error
    return loaded


def _check(model: onnx.ModelProto, path: Path) -> None:
    """Refuse what no floor above could work on, before its weights are read."""
    if not model.graph.node:
        raise ModelError(f"{path}: not a valid ONNX model (it has no nodes)")
    size = sum(math.prod(t.dims) * _bits(t.data_type) // 8 for t in model.graph.initializer)
    if size >= MAX_BYTES:
        raise ModelError(
            f"{path}: its weights take {size / 1e9:.1f} GB; one ONNX graph holds less than {MAX_BYTES / 1e9:.1f} GB, "
            "give the model in parts, or with weights of fewer bits"
        )
    for value in model.graph.input:
        if value.type.WhichOneof("value") != "tensor_type":
            raise ModelError(
                f"{path}: input '{value.name}' is no tensor; sequences, maps and optional inputs are not accepted"
            )
    own = {(function.domain, function.name) for function in model.functions}
    for node in _all_nodes(model.graph):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise ModelError(
                f"{path}: {node.op_type} is a custom operator of '{node.domain}', which onnxruntime does not have; "
                "write it with operators of ONNX, or as a function in the model"
            )


def _bits(kind: int) -> int:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    return 4 if kind in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4) else int(dtype.itemsize) * 8


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


def save(model: onnx.ModelProto, path: str | os.PathLike[str]) -> Path:
    """Write the model atomically, always the same bytes for the same model."""
    with atomic(path) as partial:
        partial.write_bytes(to_bytes(model))
    return Path(path)


def to_bytes(model: onnx.ModelProto) -> bytes:
    """The model serialised, always the same bytes for the same model."""
    return bytes(model.SerializeToString(deterministic=True))


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that may be changed."""
    duplicate = onnx.ModelProto()
    duplicate.CopyFrom(model)
    return duplicate


def constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Every value known before a run: initializers and outputs of Constant nodes, by name."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each value, by the value's name."""
    found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            found[name].append(node)
    return found


def captured(graph: onnx.GraphProto) -> set[str]:
    """Names that graphs inside the graph read: like its outputs, such values must keep their names."""
    inner = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    return {name for part in inner for node in _all_nodes(part) for name in node.input}


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each value, by the value's name."""
    return {name: node for node in graph.node for name in node.output}


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or `default`."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def layer_weights(graph: onnx.GraphProto) -> list[str]:
    """Names of the constants that are weights of a convolution or matrix product, sorted."""
    known = constants(graph)
    return sorted({n.input[1] for n in graph.node if n.op_type in WEIGHTED and n.input[1] in known})


def output_axis(node: onnx.NodeProto, rank: int) -> int:
    """The axis of a layer's weight, of that rank, that holds its output channels; the node is one of `WEIGHTED`."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, rank - 1)


def set_constant(graph: onnx.GraphProto, name: str, value: Array) -> None:
    """Add the initializer `name`, or replace its value."""
    tensor = numpy_helper.from_array(np.asarray(value, order="C"), name)
    for old in graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return
    graph.initializer.append(tensor)


def prune_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and initializers that no output needs, in place."""
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(
                name for a in node.attribute if a.HasField("g") for n in a.g.node for name in n.input
            )
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)


def strip_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove, in place, what an exporter notes about its machine, so that equal models are equal bytes."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    return model
