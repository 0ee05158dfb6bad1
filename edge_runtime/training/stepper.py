"""The memory of a training step, and its graphs bound to it.

Parameters and optimiser state lie in two banks. Two prepared bindings read one bank and write the other, in
turn, so nothing is copied or allocated from step to step. (Reading and writing the same memory would be
wrong: a weight may be overwritten before its last reader has run. onnxruntime does not notice. Where the
graph says that this cannot happen, both banks share the memory.)
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, ModelError
from edge_runtime.tensors import Array
from edge_runtime.training.program import Program, zeros

Banks = tuple[dict[str, Array], dict[str, Array]]


class Stepper:
    """Runs steps: `parameters` and `state` are the names of what `bank` holds, the current values."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        """Load the bundle's step, whole or in two parts.

        Raises:
            BundleError: it has none.
            ModelError: the engine does not accept a graph.
            BackendError: onnxruntime is missing.
        """
        self._bundle, self._threads = bundle, threads
        whole = "train.onnx" in bundle
        if not whole and ("gradient.onnx" not in bundle or "update.onnx" not in bundle):
            raise BundleError(
                f"{bundle.path}: cannot be trained, it has no train.onnx; "
                "make it with: littoral convert MODEL --train -o m.bundle"
            )
        self._update = _program(bundle, "train.onnx" if whole else "update.onnx", threads)
        self._split = not whole
        gradient = _program(bundle, "gradient.onnx", threads) if self._split else None
        first = gradient or self._update  # the graph that the data goes into
        self.roles = first.roles
        self.specs = {**self._update.specs, **first.specs}
        self.parameters = list(dict.fromkeys([*self.roles.weights, *self.roles.parameters]))
        self.state = list(self._update.roles.state)
        self._current = 0
        self._banks = self._memory()
        self.fixed = {name: zeros(self.specs[name]) for name in self.roles.anchoring}
        self._strength = 0.0
        self._accumulator = None if gradient is None else Accumulator(gradient, self._banks, self.fixed)
        self._bindings = [self._bind(self._banks[i], self._banks[1 - i]) for i in range(2)]

    @property
    def bank(self) -> dict[str, Array]:
        """The current parameters and state by name; what is written into them counts."""
        return self._banks[self._current]

    def step(self, data: Mapping[str, Array], lr: float) -> float:
        """One update; returns the loss before it.

        Raises:
            ModelError: the engine failed.
        """
        update = self._update
        update.scalars[update.roles.learning_rate][...] = lr
        if self._split and self._accumulator:
            loss = self._accumulator.run(self._current, data, self.bank)
            self._accumulator.commit(self.bank)
            update.run(self._bindings[self._current], {})
        else:
            update.run(self._bindings[self._current], data)
            loss = float(update.loss)
        self._current = 1 - self._current
        return loss

    def gradients(self, data: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        """The loss and a copy of each weight's gradient.

        Raises:
            BundleError: the bundle has no gradient graph.
            ModelError: the engine failed.
        """
        if self._accumulator is None:
            if "gradient.onnx" not in self._bundle:
                raise BundleError(
                    f"{self._bundle.path}: has no gradient.onnx; pack it with pack_trainable(..., gradients=True)"
                )
            program = _program(self._bundle, "gradient.onnx", self._threads)
            self._accumulator = Accumulator(program, self._banks, self.fixed)
            self.hold(self._strength)
        loss = self._accumulator.run(self._current, data, self.bank)
        return loss, {name: array.copy() for name, array in self._accumulator.buffers.items()}

    def take_statistics(self) -> None:
        """Let the running statistics be those that the last call of `gradients` found."""
        if self._accumulator:
            self._accumulator.commit(self.bank)

    def hold(self, strength: float) -> None:
        """Set the strength of the penalty."""
        self._strength = strength
        programs = [self._update] + ([self._accumulator.program] if self._accumulator else [])
        for program in programs:
            if program.roles.penalty:
                program.scalars[program.roles.penalty["strength"]][...] = strength

    def _memory(self) -> Banks:
        first = {name: zeros(self.specs[name]) for name in [*self.parameters, *self.state]}
        roles = self._update.roles
        moved = [name for name in [*roles.parameters, *roles.state] if name not in roles.in_place]
        return first, first | {name: np.zeros_like(first[name]) for name in moved}

    def _bind(self, source: Mapping[str, Array], destination: Mapping[str, Array]) -> Any:
        roles = self._update.roles
        replaced = {**roles.parameters, **roles.state}
        inputs = {name: source[name] for name in replaced} | {
            name: array for name, array in self.fixed.items() if name in self._update.specs
        }
        if self._split and self._accumulator:
            inputs |= {roles.buffers[name]: array for name, array in self._accumulator.buffers.items()}
        return self._update.bind(inputs, {output: destination[name] for name, output in replaced.items()})


def blocked_name(name: str) -> str:
    """What a graph is called in the form that onnxruntime's builds for x86-64 run faster."""
    return f"{name.removesuffix('.onnx')}.blocked.onnx"


def _program(bundle: Bundle, name: str, threads: int) -> Program:
    """That graph, in its blocked form where the bundle has one and this build of the engine knows its operators."""
    if blocked_name(name) in bundle:
        with suppress(ModelError):
            return Program(bundle, blocked_name(name), threads)
    return Program(bundle, name, threads)


class Accumulator:
    """A gradient graph: adds the gradients of micro-batches up in `buffers`, by weight."""

    def __init__(self, program: Program, banks: Banks, fixed: Mapping[str, Array]) -> None:
        self.program = program
        roles = program.roles
        self.buffers = {name: zeros(program.specs[buffer]) for name, buffer in roles.buffers.items()}
        # New running statistics go to memory of their own: asking for gradients shall change nothing.
        self._statistics = {name: zeros(program.specs[name]) for name in roles.parameters}
        self._bindings = [self._bind(bank, fixed) for bank in banks]

    def run(self, current: int, data: Mapping[str, Array], bank: Mapping[str, Array]) -> float:
        """The loss of all of `data`; its gradients are in `buffers` then.

        Args:
            current: which of the banks the weights are in.
            data: arrays by the graph's names, with as many rows each.
            bank: the current weights and statistics.

        Raises:
            ModelError: the engine failed.
        """
        for buffer in self.buffers.values():
            buffer.fill(0)
        share, loss = self.program.scalars[self.program.roles.share], 0.0
        kept = {name: bank[name].copy() for name in self._statistics}
        try:
            for weight, part in self._parts(data):
                share[...] = weight
                self.program.run(self._bindings[current], part)
                loss += float(self.program.loss)
                self.commit(bank)  # the next micro-batch goes on from these
        finally:
            for name, array in kept.items():
                np.copyto(bank[name], array)
        return loss

    def commit(self, bank: Mapping[str, Array]) -> None:
        """Write the new running statistics into `bank`."""
        for name, array in self._statistics.items():
            np.copyto(bank[name], array)

    def _parts(self, data: Mapping[str, Array]) -> Iterator[tuple[float, dict[str, Array]]]:
        """Micro-batches, each with its share of the mean."""
        rows = len(data[self.program.roles.data])
        size = self.program.roles.micro_batch or rows
        for start in range(0, rows, size):
            part = {name: array[start : start + size] for name, array in data.items()}
            yield min(size, rows - start) / rows, part

    def _bind(self, bank: Mapping[str, Array], fixed: Mapping[str, Array]) -> Any:
        roles = self.program.roles
        inputs = {name: bank[name] for name in [*roles.weights, *roles.parameters]}
        inputs |= {roles.buffers[name]: array for name, array in self.buffers.items()} | dict(fixed)
        outputs = {roles.gradients[name]: array for name, array in self.buffers.items()}
        outputs |= {roles.parameters[name]: array for name, array in self._statistics.items()}
        return self.program.bind(inputs, outputs)
