"""Differentiation of ONNX graphs: one rule an operator, applied in reverse.

To add an operator, write its rule in the file of its family (see `converter.autodiff.registry`)::

    @rule("Tanh")
    def tanh(g: Graph, node: Node, dy: Value) -> Gradients:
        return dy * (1.0 - node.y * node.y)
"""

from converter.autodiff import rules  # noqa: F401  (they register themselves)
from converter.autodiff.graph import Graph, Shape, Value
from converter.autodiff.registry import RULES, Node, rule, training_form, weight_names
from converter.autodiff.reverse import backward, gradient_graph, prune
from converter.autodiff.shapes import infer_shapes
from converter.autodiff.tape import record

__all__ = [
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
