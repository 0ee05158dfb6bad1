"""Gradients of trigonometric and hyperbolic functions and their inverses."""

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Sin")
def sin(g: Graph, node: Node, dy: Value) -> Gradients:
    """Sine: dx = dy·cos(x)."""
    return dy * g.op("Cos", node.x)


@rule("Cos")
def cos(g: Graph, node: Node, dy: Value) -> Gradients:
    """Cosine: dx = -dy·sin(x)."""
    return -(dy * g.op("Sin", node.x))


@rule("Tan")
def tan(_g: Graph, node: Node, dy: Value) -> Gradients:
    """Tangent: dx = dy·(1 + y²)."""
    return dy * (node.y * node.y + 1.0)


@rule("Asin")
def asin(g: Graph, node: Node, dy: Value) -> Gradients:
    """Inverse sine: dx = dy/√(1 - x²)."""
    return dy / g.op("Sqrt", 1.0 - node.x * node.x)


@rule("Acos")
def acos(g: Graph, node: Node, dy: Value) -> Gradients:
    """Inverse cosine: dx = -dy/√(1 - x²)."""
    return -(dy / g.op("Sqrt", 1.0 - node.x * node.x))


@rule("Atan")
def atan(_g: Graph, node: Node, dy: Value) -> Gradients:
    """Inverse tangent: dx = dy/(1 + x²)."""
    return dy / (node.x * node.x + 1.0)


@rule("Sinh")
def sinh(g: Graph, node: Node, dy: Value) -> Gradients:
    """Hyperbolic sine: dx = dy·cosh(x)."""
    return dy * g.op("Cosh", node.x)


@rule("Cosh")
def cosh(g: Graph, node: Node, dy: Value) -> Gradients:
    """Hyperbolic cosine: dx = dy·sinh(x)."""
    return dy * g.op("Sinh", node.x)


@rule("Asinh")
def asinh(g: Graph, node: Node, dy: Value) -> Gradients:
    """Inverse hyperbolic sine: dx = dy/√(x² + 1)."""
    return dy / g.op("Sqrt", node.x * node.x + 1.0)


@rule("Acosh")
def acosh(g: Graph, node: Node, dy: Value) -> Gradients:
    """Inverse hyperbolic cosine: dx = dy/√(x² - 1)."""
    return dy / g.op("Sqrt", node.x * node.x - 1.0)


@rule("Atanh")
def atanh(_g: Graph, node: Node, dy: Value) -> Gradients:
    """Inverse hyperbolic tangent: dx = dy/(1 - x²)."""
    return dy / (1.0 - node.x * node.x)
