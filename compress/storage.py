"""How a bundle stores a graph: as it is, or with its weights entropy-coded."""

import onnx
from onnx import numpy_helper

from converter.lowering.flatbuffer import buffers
from converter.trainable import tensor_data
from edge_runtime.storage import SUFFIX, code


def stored(graph: bytes, *, coded: bool) -> dict[str, bytes]:
    """The files of a bundle that hold a serialised graph: as it is, or coded without loss."""
    if not coded:
        return {"infer.onnx": graph}
    sizes = {
        tensor.name: numpy_helper.to_array(tensor).itemsize
        for tensor in onnx.load_from_string(graph).graph.initializer
    }
    places = [(offset, length, sizes[name]) for name, (offset, length) in tensor_data(graph).items()]
    return {f"infer.onnx{SUFFIX}": code(graph, places)}


def stored_size(graph: bytes, *, coded: bool) -> int:
    """Bytes that a bundle takes to hold a serialised graph."""
    return sum(map(len, stored(graph, coded=coded).values()))


def stored_lowered(content: bytes, *, coded: bool) -> dict[str, bytes]:
    """The same of a .tflite file."""
    return {f"infer.tflite{SUFFIX}": code(content, buffers(content))} if coded else {"infer.tflite": content}


def lowered_size(content: bytes, *, coded: bool) -> int:
    """Bytes that a bundle takes to hold a .tflite file."""
    return sum(map(len, stored_lowered(content, coded=coded).values()))
