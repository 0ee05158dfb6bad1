"""The gradient of Einsum: an Einsum of the gradient and of the other operands."""

import string
from collections.abc import Sequence

import numpy as np

from converter.autodiff.graph import Graph, Shape, Value
from converter.autodiff.registry import Gradients, Node, rule


@rule("Einsum", weights=(0, 1))
def einsum(g: Graph, node: Node, dy: Value) -> Gradients:
    """For "ab,bc->ac", dA is "ac,bc->ab": the output and the operand change places.

    A letter that only this operand has was summed: its gradient is repeated along it. A letter that it has twice
    took a diagonal: the gradient is put there, by a unit matrix as one more operand.
    """
    operands = [node.input(i) for i in range(len(node.inputs))]
    terms, out = _explicit(node.attribute("equation", ""), [x.shape for x in operands], node.y.shape)
    return [_of(g, index, operands, terms, dy, out) for index in range(len(operands))]


def _of(g: Graph, index: int, operands: Sequence[Value], terms: Sequence[str], dy: Value, out: str) -> Value:
    x, term = operands[index], terms[index]
    others = [i for i in range(len(operands)) if i != index]
    known = set(out).union(*(terms[i] for i in others))
    free = [letter for letter in string.ascii_letters if letter not in known.union(term)]
    inputs, lefts, right = [dy, *(operands[i] for i in others)], [out, *(terms[i] for i in others)], ""
    # An axis of length 1 that was broadcast (only what an ellipsis stands for may be) is summed afterwards.
    shape: list[int | str] = []
    lengths = _lengths([(terms[i], operands[i].shape) for i in range(len(operands))])
    for axis, letter in enumerate(term):
        if letter in right:
            new = free.pop()
            inputs.append(g.constant(np.eye(int(x.shape[axis]), dtype=g.dtype)))
            lefts.append(letter + new)
            letter = new
        elif letter not in known:
            inputs.append(g.op("Expand", 1.0, g.op("Shape", x, start=axis, end=axis + 1)))
            lefts.append(letter)
        shape.append(lengths.get(letter, x.shape[axis]))
        right += letter
    gradient = g.op("Einsum", *inputs, equation=f"{','.join(lefts)}->{right}")
    return g.unbroadcast(gradient, tuple(shape), x)


def _lengths(terms: Sequence[tuple[str, Shape]]) -> dict[str, int | str]:
    """The length that each letter stands for, after broadcasting."""
    found: dict[str, int | str] = {}
    for term, shape in terms:
        for letter, length in zip(term, shape, strict=True):
            if found.get(letter, 1) == 1:
                found[letter] = length
    return found


def _explicit(equation: str, shapes: Sequence[Shape], result: Shape) -> tuple[list[str], str]:
    """The operands' letters and the output's, with letters for the ellipsis too."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:
        letters = sorted(letter for letter in set(left) - set(",.") if left.count(letter) == 1)
        right = ("..." if "..." in left else "") + "".join(letters)
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    ranks = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    hidden = max((rank for rank, term in zip(ranks, terms, strict=True) if "..." in term), default=0)
    names = "".join(spare[:hidden])
    filled = [term.replace("...", names[hidden - rank :]) for term, rank in zip(terms, ranks, strict=True)]
    rest = len(result) - len(right.replace("...", ""))
    return filled, right.replace("...", names[hidden - rest :])
