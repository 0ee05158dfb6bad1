"""Dropout: switched on while training, from a fixed seed, so that a run repeats."""

import numpy as np
from onnx import helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule, training_form


@training_form("Dropout")
def dropout_training(g: Graph, node: Node, _trainable: frozenset[str]) -> Node:
    """The node in training mode, with its mask as second output. The seed differs from node to node."""
    ratio = node.input(1).name if node.has(1) else ""
    mask = node.outputs[1].name if len(node.outputs) > 1 else g.fresh(f"{node.y.name}.mask")
    inputs = [node.x.name, ratio, g.constant(np.array(True)).name]
    proto = helper.make_node("Dropout", inputs, [node.y.name, mask], node.proto.name, seed=1 + len(g.nodes))
    g.nodes.append(proto)
    return Node.of(g, proto)


@rule("Dropout")
def dropout(g: Graph, node: Node, dy: Value, *_mask: Value | None) -> Gradients:
    """While training, y = x·mask/(1 - ratio)."""
    ratio = float(node.constant(1)) if node.has(1) else 0.5
    return dy * (g.op("Cast", node.outputs[1], to=g.elem_type) * (1 / (1 - ratio)))
