"""The forward pass, recorded: its nodes in a form that has a gradient, and which of them the backward pass visits."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import onnx

from converter.autodiff.expand import expand, infer, learn
from converter.autodiff.graph import FLOATS, Graph, Value
from converter.autodiff.inline import uses
from converter.autodiff.registry import STOPS, TRAINING_FORMS, Node


def record(g: Graph, nodes: Iterable[onnx.NodeProto], wanted: Collection[str]) -> list[Node]:
    """Write the forward nodes into `g`, those that depend on `wanted` in the form that has a gradient.

    That is their training form, or, for an operator that has no rule, the simpler ones that it is made of.

    Returns:
        The nodes that depend on `wanted`: those that the backward pass visits, in forward order.
    """
    tape = _Tape(g, frozenset(wanted), set(wanted))
    for proto in nodes:
        tape.add(proto)
    return tape.nodes


@dataclass(frozen=True, slots=True)
class _Tape:
    """What has been recorded.

    `active` are the values that depend on the trainable ones, `changed` those whose shape is known better now
    than it was before an operator was written out.
    """

    g: Graph
    trainable: frozenset[str]
    active: set[str]
    nodes: list[Node] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)

    def add(self, proto: onnx.NodeProto, *, written: bool = False) -> None:
        """Record a node; one that an expansion has written may turn out to be a constant."""
        if written and learn(self.g, proto, self.active):
            return
        touched = not self.active.isdisjoint(uses(proto))
        if touched or (written and proto.op_type == "If"):
            parts = expand(self.g, Node.of(self.g, proto))
            if parts is not None:
                self._add_parts(proto, parts)
                return
        if not self.changed.isdisjoint(proto.input):
            self._forget(proto)
            infer(self.g, proto)
        if not touched or proto.op_type in STOPS:
            self.g.nodes.append(proto)
            return
        form = TRAINING_FORMS.get(proto.op_type)
        if form is None:
            self.g.nodes.append(proto)
        node = (
            Node.of(self.g, proto) if form is None else form(self.g, Node.of(self.g, proto), self.trainable)
        )
        self.nodes.append(node)
        self.active.update(value.name for value in node.outputs if _passes(node, value))

    def _add_parts(self, proto: onnx.NodeProto, parts: Iterable[onnx.NodeProto]) -> None:
        self._forget(proto)
        for part in parts:
            self.add(part, written=True)

    def _forget(self, proto: onnx.NodeProto) -> None:
        for name in proto.output:
            self.g.shapes.pop(name, None)
            self.changed.add(name)


def _passes(node: Node, value: Value) -> bool:
    """Whether a gradient may arrive: an integer has none, except where it stands for a rounded number."""
    return value.elem_type in FLOATS or node.proto.op_type == "QuantizeLinear"
