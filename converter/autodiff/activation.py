"""Gradients of activations.

Where a derivative is 0 or 1, the gradient is multiplied by a mask: on ONNX Runtime's CPU kernels, Where costs
twice as much, and Sign five times.
"""

import math

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Relu")
def relu(g: Graph, node: Node, dy: Value) -> Gradients:
    """max(x, 0): dx = dy·[y > 0]."""
    return dy * g.mask("Greater", node.y, 0.0)


@rule("Clip")
def clip(g: Graph, node: Node, dy: Value) -> Gradients:
    """Clip to bounds that are not trained: dx = dy·[y = x]."""
    return dy * g.mask("Equal", node.x, node.y)


@rule("LeakyRelu")
def leaky_relu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x, or alpha·x below 0."""
    alpha = float(node.attribute("alpha", 0.01))
    return dy * (g.mask("Greater", node.x, 0.0) * (1 - alpha) + alpha)


@rule("Elu")
def elu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x, or y = alpha·(exp(x) - 1) below 0, where the derivative is y + alpha."""
    positive = g.mask("Greater", node.x, 0.0)
    return dy * (positive + (1.0 - positive) * (node.y + float(node.attribute("alpha", 1.0))))


@rule("Sigmoid")
def sigmoid(_g: Graph, node: Node, dy: Value) -> Gradients:
    """1/(1 + exp(-x)): dx = dy·y·(1 - y)."""
    return dy * (node.y * (1.0 - node.y))


@rule("Tanh")
def tanh(_g: Graph, node: Node, dy: Value) -> Gradients:
    """Hyperbolic tangent: dx = dy·(1 - y²)."""
    return dy * (1.0 - node.y * node.y)


@rule("Softplus")
def softplus(g: Graph, node: Node, dy: Value) -> Gradients:
    """log(1 + exp(x)): dx = dy·sigmoid(x)."""
    return dy * g.op("Sigmoid", node.x)


@rule("HardSigmoid")
def hard_sigmoid(g: Graph, node: Node, dy: Value) -> Gradients:
    """clip(alpha·x + beta, 0, 1): dx = dy·alpha·[0 < y < 1]."""
    inside = g.mask("Greater", node.y, 0.0) * g.mask("Less", node.y, 1.0)
    return dy * (inside * float(node.attribute("alpha", 0.2)))


@rule("HardSwish")
def hard_swish(g: Graph, node: Node, dy: Value) -> Gradients:
    """x·h with h = clip(x/6 + 1/2, 0, 1): dx = dy·(h + x/6·[-3 < x < 3])."""
    h = g.op("HardSigmoid", node.x, alpha=1 / 6, beta=0.5)
    inside = g.mask("Greater", h, 0.0) * g.mask("Less", h, 1.0)
    return dy * (h + node.x * inside * (1 / 6))


@rule("Gelu")
def gelu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x·Φ(x), exact: dx = dy·(Φ(x) + x·φ(x)); or the approximation by tanh."""
    x = node.x
    if node.attribute("approximate", "none") == "tanh":
        c = math.sqrt(2 / math.pi)
        square = x * x
        t = g.op("Tanh", x * (square * (0.044715 * c) + c))
        slope = x * (square * (3 * 0.044715 * c) + c) * (1.0 - t * t)
        return dy * ((t + slope + 1.0) * 0.5)
    cdf = (g.op("Erf", x * math.sqrt(0.5)) + 1.0) * 0.5
    pdf = g.op("Exp", x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return dy * (cdf + x * pdf)


@rule("Softmax")
def softmax(g: Graph, node: Node, dy: Value) -> Gradients:
    """Softmax along an axis: dx = y·(dy - Σ dy·y)."""
    weighted = dy * node.y
    return weighted - node.y * g.sum(weighted, [node.attribute("axis", -1)], keep=True)


@rule("LogSoftmax")
def log_softmax(g: Graph, node: Node, dy: Value) -> Gradients:
    """log(softmax(x)) along an axis: dx = dy - softmax(x)·Σ dy."""
    return dy - g.op("Exp", node.y) * g.sum(dy, [node.attribute("axis", -1)], keep=True)
