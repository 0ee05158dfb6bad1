"""Which operators can be differentiated: one rule each, found by the operator's name.

A rule is a function ``rule(g, node, dy) -> gradients``. It gets the graph under construction, the forward
node, and the gradient of the loss with respect to each of the node's outputs, up to the last that matters (None
for one before it that does not). It returns the gradient with respect to each input, in order, None or missing
where there is none. What is not needed in the end is removed from the graph, so a rule may compute every
gradient without asking.

An operator that is made of simpler ones needs no rule: it is written out in their terms before the backward
pass (see `converter.autodiff.expand`), by an expansion registered here or by the function that ONNX's own
specification gives for it.

An operator that behaves differently while training (batch normalisation, dropout) has a training form as
well: a function that writes the forward node anew.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converter.autodiff.graph import Graph, Value
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the forward graph with its values; an optional input that is left out is None."""

    proto: onnx.NodeProto
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]

    @classmethod
    def of(cls, graph: Graph, proto: onnx.NodeProto) -> "Node":
        """Wrap `proto`."""
        inputs = tuple(graph.value(name) if name else None for name in proto.input)
        return cls(proto, inputs, tuple(graph.value(name) for name in proto.output))

    def __str__(self) -> str:
        return f"node '{self.proto.name or self.proto.output[0]}' ({self.proto.op_type})"

    @property
    def x(self) -> Value:
        """The first input."""
        return self.input(0)

    @property
    def y(self) -> Value:
        """The first output."""
        return self.outputs[0]

    def has(self, index: int) -> bool:
        """Whether that optional input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> Value:
        """An input that must be there.

        Raises:
            ModelError: it is left out.
        """
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise ModelError(f"{self}: input {index} is missing; the graph is not valid ONNX")
        return found

    def attribute(self, name: str, default: Any) -> Any:
        """The value of an attribute, or `default` where it is not given."""
        for attribute in self.proto.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def constant(self, index: int) -> Array:
        """The content of an input that a rule must know when the graph is compiled, such as axes.

        Raises:
            ModelError: it is computed at run time.
        """
        value = self.input(index)
        if value.name not in value.graph.constants:
            raise ModelError(
                f"{self}: input '{value.name}' must be a constant, for its gradient depends on it"
            )
        array: Array = numpy_helper.to_array(value.graph.constants[value.name])
        return array


Gradients: TypeAlias = Value | Sequence[Value | None] | None
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Rule:
    """How an operator is differentiated, and which of its inputs hold weights when they are constants."""

    gradient: Callable[..., Gradients]
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Expansion:
    """How an operator is written out in simpler ones, which of its inputs hold weights, and what it needs to know."""

    outputs: Callable[..., Sequence[Value | None] | Value | None]
    weights: tuple[int, ...] = ()
    needs: str = ""


RULES: dict[str, Rule] = {}
EXPANSIONS: dict[str, Expansion] = {}
TRAINING_FORMS: dict[str, Callable[[Graph, Node, frozenset[str]], Node]] = {}

# Piecewise constant, boolean or integer: no gradient passes, and none is expected.
STOPS = frozenset(
    """
    And ArgMax ArgMin Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil ConstantOfShape
    Equal EyeLike Floor Greater GreaterOrEqual Hardmax IsInf IsNaN Less LessOrEqual Multinomial NonZero Not Or
    RandomNormalLike RandomUniformLike Range Round Shape Sign Size Xor
    """.split()  # noqa: SIM905  (a list would take twenty lines)
)


def rule(*kinds: str, weights: tuple[int, ...] = ()) -> Callable[[F], F]:
    """Register the decorated function as the gradient of the operators `kinds`.

    Args:
        kinds: operators of ONNX's default domain.
        weights: inputs that are weights, and so trainable, when they are constants of more than one element.
    """

    def register(function: F) -> F:
        for kind in kinds:
            RULES[kind] = Rule(function, weights)
        return function

    return register


def expansion(*kinds: str, weights: tuple[int, ...] = (), needs: str = "") -> Callable[[F], F]:
    """Register the decorated function as what writes the operators `kinds` out in simpler ones.

    It is called ``outputs(g, node)``, adds nodes to the graph, and returns the values that take the place of
    the node's outputs; None where what it needs is not known.

    Args:
        kinds: as for `rule`.
        weights: as for `rule`.
        needs: what must be a constant for it, as a noun, for the error's sentence.
    """

    def register(function: F) -> F:
        for kind in kinds:
            EXPANSIONS[kind] = Expansion(function, weights, needs)
        return function

    return register


def training_form(kind: str) -> Callable[[F], F]:
    """Register the decorated function as what writes an operator's forward node while training.

    It is called ``form(g, node, trainable)`` with the names of the trainable tensors, and returns the node
    that the rule will see.
    """

    def register(function: F) -> F:
        TRAINING_FORMS[kind] = function
        return function

    return register


def gradient_of(node: Node) -> Callable[..., Gradients]:
    """The rule for a node.

    Raises:
        ModelError: there is none; the sentence names the operator and the node.
    """
    kind, domain = node.proto.op_type, node.proto.domain
    if domain in ("", "ai.onnx") and kind in RULES:
        return RULES[kind].gradient
    if not domain and kind in EXPANSIONS:
        raise ModelError(
            f"{node}: has a gradient only with {EXPANSIONS[kind].needs}; fix it, or freeze the weights before"
        )
    known = "" if domain else ", ".join(difflib.get_close_matches(kind, RULES, n=1))
    hint = f" (there is one for {known})" if known else ""
    raise ModelError(
        f"{node}: no gradient rule for operator {f'{domain}.' if domain else ''}{kind}{hint}; "
        "freeze the weights before it (trainable=[...]) or replace the operator"
    )


# What only moves elements: a weight may pass through it on its way to the operator that uses it.
_MOVES = frozenset(
    {"Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)


def weight_names(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, onnx.TensorProto], elem_type: int
) -> list[str]:
    """The constants that are weights, in the order in which the graph uses them.

    A constant is one if it feeds an operator where that has its weights, also transposed or joined with others,
    as exporters write it.
    """
    made = {name: node for node in nodes for name in node.output if node.op_type in _MOVES}
    found: dict[str, None] = {}
    for node in nodes:
        known = RULES.get(node.op_type) or EXPANSIONS.get(node.op_type)
        for index in known.weights if known else ():
            for name in _origins(node.input[index] if index < len(node.input) else "", made):
                tensor = constants.get(name)
                if tensor is not None and tensor.data_type == elem_type and _learns(tensor):
                    found[name] = None
    return list(found)


def _origins(name: str, made: Mapping[str, onnx.NodeProto]) -> list[str]:
    """What a value is a rearrangement of; itself if it is none."""
    node = made.get(name)
    if node is None:
        return [name]
    return [
        origin
        for x in (node.input if node.op_type == "Concat" else node.input[:1])
        for origin in _origins(x, made)
    ]


def _learns(tensor: onnx.TensorProto) -> bool:
    """A scalar is a setting, and infinity a mask; neither is a weight."""
    return np.prod(tensor.dims, initial=1) > 1 and bool(np.isfinite(numpy_helper.to_array(tensor)).all())
