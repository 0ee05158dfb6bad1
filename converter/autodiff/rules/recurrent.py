"""RNN, GRU and LSTM, unrolled over a fixed number of steps.

The products with the input are one product for all steps; what remains in a step is the product with the state.
Names are those of ONNX's specification: W, R for input and state, b for biases, P for peepholes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from converter.autodiff.graph import Graph, Operand, Value
from converter.autodiff.registry import Node, expansion
from converter.autodiff.rules.control import unstack
from edge_runtime.errors import ModelError

Activation = Callable[[Value], Value]
State = tuple[Value, ...]

# Each activation's default alpha and beta, where it takes them.
_DEFAULTS: dict[str, tuple[float | None, float | None]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, None),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, None),
    "ScaledTanh": (1.0, 1.0),
    "ThresholdedRelu": (1.0, None),
}
_PLAIN = ("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh")


@dataclass(frozen=True, slots=True)
class _Cell:
    """One direction's weights: state: float[hidden, gates·hidden], bias and peephole may be missing."""

    g: Graph
    node: Node
    hidden: int
    state: Value
    state_bias: Value | None
    peephole: Value | None
    activations: Sequence[Activation]

    def product(self, h: Value, first: int = 0, count: int | None = None) -> Value:
        """The product of the state with the gates from `first` on."""
        stops = [(first + (count or 0)) * self.hidden] if count else [np.iinfo(np.int64).max]
        if first == 0 and count is None:
            return h @ self.state
        return h @ self.g.slice(self.state, [first * self.hidden], stops, [1], [1])

    def gates(self, values: Value, count: int) -> tuple[Value, ...]:
        """A row of gates, one by one."""
        return self.g.ops("Split", values, [self.hidden] * count, outputs=count, axis=-1)

    def clipped(self, value: Value) -> Value:
        """What goes into an activation, within the node's attribute "clip"."""
        limit = self.node.attribute("clip", None)
        return value if limit is None else self.g.op("Clip", value, -float(limit), float(limit))


@expansion("RNN", weights=(1, 2, 3), needs="a fixed sequence length")
def rnn(g: Graph, node: Node) -> Sequence[Value | None] | None:
    """h' = f(x Wᵀ + h Rᵀ + b)."""

    def step(cell: _Cell, x: Value, state: State) -> State:
        return (cell.activations[0](cell.clipped(x + cell.product(state[0]))),)

    return _unrolled(g, node, step, gates=1, defaults=("Tanh",))


@expansion("GRU", weights=(1, 2, 3), needs="a fixed sequence length")
def gru(g: Graph, node: Node) -> Sequence[Value | None] | None:
    """z, r = f(...), n = g(xₙ + (r·h) Rₙᵀ + bₙ) or, with linear_before_reset, g(xₙ + r·(h Rₙᵀ + bₙ)).

    Then h' = (1 - z)·n + z·h.
    """

    def step(cell: _Cell, x: Value, state: State) -> State:
        f, act = cell.activations
        (h,) = state
        if node.attribute("linear_before_reset", 0):
            xz, xr, xn = cell.gates(x, 3)
            total = cell.product(h)
            hz, hr, hn = cell.gates(total if cell.state_bias is None else total + cell.state_bias, 3)
            z, r = f(cell.clipped(xz + hz)), f(cell.clipped(xr + hr))
            n = act(cell.clipped(xn + r * hn))
        else:
            xz, xr, xn = cell.gates(x, 3)
            hz, hr = cell.gates(cell.product(h, 0, 2), 2)
            z, r = f(cell.clipped(xz + hz)), f(cell.clipped(xr + hr))
            n = act(cell.clipped(xn + cell.product(r * h, 2)))
        return (n + z * (h - n),)

    split = bool(node.attribute("linear_before_reset", 0))
    return _unrolled(g, node, step, gates=3, defaults=("Sigmoid", "Tanh"), split_bias=split)


@expansion("LSTM", weights=(1, 2, 3), needs="a fixed sequence length")
def lstm(g: Graph, node: Node) -> Sequence[Value | None] | None:
    """i, o, f = σ(... + P·c), c' = f·c + i·g(...), h' = o·h(c'); the output gate looks at c'."""

    def step(cell: _Cell, x: Value, state: State) -> State:
        f, act, out = cell.activations
        h, c = state
        i, o, forget, candidate = cell.gates(x + cell.product(h), 4)
        po: Value | None = None
        if cell.peephole is not None:
            pi, po, pf = cell.gates(cell.peephole, 3)
            i, forget = i + pi * c, forget + pf * c
        i = f(cell.clipped(i))
        forget = 1.0 - i if node.attribute("input_forget", 0) else f(cell.clipped(forget))
        c = forget * c + i * act(cell.clipped(candidate))
        o = f(cell.clipped(o if po is None else o + po * c))
        return o * out(c), c

    return _unrolled(g, node, step, gates=4, defaults=("Sigmoid", "Tanh", "Tanh"), states=2)


def _unrolled(
    g: Graph,
    node: Node,
    step: Callable[[_Cell, Value, State], State],
    *,
    gates: int,
    defaults: Sequence[str],
    states: int = 1,
    split_bias: bool = False,
) -> Sequence[Value | None] | None:
    """All directions, all steps: Y, Y_h and, with two states, Y_c."""
    batch_first = bool(node.attribute("layout", 0))
    x = g.op("Transpose", node.x, perm=[1, 0, 2]) if batch_first else node.x
    time, batch = (1, 0) if batch_first else (0, 1)
    length = node.x.shape[time]
    if not isinstance(length, int):
        return None
    directions = int(node.input(2).shape[0])
    hidden = int(node.input(2).shape[2])
    lengths = node.inputs[4] if node.has(4) else None
    initial = [_states(g, node, index, batch_first) for index in range(5, 5 + states)]
    functions = _activations(g, node, defaults, directions)
    rows, finals = [], []
    for d in range(directions):
        backwards = d == 1 or node.attribute("direction", "forward") == "reverse"
        cell, shift = _cell(g, node, d, gates, hidden, functions[d], split_bias=split_bias)
        here = _reversed(g, x, lengths) if backwards and lengths is not None else x
        product = here @ _matrix(g, node.input(1), d)
        inputs = g.ops(
            "Split", product if shift is None else product + shift, [1] * length, outputs=length, axis=0
        )
        order = range(length)[::-1] if backwards and lengths is None else range(length)
        zero = g.op("Expand", 0.0, _state_shape(g, node, batch, hidden))
        state: State = tuple(zero if one is None else one[d] for one in initial)
        outputs: dict[int, Value] = {}
        for t in order:
            new = step(cell, g.op("Squeeze", inputs[t], [0]), state)
            outputs[t], state = _held(g, lengths, t, new, state)
        row = g.op("Concat", *(g.op("Unsqueeze", outputs[t], [0]) for t in range(length)), axis=0)
        rows.append(_reversed(g, row, lengths) if backwards and lengths is not None else row)
        finals.append(state)
    y = g.op("Concat", *(g.op("Unsqueeze", row, [1]) for row in rows), axis=1)
    last = [
        g.op("Concat", *(g.op("Unsqueeze", final[i], [0]) for final in finals), axis=0) for i in range(states)
    ]
    if batch_first:
        y = g.op("Transpose", y, perm=[2, 0, 1, 3])
        last = [g.op("Transpose", value, perm=[1, 0, 2]) for value in last]
    return [y, *last]


def _held(g: Graph, lengths: Value | None, t: int, new: State, old: State) -> tuple[Value, State]:
    """The output and the state after a step: 0 and the old one for a sequence that has ended."""
    if lengths is None:
        return new[0], new
    goes_on = g.op("Greater", lengths, np.array(t, np.int32))
    mask = g.op("Unsqueeze", g.op("Cast", goes_on, to=g.elem_type), [1])
    return new[0] * mask, tuple(b + mask * (a - b) for a, b in zip(new, old, strict=True))


def _state_shape(g: Graph, node: Node, batch: int, hidden: int) -> Value:
    length = node.x.shape[batch]
    if isinstance(length, int):
        return g.constant([length, hidden])
    return g.op("Concat", g.op("Shape", node.x, start=batch, end=batch + 1), [hidden], axis=0)


def _reversed(g: Graph, x: Value, lengths: Value | None) -> Value:
    whole = g.op("Cast", lengths, to=7)
    return g.op("ReverseSequence", x, whole, batch_axis=1, time_axis=0)


def _states(g: Graph, node: Node, index: int, batch_first: bool) -> list[Value] | None:
    """The initial state of each direction, if it is given."""
    return unstack(g, node.input(index), 1 if batch_first else 0) if node.has(index) else None


def _matrix(g: Graph, weights: Value, d: int) -> Value:
    """One direction's weights, transposed."""
    return g.op("Transpose", _direction(g, weights, d))


def _direction(g: Graph, x: Value, d: int) -> Value:
    found = unstack(g, x, 0)
    if found is None:
        raise ModelError(f"'{x.name}': the number of directions is not fixed; the graph is not valid ONNX")
    return found[d]


def _cell(
    g: Graph,
    node: Node,
    d: int,
    gates: int,
    hidden: int,
    functions: Sequence[Activation],
    *,
    split_bias: bool,
) -> tuple[_Cell, Value | None]:
    """One direction's cell, and what is added to the products with the input."""
    input_bias, state_bias = None, None
    if node.has(3):
        size = gates * hidden
        input_bias, state_bias = g.ops(
            "Split", _direction(g, node.input(3), d), [size, size], outputs=2, axis=0
        )
        if not split_bias:
            input_bias, state_bias = input_bias + state_bias, None
    peephole = _direction(g, node.input(7), d) if node.has(7) else None
    state = _matrix(g, node.input(2), d)
    return _Cell(g, node, hidden, state, state_bias, peephole, functions), input_bias


def _activations(g: Graph, node: Node, defaults: Sequence[str], directions: int) -> list[list[Activation]]:
    """The functions of each direction; alpha and beta are given in order to those that take them."""
    names = [
        str(name, "utf-8") if isinstance(name, bytes) else name for name in node.attribute("activations", [])
    ]
    names = names or [*defaults] * directions
    alphas, betas = (list(node.attribute(f"activation_{name}", [])) for name in ("alpha", "beta"))
    made = []
    for name in names:
        kind = next((known for known in (*_PLAIN, *_DEFAULTS) if known.lower() == name.lower()), None)
        if kind is None:
            raise ModelError(f"{node}: no activation '{name}'; there are {', '.join((*_PLAIN, *_DEFAULTS))}")
        alpha, beta = _DEFAULTS.get(kind, (None, None))
        alpha = alphas.pop(0) if alpha is not None and alphas else alpha
        beta = betas.pop(0) if beta is not None and betas else beta
        made.append(_activation(g, kind, alpha, beta))
    return [made[i * len(defaults) : (i + 1) * len(defaults)] for i in range(directions)]


def _activation(g: Graph, kind: str, alpha: float | None, beta: float | None) -> Activation:
    if kind == "Affine":
        return lambda x: x * (alpha or 0.0) + (beta or 0.0)
    if kind == "ScaledTanh":
        return lambda x: g.op("Tanh", x * (beta or 0.0)) * (alpha or 0.0)
    attributes = {name: value for name, value in (("alpha", alpha), ("beta", beta)) if value is not None}

    def apply(x: Operand) -> Value:
        return g.op(kind, x, **attributes)

    return apply
