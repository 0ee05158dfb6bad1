"""Gives the outputs that a quantised model leaves real a range, so that the layer before runs in integers as well."""

import numpy as np
import onnx
from onnx import helper

from converter.model import copy, producers, set_constant, to_bytes
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array


def quantize_outputs(model: onnx.ModelProto, samples: Array) -> onnx.ModelProto:
    """A copy in which every float output goes through int8, over the range that it has on `samples`.

    Args:
        model: a model in QDQ form, of one input.
        samples: float32[n, ...], as the model takes them.

    Raises:
        ModelError: the model is not quantised.
    """
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ModelError("samples are for a quantised model; this one has no QuantizeLinear")
    seen = Session(to_bytes(model)).run_batches(samples)
    made = copy(model)
    writers = producers(made.graph)
    for value, values in zip(made.graph.output, seen, strict=True):
        writer = writers.get(value.name)
        if values.dtype != np.float32 or writer is None or writer.op_type == "DequantizeLinear":
            continue
        real, low, high = f"{value.name}.real", min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        scale = max((high - low) / 255, float(np.finfo(np.float32).tiny) * 256)
        names = [f"{value.name}.output_scale", f"{value.name}.output_zero_point"]
        set_constant(made.graph, names[0], np.asarray(scale, np.float32))
        set_constant(made.graph, names[1], np.asarray(round(-128 - low / scale), np.int8))
        _rename(made.graph, value.name, real)
        integers = f"{value.name}.integers"
        made.graph.node.append(helper.make_node("QuantizeLinear", [real, *names], [integers]))
        made.graph.node.append(helper.make_node("DequantizeLinear", [integers, *names], [value.name]))
    return made


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
