"""Gradients of ConvTranspose: a convolution's, with the roles swapped."""

import math

from onnx import helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import RULES, Gradients, Node, rule


@rule("ConvTranspose", weights=(1, 2))
def conv_transpose(g: Graph, node: Node, dy: Value) -> Gradients:
    """y = Wᵀ * x + b, x: [n, i, ...], W: [i, o/group, ...]: dx = W * dy; dW is that of x = W * dy for "dx" = x."""
    x, w = node.x, node.input(1)
    rank = len(w.shape) - 2
    proto = helper.make_node(
        "Conv",
        [dy.name, w.name],
        [x.name],
        node.proto.name,
        group=node.attribute("group", 1),
        kernel_shape=[int(k) for k in w.shape[2:]],
        **_window(node, rank),
    )
    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    dx = g.op("Conv", dy, w, **attributes)
    g.shapes[dy.name] = node.y.shape  # the rule below takes dy for the input of the convolution
    found = RULES["Conv"].gradient(g, Node(proto, (dy, w), (x,)), x)
    dw = found[1] if isinstance(found, list | tuple) else None
    return dx, dw, g.sum(dy, [0, *range(2, 2 + rank)]) if node.has(2) else None


def _window(node: Node, rank: int) -> dict[str, list[int]]:
    """Strides, dilations and pads of the convolution that leads from y to x.

    The padding may be given by the output's size, and then it is shared between begin and end: the odd element
    is at the end with SAME_UPPER, and at the beginning otherwise.
    """
    strides = [int(s) for s in node.attribute("strides", [1] * rank)]
    dilations = [int(d) for d in node.attribute("dilations", [1] * rank)]
    pads = [int(p) for p in node.attribute("pads", [0] * (2 * rank))]
    auto = node.attribute("auto_pad", "NOTSET")
    spare = node.attribute("output_padding", [0] * rank)
    if auto.startswith("SAME") or node.attribute("output_shape", None):
        sizes = zip(node.x.shape[2:], node.y.shape[2:], node.input(1).shape[2:], strict=True)
        for axis, (n, out, k) in enumerate(sizes):
            reach = strides[axis] * (int(n) - 1) + spare[axis] + (int(k) - 1) * dilations[axis] + 1
            total = max(reach - int(out), 0)
            begin = total // 2 if auto == "SAME_UPPER" else math.ceil(total / 2)
            pads[axis], pads[rank + axis] = begin, total - begin
    return {"strides": strides, "dilations": dilations, "pads": pads}
