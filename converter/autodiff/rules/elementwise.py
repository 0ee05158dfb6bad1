"""Gradients of element-wise arithmetic, with broadcasting."""

import math

from converter.autodiff.graph import FLOATS, Graph, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Add", weights=(0, 1))
def add(g: Graph, node: Node, dy: Value) -> Gradients:
    """Sum of two, a + b: both get dy."""
    return _both(g, node, dy, dy)


@rule("Sub")
def sub(g: Graph, node: Node, dy: Value) -> Gradients:
    """Difference, a - b."""
    return _both(g, node, dy, -dy)


@rule("Mul", weights=(0, 1))
def mul(g: Graph, node: Node, dy: Value) -> Gradients:
    """Product: da = dy·b, db = dy·a."""
    return _both(g, node, dy * node.input(1), dy * node.x)


@rule("Div")
def div(g: Graph, node: Node, dy: Value) -> Gradients:
    """Quotient: da = dy/b, db = -dy·y/b."""
    da = dy / node.input(1)
    return _both(g, node, da, -(da * node.y))


def _both(g: Graph, node: Node, da: Value, db: Value) -> Gradients:
    shape = node.y.shape
    return g.unbroadcast(da, shape, node.x), g.unbroadcast(db, shape, node.input(1))


@rule("Sum")
def sum_(g: Graph, node: Node, dy: Value) -> Gradients:
    """Sum of any number of tensors."""
    return [g.unbroadcast(dy, node.y.shape, x) for x in node.inputs if x is not None]


@rule("Where")
def where(g: Graph, node: Node, dy: Value) -> Gradients:
    """Selection by a condition, which has no gradient."""
    chosen = g.op("Where", node.x, dy, 0.0)
    other = g.op("Where", node.x, 0.0, dy)
    shape = node.y.shape
    return None, g.unbroadcast(chosen, shape, node.input(1)), g.unbroadcast(other, shape, node.input(2))


@rule("Mean")
def mean(g: Graph, node: Node, dy: Value) -> Gradients:
    """Mean of n tensors: each gets dy/n."""
    share = dy * (1 / len(node.inputs))
    return [g.unbroadcast(share, node.y.shape, x) for x in node.inputs if x is not None]


@rule("Max", "Min")
def extremum(g: Graph, node: Node, dy: Value) -> Gradients:
    """The largest or smallest of several: it gets the gradient; equal ones share it."""
    inputs = [x for x in node.inputs if x is not None]
    if len(inputs) == 1:
        return dy
    masks = [g.mask("Equal", x, node.y) for x in inputs]
    share = dy / g.op("Sum", *masks)
    return [g.unbroadcast(share * mask, node.y.shape, x) for x, mask in zip(inputs, masks, strict=True)]


@rule("Pow")
def pow_(g: Graph, node: Node, dy: Value) -> Gradients:
    """Power, x**p: dx = dy·p·x**(p-1), dp = dy·y·log(x), which is 0 where x is."""
    x, p, shape = node.x, node.input(1), node.y.shape
    if p.name in g.constants and p.elem_type not in FLOATS:  # ONNX allows integers here
        exponent = node.constant(1).astype(g.dtype)
        return g.unbroadcast(dy * g.op("Pow", x, exponent - 1) * exponent, shape, x)
    dx = dy * p * g.op("Pow", x, p - 1.0)
    positive = g.op("Greater", x, 0.0)
    dp = dy * node.y * g.op("Log", g.op("Where", positive, x, 1.0))
    return g.unbroadcast(dx, shape, x), g.unbroadcast(dp, shape, p)


@rule("Mod")
def mod(g: Graph, node: Node, dy: Value) -> Gradients:
    """Remainder, y = a - q·b with a whole q: da = dy, db = -dy·q."""
    quotient = g.op("Round", (node.x - node.y) / node.input(1))
    return _both(g, node, dy, -(dy * quotient))


@rule("Neg")
def neg(_g: Graph, _node: Node, dy: Value) -> Gradients:
    """-x."""
    return -dy


@rule("Abs")
def abs_(g: Graph, node: Node, dy: Value) -> Gradients:
    """|x|: dx = dy·sign(x)."""
    return dy * g.op("Sign", node.x)


@rule("Reciprocal")
def reciprocal(_g: Graph, node: Node, dy: Value) -> Gradients:
    """1/x: dx = -dy·y²."""
    return -(dy * (node.y * node.y))


@rule("Sqrt")
def sqrt(_g: Graph, node: Node, dy: Value) -> Gradients:
    """Square root: dx = dy/(2y)."""
    return dy * 0.5 / node.y


@rule("Exp")
def exp(_g: Graph, node: Node, dy: Value) -> Gradients:
    """e**x: dx = dy·y."""
    return dy * node.y


@rule("Log")
def log(_g: Graph, node: Node, dy: Value) -> Gradients:
    """Natural logarithm: dx = dy/x."""
    return dy / node.x


@rule("Erf")
def erf(g: Graph, node: Node, dy: Value) -> Gradients:
    """Error function: dx = dy·2/√π·exp(-x²)."""
    return dy * (g.op("Exp", -(node.x * node.x)) * (2 / math.sqrt(math.pi)))


@rule("Identity")
def identity(_g: Graph, _node: Node, dy: Value) -> Gradients:
    """The value itself."""
    return dy


@rule("Cast", "CastLike")
def cast(g: Graph, node: Node, dy: Value) -> Gradients:
    """Another floating type: the gradient takes the type back."""
    return g.op("Cast", dy, to=node.x.elem_type)
