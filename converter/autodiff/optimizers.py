"""Optimisers: each writes a parameter's new value from its gradient, and asks for the state it keeps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from converter.autodiff.graph import Graph, Value


@dataclass(frozen=True, slots=True)
class State:
    """Tensors that an optimiser keeps from step to step; each begins as zeros.

    `shapes` and `updated` (the new value) are by the name of the graph input.
    """

    graph: Graph
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    updated: dict[str, Value] = field(default_factory=dict)
    _asked: dict[str, Value] = field(default_factory=dict)

    def keep(self, name: str, shape: tuple[int, ...], update: Callable[[Value], Value]) -> Value:
        """The new value, ``update(old)``, of the state tensor `name`; asking again gives the same."""
        if name not in self._asked:
            before = self.graph.value(self.graph.fresh(name))
            self.shapes[before.name] = shape
            self._asked[name] = self.updated[before.name] = update(before)
        return self._asked[name]


class Optimizer(Protocol):
    """How a parameter changes."""

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        ...


@dataclass(frozen=True, slots=True)
class Sgd:
    """w' = w - lr·m with m' = momentum·m + gradient (PyTorch's form); without momentum m is the gradient."""

    momentum: float = 0.0

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        if self.momentum:
            shape = _fixed(parameter)
            gradient = state.keep(f"{parameter.name}.momentum", shape, lambda m: m * self.momentum + gradient)
        return parameter - gradient * lr


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1): w' = w - lr·m̂/(√v̂ + ε)."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __call__(self, state: State, parameter: Value, gradient: Value, lr: Value) -> Value:
        """Write the new value of `parameter`."""
        shape = _fixed(parameter)
        g = parameter.graph
        step = state.keep("adam.step", (), lambda t: t + 1.0)
        m = state.keep(f"{parameter.name}.m", shape, lambda m: m * self.beta1 + gradient * (1 - self.beta1))
        v = state.keep(
            f"{parameter.name}.v", shape, lambda v: v * self.beta2 + gradient * gradient * (1 - self.beta2)
        )
        rate = lr / (1.0 - g.op("Pow", self.beta1, step))
        root = g.op("Sqrt", v / (1.0 - g.op("Pow", self.beta2, step)))
        return parameter - m * rate / (root + self.epsilon)


def _fixed(parameter: Value) -> tuple[int, ...]:
    return tuple(int(dim) for dim in parameter.shape)


def make(name: str, momentum: float) -> Optimizer | None:
    """The optimiser of that name, or None if there is none."""
    known: dict[str, Optimizer] = {"sgd": Sgd(momentum), "adam": Adam()}
    return known.get(name)
