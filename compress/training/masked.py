"""Zeros that stay zero while training: each weight that has some is multiplied by its mask, within the graph."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from converter.model import constants, consumers, copy, layer_weights, set_constant


def masked(model: onnx.ModelProto, names: Collection[str] | None = None) -> onnx.ModelProto:
    """The model with ``weight * mask`` in the place of every weight that holds zeros.

    No gradient reaches a zero then, so no optimiser moves it. The weights keep their names.

    Args:
        model: a float model; it is not changed.
        names: constants to look at; None for the weights of convolutions and matrix products.
    """
    result = copy(model)
    graph = result.graph
    known, readers = constants(graph), consumers(graph)
    nodes = []
    for name in layer_weights(graph) if names is None else names:
        weight = known[name]
        if weight.dtype != np.float32 or weight.all():
            continue
        set_constant(graph, f"{name}.mask", (weight != 0).astype(np.float32))
        for node in readers[name]:
            for k, given in enumerate(node.input):
                if given == name:
                    node.input[k] = f"{name}.kept"
        nodes.append(helper.make_node("Mul", [name, f"{name}.mask"], [f"{name}.kept"], name=f"{name}.mask"))
    later = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *later])
    return result
