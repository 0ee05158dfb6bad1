"""Gradients of activations.

Where a derivative is 0 or 1, the gradient is multiplied by a mask: on ONNX Runtime's x86 kernels, Where costs
twice as much, and Sign five times.
"""

import math

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Relu")
def relu(g: Graph, node: Node, dy: Value) -> Gradients:
    """max(x, 0): dx = dy·[y > 0]."""
    return dy * g.positive(node.y)


@rule("Clip")
def clip(g: Graph, node: Node, dy: Value) -> Gradients:
    """Clip to bounds: dx = dy·[y = x]; a bound gets the sum of dy over what lies beyond it."""
    low = g.sum(dy * g.mask("Less", node.x, node.input(1)), _all(node)) if node.has(1) else None
    high = g.sum(dy * g.mask("Greater", node.x, node.input(2)), _all(node)) if node.has(2) else None
    if g.blocked:
        return dy * g.mask("Equal", node.x, node.y), low, high
    # On Arm a Cast from booleans takes six instructions an element: 1.27 M against 2.04 M for 4 x 96 x 24x24.
    return g.op("Where", g.op("Equal", node.x, node.y), dy, 0.0), low, high


def _all(node: Node) -> list[int]:
    return list(range(len(node.x.shape)))


@rule("LeakyRelu")
def leaky_relu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x, or alpha·x below 0."""
    alpha = float(node.attribute("alpha", 0.01))
    return dy * (g.positive(node.x) * (1 - alpha) + alpha)


@rule("Elu")
def elu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x, or y = alpha·(exp(x) - 1) below 0, where the derivative is y + alpha."""
    positive = g.positive(node.x)
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
    inside = g.positive(node.y) * g.mask("Less", node.y, 1.0)
    return dy * (inside * float(node.attribute("alpha", 0.2)))


@rule("HardSwish")
def hard_swish(g: Graph, node: Node, dy: Value) -> Gradients:
    """x·h with h = clip(x/6 + 1/2, 0, 1): dx = dy·(h + x/6·[-3 < x < 3])."""
    h = g.op("HardSigmoid", node.x, alpha=1 / 6, beta=0.5)
    inside = g.positive(h) * g.mask("Less", h, 1.0)
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


@rule("PRelu", weights=(1,))
def prelu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x, or slope·x below 0: dslope = dy·min(x, 0)."""
    positive, slope = g.positive(node.x), node.input(1)
    below = 1.0 - positive
    dslope = g.unbroadcast(dy * (node.x * below), node.y.shape, slope)
    return dy * (positive + below * slope), dslope


@rule("Selu")
def selu(g: Graph, node: Node, dy: Value) -> Gradients:
    """gamma·x, or y = gamma·alpha·(exp(x) - 1) below 0, where the derivative is y + gamma·alpha."""
    alpha = float(node.attribute("alpha", 1.67326319217681884765625))
    gamma = float(node.attribute("gamma", 1.05070102214813232421875))
    positive = g.positive(node.x)
    return dy * (positive * gamma + (1.0 - positive) * (node.y + gamma * alpha))


@rule("Celu")
def celu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x, or y = alpha·(exp(x/alpha) - 1) below 0, where the derivative is y/alpha + 1."""
    below = g.op("Min", node.y, 0.0) * (1 / float(node.attribute("alpha", 1.0)))
    return dy * (below + 1.0)


@rule("ThresholdedRelu")
def thresholded_relu(g: Graph, node: Node, dy: Value) -> Gradients:
    """x above alpha, else 0."""
    return dy * g.mask("Greater", node.x, float(node.attribute("alpha", 1.0)))


@rule("Shrink")
def shrink(g: Graph, node: Node, dy: Value) -> Gradients:
    """x moved towards 0 by a bias where |x| > lambd, else 0."""
    return dy * g.mask("Greater", g.op("Abs", node.x), float(node.attribute("lambd", 0.5)))


@rule("Softsign")
def softsign(g: Graph, node: Node, dy: Value) -> Gradients:
    """x/(1 + |x|): dx = dy·(1 - |y|)²."""
    rest = 1.0 - g.op("Abs", node.y)
    return dy * (rest * rest)


@rule("Swish")
def swish(g: Graph, node: Node, dy: Value) -> Gradients:
    """x·s with s = sigmoid(alpha·x): dx = dy·(s + alpha·y·(1 - s))."""
    alpha = float(node.attribute("alpha", 1.0))
    s = g.op("Sigmoid", node.x if alpha == 1 else node.x * alpha)
    return dy * (s + node.y * (1.0 - s) * alpha)


@rule("Mish")
def mish(g: Graph, node: Node, dy: Value) -> Gradients:
    """x·t with t = tanh(softplus(x)): dx = dy·(t + x·(1 - t²)·sigmoid(x))."""
    t = g.op("Tanh", g.op("Softplus", node.x))
    return dy * (t + node.x * (1.0 - t * t) * g.op("Sigmoid", node.x))
