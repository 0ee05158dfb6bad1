"""Optimisers: each writes a parameter's new value from its gradient, and asks for the state it keeps.

The learning rate is an input of the graph, so schedules stay outside. Every equation is PyTorch's form of the
paper named; ``m`` and ``v`` begin as zeros.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from onnx import TensorProto

from converter.autodiff.averages import split
from converter.autodiff.graph import Graph, Value
from edge_runtime.errors import ModelError, hint


@dataclass(frozen=True, slots=True)
class State:
    """Tensors that an optimiser keeps from step to step; each begins as zeros.

    `shapes` and `updated` (the new value) are by the name of the graph input.
    """

    graph: Graph
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    updated: dict[str, Value] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)  # names for parameters in another shape
    parts: dict[str, Sequence[str]] = field(default_factory=dict)  # vectors that are updated as one
    owners: dict[str, str] = field(default_factory=dict)  # the parameter that a tensor is kept for
    _asked: dict[str, Value] = field(default_factory=dict)

    def keep(self, name: str, shape: tuple[int, ...], update: Callable[[Value], Value]) -> Value:
        """The new value, ``update(old)``, of the state tensor `name`; asking again gives the same."""
        if name not in self._asked:
            before = self.graph.value(self.graph.fresh(name))
            self.shapes[before.name] = shape
            self._asked[name] = self.updated[before.name] = update(before)
        return self._asked[name]

    def of(self, parameter: Value, what: str, update: Callable[[Value], Value]) -> Value:
        """The same for a tensor of `parameter`'s shape, or for one of each of its parts."""
        if parameter.name in self.parts:
            return self._of_parts(parameter, what, update)
        shape = tuple(int(dim) for dim in parameter.shape)
        owner = self.called.get(parameter.name, parameter.name)
        known = set(self.updated)
        value = self.keep(f"{owner}.{what}", shape, update)
        self.owners.update((name, owner) for name in self.updated if name not in known)
        return value

    def _of_parts(self, parameter: Value, what: str, update: Callable[[Value], Value]) -> Value:
        asked = f"{parameter.name}.{what}"
        if asked not in self._asked:
            g, names = self.graph, self.parts[parameter.name]
            before = [g.value(g.fresh(f"{name}.{what}")) for name in names]
            self.owners.update({b.name: n for b, n in zip(before, names, strict=True)})
            self.shapes.update({b.name: (int(g.shapes[n][0]),) for b, n in zip(before, names, strict=True)})
            self._asked[asked] = update(g.op("Concat", *before, axis=0))
            after = split(g, self._asked[asked], [self.shapes[value.name][0] for value in before])
            self.updated.update(zip((value.name for value in before), after, strict=True))
        return self._asked[asked]


class Optimizer(Protocol):
    """How a parameter changes. `elementwise`: each element by itself, so that parameters may be joined."""

    @property
    def elementwise(self) -> bool:
        """Whether each element changes by itself."""
        ...

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        ...


@dataclass(frozen=True, slots=True)
class Sgd:
    """w' = w - lr·m with m' = momentum·m + g; Nesterov takes g + momentum·m' for m (Sutskever et al. 2013).

    Without momentum m is the gradient, and nothing is kept.
    """

    momentum: float = 0.0
    nesterov: bool = False
    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ModelError("Nesterov's form of sgd needs a momentum above 0, such as 0.9")

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        if not self.momentum:
            return parameter - gradient * lr
        m = state.of(parameter, "momentum", lambda m: m * self.momentum + gradient)
        return parameter - (gradient + m * self.momentum if self.nesterov else m) * lr


@dataclass(frozen=True, slots=True)
class AdaGrad:
    """w' = w - lr·g/(√v + ε) with v' = v + g² (Duchi et al. 2011)."""

    epsilon: float = 1e-10
    elementwise: ClassVar[bool] = True

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        v = state.of(parameter, "v", lambda v: v + gradient * gradient)
        return parameter - gradient * lr / (parameter.graph.op("Sqrt", v) + self.epsilon)


@dataclass(frozen=True, slots=True)
class RmsProp:
    """w' = w - lr·g/(√v + ε) with v' = decay·v + (1 - decay)·g² (Tieleman and Hinton 2012, lecture 6.5)."""

    decay: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    elementwise: ClassVar[bool] = True

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        v = state.of(parameter, "v", lambda v: v * self.decay + gradient * gradient * (1 - self.decay))
        scaled = gradient / (parameter.graph.op("Sqrt", v) + self.epsilon)
        if self.momentum:
            scaled = state.of(parameter, "momentum", lambda m: m * self.momentum + scaled)
        return parameter - scaled * lr


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1): w' = w - lr·m̂/(√v̂ + ε)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    elementwise: ClassVar[bool] = True

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        m, root, correction = _moments(self, state, parameter, gradient)
        return parameter - m * (lr / correction) / (root + self.epsilon)


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled decay (Loshchilov and Hutter 2019, algorithm 2): w' = w·(1 - lr·decay) - lr·m̂/(√v̂ + ε)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.01
    elementwise: ClassVar[bool] = True

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        m, root, correction = _moments(self, state, parameter, gradient)
        return parameter * (1.0 - lr * self.decay) - m * (lr / correction) / (root + self.epsilon)


@dataclass(frozen=True, slots=True)
class Lamb:
    """LAMB (You et al. 2020, algorithm 2): w' = w - lr·‖w‖/‖u‖·u with u = m̂/(√v̂ + ε) + decay·w.

    Where one of the norms is 0 the ratio is 1.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    decay: float = 0.01
    elementwise: ClassVar[bool] = False

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        g = parameter.graph
        m, root, correction = _moments(self, state, parameter, gradient)
        u = m / correction / (root + self.epsilon)
        u = u + parameter * self.decay if self.decay else u
        norms = [g.op("Sqrt", g.op("ReduceSum", x * x, keepdims=0)) for x in (parameter, u)]
        both = g.mask("Greater", norms[0] * norms[1], 0.0)
        # With both = 0 this is 1: the division is by 1 then, and never by 0.
        ratio = (norms[0] * both + (1.0 - both)) / (norms[1] * both + (1.0 - both))
        return parameter - u * (lr * ratio)


def _moments(
    solver: Adam | AdamW | Lamb, state: State, parameter: Value, gradient: Value
) -> tuple[Value, Value, Value]:
    """m, √v̂ and the correction of m: m̂ = m / correction."""
    g = parameter.graph
    step = state.keep("adam.step", (), lambda t: t + 1.0)
    m = state.of(parameter, "m", lambda m: m * solver.beta1 + gradient * (1 - solver.beta1))
    v = state.of(parameter, "v", lambda v: v * solver.beta2 + gradient * gradient * (1 - solver.beta2))
    return m, g.op("Sqrt", v / _correction(g, solver.beta2, step)), _correction(g, solver.beta1, step)


def _correction(g: Graph, beta: float, step: Value) -> Value:
    """1 - beta^step, as a double on the way: for 0.999 a float would be off by 1e-5."""
    double = g.op("Cast", step, to=TensorProto.DOUBLE)
    power = g.op("Pow", g.constant(np.array(beta, np.float64)), double)
    return g.op("Cast", g.op("Sub", g.constant(np.array(1.0, np.float64)), power), to=g.elem_type)


@dataclass(frozen=True, slots=True)
class Treatment:
    """What happens to the gradients before the optimiser sees them, in this order.

    `clip_value`: each element to [-clip_value, clip_value]. `clip_norm`: all together, times
    clip_norm/(‖g‖ + 1e-6) where the global norm is larger (Pascanu et al. 2013). `weight_decay`: L2, adds
    weight_decay·w. `l1`: adds l1·sign(w). 0 leaves each out.
    """

    clip_value: float = 0.0
    clip_norm: float = 0.0
    weight_decay: float = 0.0
    l1: float = 0.0

    def __call__(self, g: Graph, gradients: Mapping[str, Value]) -> dict[str, Value]:
        """The treated gradients, by parameter."""
        treated = dict(gradients)
        if self.clip_value:
            treated = {k: g.op("Clip", v, -self.clip_value, self.clip_value) for k, v in treated.items()}
        if self.clip_norm:
            squares = [g.op("ReduceSum", v * v, keepdims=0) for v in treated.values()]
            norm = g.op("Sqrt", g.op("Sum", *squares))
            factor = g.op("Min", self.clip_norm / (norm + 1e-6), 1.0)
            treated = {k: v * factor for k, v in treated.items()}
        return {k: self._regularised(g, g.value(k), v) for k, v in treated.items()}

    def _regularised(self, g: Graph, weight: Value, gradient: Value) -> Value:
        if self.weight_decay:
            gradient = gradient + weight * self.weight_decay
        return gradient + g.op("Sign", weight) * self.l1 if self.l1 else gradient


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": Sgd,
    "nesterov": lambda: Sgd(0.9, nesterov=True),
    "adagrad": AdaGrad,
    "rmsprop": RmsProp,
    "adam": Adam,
    "adamw": AdamW,
    "lamb": Lamb,
}


def optimizer_named(optimizer: str | Optimizer, momentum: float = 0.0) -> Optimizer:
    """The optimiser itself, or the one of that name; `momentum` is for sgd, nesterov and rmsprop.

    Raises:
        ModelError: there is none of that name.
    """
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer not in OPTIMIZERS:
        known = ", ".join(sorted(OPTIMIZERS))
        raise ModelError(f"no optimiser '{optimizer}'{hint(optimizer, OPTIMIZERS)}; there are {known}")
    if momentum and optimizer in ("sgd", "nesterov"):
        return Sgd(momentum, nesterov=optimizer == "nesterov")
    return RmsProp(momentum=momentum) if momentum and optimizer == "rmsprop" else OPTIMIZERS[optimizer]()
