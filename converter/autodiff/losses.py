"""Losses: each writes its value and its gradient with respect to the model's output."""

from collections.abc import Callable
from dataclasses import dataclass

from onnx import TensorProto

from converter.autodiff.graph import Graph, Value
from edge_runtime.errors import ModelError


@dataclass(frozen=True, slots=True)
class Loss:
    """A scalar, its gradient with respect to the output, and the labels it takes (element type and shape)."""

    value: Value
    gradient: Value
    labels_type: int
    labels_shape: tuple[int | str, ...]


def cross_entropy(g: Graph, logits: Value, labels: Value) -> Loss:
    """Mean of -log softmax(logits)[label]; its gradient is (softmax - onehot)/n.

    logits: float[n, classes], labels: int64[n].

    Raises:
        ModelError: the output is not of that shape.
    """
    shape = logits.shape
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise ModelError(f"cross_entropy needs an output [batch, classes]; '{logits.name}' is {list(shape)}")
    log_p = g.op("LogSoftmax", logits, axis=-1)
    truth = g.op("OneHot", labels, [shape[1]], g.floats(0.0, 1.0), axis=-1)
    value = -g.op("ReduceMean", g.sum(log_p * truth, [1]), keepdims=0)
    gradient = (g.op("Exp", log_p) - truth) / g.count(logits, [0])
    return Loss(value, gradient, TensorProto.INT64, (shape[0],))


def mse(g: Graph, output: Value, labels: Value) -> Loss:
    """Mean of (output - labels)² over all elements; labels have the output's shape and type."""
    difference = output - labels
    value = g.op("ReduceMean", difference * difference, keepdims=0)
    gradient = difference * 2.0 / g.count(output, list(range(len(output.shape))))
    return Loss(value, gradient, g.elem_type, output.shape)


LOSSES: dict[str, Callable[[Graph, Value, Value], Loss]] = {"cross_entropy": cross_entropy, "mse": mse}
