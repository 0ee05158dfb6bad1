"""A new output layer for a new number of classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from converter.autodiff.canonical import canonical
from converter.model import attribute, consumers, producers
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_PASS = frozenset(
    "Add Clip Dropout Flatten GlobalAveragePool Identity LogSoftmax ReduceMean Relu Sigmoid Softmax Squeeze".split()  # noqa: SIM905
)
"""What may stand between the output layer and the output: it keeps the classes apart and holds no weights of its own
but a bias."""


@dataclass(frozen=True, slots=True)
class _Head:
    """The output layer: its node, the weight's name, the axis that counts the classes, and its bias if it has one."""

    node: onnx.NodeProto
    weight: str
    axis: int
    bias: str | None


def replace_head(model: onnx.ModelProto, classes: int, seed: int = 0) -> onnx.ModelProto:
    """The model with a fresh output layer for `classes` classes; every name is kept.

    The output layer is the last Gemm, MatMul (with or without an Add) or Conv before the output. Its weight is
    drawn from Glorot and Bengio's uniform distribution (2010, equation 16): ±sqrt(6 / (fan_in + fan_out)); its
    bias is zero.

    Args:
        model: one data input and one output, whose last axis (first after the batch, for a Conv) is the classes.
        classes: how many there shall be.
        seed: of the draw.

    Returns:
        A canonical copy; `model` is not changed.

    Raises:
        ModelError: there is no such layer, another node reads its weight too, or `classes` is less than 1.
    """
    if classes < 1:
        raise ModelError(f"{classes} classes: a model needs at least one")
    made = canonical(model)
    graph = made.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    head = _find(graph, tensors)
    old = numpy_helper.to_array(tensors[head.weight])
    shape = list(old.shape)
    shape[head.axis] = classes
    weight = _glorot(tuple(shape), head.axis, np.random.default_rng(seed)).astype(old.dtype)
    tensors[head.weight].CopyFrom(numpy_helper.from_array(weight, head.weight))
    if head.bias is not None:
        bias = tensors[head.bias]
        dims = [classes if length == old.shape[head.axis] else length for length in bias.dims]
        zeros = np.zeros(dims, numpy_helper.to_array(bias).dtype)
        bias.CopyFrom(numpy_helper.from_array(zeros, head.bias))
    del graph.value_info[:]
    graph.output[0].type.tensor_type.shape.dim[-1].ClearField("dim_param")
    graph.output[0].type.tensor_type.shape.dim[-1].dim_value = classes
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"the output layer '{head.weight}' cannot be given {classes} classes: a later node fixes their "
            f"number ({first})"
        ) from error
    return made


def _find(graph: onnx.GraphProto, tensors: dict[str, onnx.TensorProto]) -> _Head:
    bias = None
    node = None
    for node in _upwards(graph):
        if node.op_type in ("Gemm", "MatMul", "Conv"):
            break
        constants = [name for name in node.input if name in tensors]
        if node.op_type == "Add" and constants:
            bias = constants[0]
        elif node.op_type not in _PASS:
            node = None  # whatever comes before it is not the output layer
            break
    if node is None or node.op_type not in ("Gemm", "MatMul", "Conv") or node.input[1] not in tensors:
        stands = f"it ends in {node.op_type} '{node.output[0]}'" if node is not None else _ends(graph)
        raise ModelError(
            f"no output layer to replace: the model should end in a Gemm, MatMul or Conv with a constant weight, "
            f"perhaps with a bias and a Softmax behind it, but {stands}"
        )
    weight = node.input[1]
    if len(consumers(graph)[weight]) > 1:
        raise ModelError(f"the output layer's weight '{weight}' is tied: another layer uses it too")
    if node.op_type != "MatMul" and len(node.input) > 2:
        bias = node.input[2] if node.input[2] in tensors else bias
    return _Head(node, weight, _class_axis(node, tensors[weight]), bias)


def _class_axis(node: onnx.NodeProto, weight: onnx.TensorProto) -> int:
    if node.op_type == "Conv":
        return 0
    transposed = node.op_type == "Gemm" and attribute(node, "transB", 0)
    return 0 if transposed else len(weight.dims) - 1


def _upwards(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """From the output towards the input, along the first input of each node that a node makes."""
    makers = producers(graph)
    name = graph.output[0].name
    while name in makers:
        node = makers[name]
        yield node
        name = next((given for given in node.input if given in makers), "")


def _ends(graph: onnx.GraphProto) -> str:
    node = producers(graph)[graph.output[0].name]
    return f"it ends in {node.op_type} '{node.output[0]}'"


def _glorot(shape: tuple[int, ...], axis: int, rng: np.random.Generator) -> Array:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)); `axis` counts the outputs."""
    kernel = int(np.prod(shape[2:])) if len(shape) > 2 else 1
    fan_out = shape[axis] * kernel
    fan_in = int(np.prod(shape)) // shape[axis]
    limit = np.sqrt(6.0 / (fan_in + fan_out))
    drawn: Array = rng.uniform(-limit, limit, shape)
    return drawn
