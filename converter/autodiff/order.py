"""Less memory for the same step: results that are made again, weights that are rewritten late, updates in place."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import onnx
from onnx import helper

from converter.autodiff.graph import Graph
from converter.autodiff.inline import uses

# Their gradient looks for the elements that were chosen: what they read must be what they had read, bit for bit.
_SELECTIVE = frozenset({"GlobalMaxPool", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin", "TopK"})
_LARGE = 4096  # elements of a weight from which another form of it is not kept
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Sum"})
_CHEAP = frozenset(
    """
    Add Sub Mul Div Neg Abs Sqrt Reciprocal BatchNormalization Cast Clip Relu LeakyRelu PRelu Elu Selu Celu
    HardSigmoid HardSwish Sigmoid Tanh Softplus Softsign Mish Gelu Erf Exp Greater Less Equal Not Where
    Identity Reshape Flatten Squeeze Unsqueeze
    """.split()  # noqa: SIM905  (a list would take thirty lines)
)


def in_place(nodes: Sequence[onnx.NodeProto], replaced: Mapping[str, str]) -> list[str]:
    """Inputs over which their new values may be written: whatever reads the old one is done by then.

    Args:
        nodes: of a graph.
        replaced: the output that holds the new value of an input, by the input.

    Returns:
        The inputs all of whose readers lie before the node that makes the new value, or are that node itself,
        working element by element.
    """
    made_by = {name: k for k, node in enumerate(nodes) for name in node.output}
    readers: dict[str, set[int]] = {}
    for k, node in enumerate(nodes):
        for name in uses(node):
            readers.setdefault(name, set()).add(k)
    found = []
    for before, after in replaced.items():
        last = made_by[after]
        while nodes[last].op_type == "Identity" and nodes[last].input[0] in made_by:
            last = made_by[nodes[last].input[0]]
        pending = readers.get(before, set()) - ({last} if nodes[last].op_type in _ELEMENTWISE else set())
        if not pending or pending <= _ancestors(nodes, made_by, last):
            found.append(before)
    return found


def without_copies(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes without each Identity that only gives a computed value an output's name: the value takes it."""
    readers = {name for node in nodes for name in uses(node)}
    inner = {name for node in nodes for name in uses(node) - set(node.input)}  # in the bodies of If and Loop
    made = {name for node in nodes if node.op_type != "Identity" for name in node.output} - inner
    named: dict[str, str] = {}
    kept = []
    for node in nodes:
        last = node.op_type == "Identity" and node.output[0] not in readers
        if last and node.input[0] in made and node.input[0] not in named:
            named[node.input[0]] = node.output[0]
        else:
            kept.append(node)
    found = []
    for node in kept:
        renamed = onnx.NodeProto.FromString(node.SerializeToString())
        for names in (renamed.input, renamed.output):
            for k, name in enumerate(names):
                names[k] = named.get(name, name)
        found.append(renamed)
    return found


def domains(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The operator sets that the nodes are of, also those in the bodies of others."""
    found = set()
    for node in nodes:
        found.add(node.domain)
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs]:
                found |= domains(graph.node)
    return found


def _ancestors(nodes: Sequence[onnx.NodeProto], made_by: Mapping[str, int], of: int) -> set[int]:
    found: set[int] = set()
    waiting = [of]
    while waiting:
        for name in uses(nodes[waiting.pop()]):
            k = made_by.get(name)
            if k is not None and k not in found:
                found.add(k)
                waiting.append(k)
    return found


def weights_first(nodes: Sequence[onnx.NodeProto], data: Collection[str]) -> list[onnx.NodeProto]:
    """The nodes, those before the others that do not depend on any of the inputs `data`.

    Of two operands, onnxruntime makes the one first whose node comes later in the file. A weight in another
    form is so made just before it is read; else all of them would be made first, and live together.
    """
    varying, first, then = set(data), [], []
    for node in nodes:
        if varying.isdisjoint(uses(node)):
            first.append(node)
        else:
            then.append(node)
            varying.update(node.output)
    return [*first, *then]


def recomputed(
    g: Graph, nodes: Sequence[onnx.NodeProto], forward: Collection[int], data: Collection[str]
) -> list[onnx.NodeProto]:
    """The nodes, with cheap forward results computed again where the backward pass needs them.

    Only what is expensive (convolutions, products, reductions of data) is kept from the forward to the backward
    pass then (Chen et al. 2016, section 3).

    Args:
        g: the graph, for shapes and fresh names.
        nodes: of the training step, in order.
        forward: ids of the nodes of the forward pass.
        data: the inputs that have a batch.

    Returns:
        New nodes, in order. The engine must not merge equal nodes again, or nothing is gained.
    """
    ahead = [node for node in nodes if id(node) in forward]
    again = _Again(g, ahead, data)
    behind = []
    for node in nodes:
        if id(node) not in forward:
            changed = onnx.NodeProto.FromString(node.SerializeToString())
            for k, source in enumerate(node.input):
                changed.input[k] = again.name(source)
            behind.append(changed)
    # Before the backward pass: onnxruntime runs what comes later in the file, and is needed, first; so the
    # copies run when their reader's other input is there, and not earlier.
    return [*ahead, *again.copies, *behind]


class _Again:
    """Copies of cheap forward nodes, made when asked for."""

    def __init__(self, g: Graph, forward: Sequence[onnx.NodeProto], data: Collection[str]) -> None:
        self.copies: list[onnx.NodeProto] = []
        self._g = g
        self._made_by = {name: node for node in forward for name in node.output}
        self._compared = {name for node in forward if node.op_type in _SELECTIVE for name in node.input}
        self._names: dict[str, str] = {}
        self._varying = set(data)
        for node in forward:
            if not self._varying.isdisjoint(uses(node)):
                self._varying.update(node.output)

    def name(self, of: str) -> str:
        """The name under which the backward pass finds the forward value `of`: its own, if that is kept."""
        if of not in self._names:
            self._names[of] = self._copied(self._made_by[of], of) if self._repeatable(of) else of
        return self._names[of]

    def _repeatable(self, name: str) -> bool:
        node = self._made_by.get(name)
        if node is None or name != node.output[0]:
            return False
        if name not in self._varying:
            return self._large(name)
        cheap = node.op_type in _CHEAP and not self._small(name)
        return cheap and (name not in self._compared or self._exact(name))

    def _large(self, name: str) -> bool:
        """Whether a value is made of a large weight."""
        node = self._made_by.get(name)
        if node is not None:
            return any(map(self._large, node.input))
        shape = self._g.shapes.get(name, ())
        return math.prod(dim for dim in shape if isinstance(dim, int)) >= _LARGE

    def _copied(self, node: onnx.NodeProto, name: str) -> str:
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        if len(node.output) > 1:  # batch normalisation, by the statistics that it found
            epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
            inputs = [*node.input[:3], node.output[1], node.output[2]]
            copy = helper.make_node(node.op_type, inputs, [name], epsilon=epsilon)
        for k, source in enumerate(copy.input):
            copy.input[k] = self.name(source)
        copy.name = ""
        copy.output[0] = self._g.fresh(f"{name}.again")
        self.copies.append(copy)
        return str(copy.output[0])

    def _small(self, name: str) -> bool:
        """Whether a value does not grow with the batch: not worth it."""
        if name not in self._varying:
            return True
        shape, node = self._g.shapes.get(name), self._made_by.get(name)
        if shape is not None:
            return all(isinstance(dim, int) for dim in shape)
        if node is None or node.op_type.startswith("Reduce") or name != node.output[0]:
            return True
        return node.op_type == "Shape" or all(map(self._small, node.input))

    def _exact(self, name: str) -> bool:
        """Whether the copy is equal to the last bit: the training and inference forms of normalisation differ."""
        node = self._made_by.get(name)
        if node is None or node.op_type not in _CHEAP or self._small(name):
            return True
        return len(node.output) == 1 and all(map(self._exact, node.input))
