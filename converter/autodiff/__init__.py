"""Differentiation of ONNX graphs: one rule an operator, applied in reverse.

To add an operator, write its rule in the file of its family (see `converter.autodiff.registry`)::

    @rule("Tanh")
    def tanh(g: Graph, node: Node, dy: Value) -> Gradients:
        return dy * (1.0 - node.y * node.y)
"""

from converter.autodiff import (
    activation,
    attention,
    control,
    conv,
    conv_transpose,
    dropout,
    einsum,
    elementwise,
    indexing,
    layer_norm,
    linear,
    norm_pooling,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    sampling,
    shape,
    spectral,
    trigonometric,
)
from converter.autodiff.graph import Graph, Shape, Value
from converter.autodiff.registry import RULES, Node, rule, training_form, weight_names
from converter.autodiff.reverse import backward, gradient_graph, prune
from converter.autodiff.shapes import infer_shapes
from converter.autodiff.tape import record

FAMILIES = (
    activation,
    attention,
    control,
    conv,
    conv_transpose,
    dropout,
    einsum,
    elementwise,
    indexing,
    layer_norm,
    linear,
    norm_pooling,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    sampling,
    shape,
    spectral,
    trigonometric,
)

__all__ = [
    "FAMILIES",
    "RULES",
    "Graph",
    "Node",
    "Shape",
    "Value",
    "backward",
    "gradient_graph",
    "infer_shapes",
    "prune",
    "record",
    "rule",
    "training_form",
    "weight_names",
]
