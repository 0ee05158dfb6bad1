"""What to do with a model when nobody says: quantise it, or, where there is nothing to quantise, say why."""

from collections.abc import Iterator
from math import sqrt

import numpy as np
import onnx

from compress.fidelity import compare
from compress.quantization.sensitivity import MixedPrecision
from compress.recipe import Optimize, Recipe
from compress.step import Work
from converter.model import WEIGHTED, constants, to_bytes
from edge_runtime.console import say
from edge_runtime.errors import ModelError
from edge_runtime.session import Session

_ENOUGH = 0.95
"""Agreement of the quantised model below which its most sensitive layers stay in float, until it is reached."""


_DOUBT = 1.64  # standard errors of a share, beyond which it is below with a confidence of 95 %


def suited(model: onnx.ModelProto) -> tuple[Recipe, bool]:
    """A recipe, and whether the weights are worth coding because nothing else makes them smaller."""
    known = constants(model.graph)
    floats = {name for name, value in known.items() if value.dtype == np.float32}
    if any(node.op_type in WEIGHTED and node.input[1] in floats for node in model.graph.node):
        return Recipe(), False
    inner = sum(node.op_type in WEIGHTED for node in _inside(model.graph))
    if inner:
        deciding = ", ".join(sorted(_deciding(model.graph)))
        say(
            f"its {inner} layers are inside {_kinds(model.graph)}, where nothing is quantised: the weights are only "
            f"coded. Where one branch is enough, make a constant of what decides: --fix INPUT=VALUE, of {deciding}"
        )
    elif any(value.dtype in (np.int8, np.uint8) and value.size > 1 for value in known.values()):
        say("its weights are 8-bit integers already: they are only coded")
    else:
        say("it has no Conv, Gemm or MatMul with constant weights to quantise: the weights are only coded")
    return Recipe((Optimize(),)), True


def finer(model: onnx.ModelProto, work: Work, measure: str) -> tuple[Recipe, onnx.ModelProto] | None:
    """What to do where the plain recipe's result answers too differently: keep the fewest layers in float.

    Args:
        model: what the plain recipe made.
        work: its source, and the samples on which the answers are compared.
        measure: how, see `compress.fidelity`.

    Returns:
        The recipe and its result; None where the plain one is good enough, or this cannot be done.
    """
    reference, outputs = (
        Session(to_bytes(each)).run_batches(work.samples.x)[0] for each in (work.source, model)
    )
    found = compare(reference, outputs, measure=measure)
    # A share of few samples says little: one ambiguous picture of twenty must not keep a network in float.
    doubt = (
        0.0
        if found.measure != "classes"
        else _DOUBT * sqrt(found.agreement * (1 - found.agreement) / found.n)
    )
    if found.agreement + doubt >= _ENOUGH:
        return None
    say(f"int8 agrees on {found.agreement:.1%}: keep the most sensitive layers in float")
    recipe = Recipe((Optimize(), MixedPrecision(agreement=_ENOUGH, most=0.9, measure=measure)))
    made = work.source
    try:
        for step in recipe.steps:
            made = step(made, work)
    except ModelError as error:
        say(f"all stay in int8: {error}")
        return None
    return recipe, made


def _inside(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graphs inside the graph."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from attribute.g.node
                yield from _inside(attribute.g)


def _kinds(graph: onnx.GraphProto) -> str:
    return " and ".join(sorted({n.op_type for n in graph.node if any(a.HasField("g") for a in n.attribute)}))


def _deciding(graph: onnx.GraphProto) -> set[str]:
    """The inputs on which a condition of the graph depends."""
    made = {name: node for node in graph.node for name in node.output}
    inputs = {value.name for value in graph.input}
    found: set[str] = set()
    waiting = [node.input[0] for node in graph.node if node.op_type == "If"]
    while waiting:
        name = waiting.pop()
        if name in inputs:
            found.add(name)
        elif name in made:
            waiting += made[name].input
    return found or inputs
