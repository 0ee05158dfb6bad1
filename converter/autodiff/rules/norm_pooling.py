"""Gradients of pooling by a norm."""

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule
from converter.autodiff.rules.window import Window


@rule("GlobalLpPool")
def global_lp_pool(g: Graph, node: Node, dy: Value) -> Gradients:
    """y = (Σ|x|^p)^(1/p) over the spatial axes: dx = dy·sign(x)·(|x|/y)^(p-1)."""
    return _slope(g, node) * (dy * _inverse_power(g, node))


@rule("LpPool")
def lp_pool(g: Graph, node: Node, dy: Value) -> Gradients:
    """The same over windows: dx = sign(x)·|x|^(p-1) times the sum of dy·y^(1-p) over the windows that x is in."""
    window = Window.of(node, node.attribute("kernel_shape", []))
    channels = int(node.x.shape[1])
    total = g.op(
        "ConvTranspose",
        dy * _inverse_power(g, node),
        np.ones((channels, 1, *window.kernel), g.dtype),
        group=channels,
        strides=list(window.strides),
        dilations=list(window.dilations),
        pads=window.pads,
        output_padding=window.left_over,
    )
    return _slope(g, node) * total


def _slope(g: Graph, node: Node) -> Value:
    """sign(x)·|x|^(p-1)."""
    p = int(node.attribute("p", 2))
    if p == 2:
        return node.x
    sign = g.op("Sign", node.x)
    return sign if p == 1 else sign * g.op("Pow", g.op("Abs", node.x), float(p - 1))


def _inverse_power(g: Graph, node: Node) -> Value:
    """y^(1-p); 1 where y is 0, for then x is."""
    y = node.y + g.mask("Equal", node.y, 0.0)
    return g.op("Pow", y, float(1 - int(node.attribute("p", 2))))
