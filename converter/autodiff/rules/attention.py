"""Attention, by the function that ONNX's specification gives for it, with one change.

A row that may look at nothing has a softmax of nothing, 0/0. The function replaces the row by zeros afterwards,
which mends the value and not the gradient: 0 times nan is nan. So such a row is replaced before the softmax too.
"""

from collections.abc import Sequence

import onnx
from onnx import helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.inline import write_function
from converter.autodiff.registry import Node, expansion


@expansion("Attention", needs="known ranks")
def attention(g: Graph, node: Node) -> Sequence[Value | None] | None:
    """softmax(Q Kᵀ·scale + mask) V, with all that the operator knows: groups, caches, soft caps."""
    start = len(g.nodes)
    found = write_function(g, node)
    g.nodes[start:] = _guarded(g, g.nodes[start:])
    return found


def _guarded(g: Graph, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes with a Where before the softmax on the condition of the Where behind it, if there is one."""
    at = next((i for i, node in enumerate(nodes) if node.op_type == "Softmax"), len(nodes))
    behind = [node for node in nodes[at + 1 :] if node.op_type == "Where"]
    if not behind:
        return list(nodes)
    needed = {behind[0].input[0]}
    moved: list[onnx.NodeProto] = []
    for node in reversed(nodes[at + 1 :]):
        if not needed.isdisjoint(node.output):
            moved.insert(0, node)
            needed.update(node.input)
    softmax, zero = nodes[at], g.constant(0.0)
    if softmax.output[0] in needed:
        return list(nodes)
    like, guarded = g.fresh("zero"), g.fresh("guarded")
    written = [
        helper.make_node("CastLike", [zero.name, softmax.input[0]], [like]),
        helper.make_node("Where", [behind[0].input[0], like, softmax.input[0]], [guarded]),
    ]
    softmax.input[0] = guarded
    rest = [node for node in nodes[at + 1 :] if not any(node is other for other in moved)]
    return [*nodes[:at], *moved, *written, softmax, *rest]
