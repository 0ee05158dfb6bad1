"""Half precision: weights stored as float16 or bfloat16, and on request arithmetic in it.

Storage is the default: each weight is kept in 16 bits with a Cast to float32 behind it, which an engine folds when it
loads the model, so that the file halves and speed and kernels stay. onnxruntime's processor kernels calculate in
float32 and put a Cast around every operator of a float16 graph; `compute` is for engines and NPUs with kernels of their
own for it. Float16 (IEEE 754 binary16) keeps 11 bits of a number up to 65504, bfloat16 8 bits and float32's range.
"""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compress.step import Work
from converter.model import Model, copy, load, set_constant
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_KINDS: dict[str, tuple[int, Any, float]] = {  # ONNX's type, numpy's, and the largest number
    "float16": (TensorProto.FLOAT16, np.float16, 65504.0),
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16, 3.3895313892515355e38),
}
_FEW = 16  # constants of fewer elements stay as they are: limits, scales, epsilons
_FLOAT_INPUTS = {"Resize": (1, 2), "QuantizeLinear": (1,), "DequantizeLinear": (1,)}


@dataclass(frozen=True, slots=True)
class Half:
    """Parameters of the step: `kind` "float16" or "bfloat16"; `compute` in it, too."""

    kind: str = "float16"
    compute: bool = False

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return halve(model, self)


def halve(model: Model, options: Half | None = None) -> onnx.ModelProto:
    """Store the weights in 16 bits.

    Args:
        model: float32; or its path; it is not changed.
        options: which 16 bits.

    Returns:
        The model; its inputs and outputs stay float32. A weight beyond the range of the type stays float32.

    Raises:
        ModelError: the kind is unknown, or with `compute` the model has subgraphs or a weight beyond the range.
    """
    chosen = options or Half()
    if chosen.kind not in _KINDS:
        raise ModelError(f"half: kind is '{chosen.kind}'; expected float16 or bfloat16")
    result = copy(load(model))
    if chosen.compute:
        _compute(result.graph, chosen.kind)
    else:
        _store(result.graph, chosen.kind)
    onnx.checker.check_model(result)
    return result


def _store(graph: onnx.GraphProto, kind: str) -> None:
    made = []
    for tensor in list(graph.initializer):
        value = numpy_helper.to_array(tensor) if tensor.data_type == TensorProto.FLOAT else None
        if value is None or value.size < _FEW or not _fits(value, kind):
            continue
        graph.initializer.remove(tensor)
        set_constant(graph, f"{tensor.name}.half", value.astype(_KINDS[kind][1]))
        made.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*made, *rest])


def _compute(graph: onnx.GraphProto, kind: str) -> None:
    """Bring the whole graph to 16 bits, with a Cast behind every input and before every output."""
    elem_type, dtype, _ = _KINDS[kind]
    if any(found.HasField("g") for node in graph.node for found in node.attribute):
        raise ModelError("half: the model has control flow; compute = false stores its weights in 16 bits")
    kept = {
        node.input[k]
        for node in graph.node
        for k in _FLOAT_INPUTS.get(node.op_type, ())
        if k < len(node.input)
    }
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            value = numpy_helper.to_array(tensor)
            if not _fits(value, kind):
                raise ModelError(f"half: '{tensor.name}' holds values beyond {kind}; use bfloat16")
            tensor.CopyFrom(numpy_helper.from_array(value.astype(dtype), tensor.name))
    for node in graph.node:
        for found in node.attribute:
            if node.op_type in ("Cast", "RandomNormal") and found.name in ("to", "dtype"):
                found.i = elem_type if found.i == TensorProto.FLOAT else found.i
            if found.type == onnx.AttributeProto.TENSOR and found.t.data_type == TensorProto.FLOAT:
                found.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found.t).astype(dtype)))
    del graph.value_info[:]
    _cast_ends(graph, elem_type)


def _cast_ends(graph: onnx.GraphProto, elem_type: int) -> None:
    floats = TensorProto.FLOAT
    first, last, renamed = [], [], {}
    for value in graph.input:
        if value.type.tensor_type.elem_type == floats:
            renamed[value.name] = f"{value.name}.half"
            first.append(helper.make_node("Cast", [value.name], [renamed[value.name]], to=elem_type))
    for value in graph.output:
        if value.type.tensor_type.elem_type == floats:
            renamed[value.name] = f"{value.name}.half"
            last.append(helper.make_node("Cast", [renamed[value.name]], [value.name], to=floats))
    for node in graph.node:
        for names in (node.input, node.output):
            for k, name in enumerate(names):
                names[k] = renamed.get(name, name)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest, *last])


def _fits(value: Array, kind: str) -> bool:
    return bool(np.isfinite(value).all() and np.abs(value).max(initial=0) <= _KINDS[kind][2])
