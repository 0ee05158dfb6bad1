"""A TFLite program in memory, before it becomes a flatbuffer: tensors, and operators in the order in which they run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_runtime.tensors import Array


class Free(int):
    """A length that may vary from call to call; its number is the one that the program is made with."""

    __slots__ = ()


Lengths = tuple[int, ...]
"""A shape; lengths that vary are `Free`."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """How a tensor's integers stand for real values: ``real = scale * (integer - zero_point)``.

    `scale` has one number, or one for each index of `axis`; `zero_point` is 0 in the second case.
    """

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0


@dataclass(slots=True)
class Tensor:
    """A tensor as the program holds it; `data` is None unless it is a constant."""

    name: str
    shape: Lengths
    dtype: str
    data: Array | None = None
    quantization: Quantization | None = None


@dataclass(slots=True)
class Operator:
    """One call: a builtin operator by the schema's name, tensors by index (-1: left out), and its options."""

    code: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Program:
    """`inputs` and `outputs` are indices of `tensors`."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def add(self, tensor: Tensor) -> int:
        """Add a tensor and return its index."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def emit(self, code: str, inputs: Iterable[int], output: int, **options: Any) -> int:
        """Add an operator of one output, and return that output."""
        self.operators.append(Operator(code, list(inputs), [output], options))
        return output

    def readers(self) -> dict[int, list[Operator]]:
        """The operators that read each tensor."""
        found: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for index in operator.inputs:
                found.setdefault(index, []).append(operator)
        return found


def fixed(shape: Sequence[int]) -> Lengths:
    """The shape with no length that varies."""
    return tuple(int(length) for length in shape)


def pattern(shape: Sequence[int]) -> list[int]:
    """The shape with -1 for a length that varies."""
    return [-1 if isinstance(length, Free) else int(length) for length in shape]


def integers(values: Sequence[int]) -> Array:
    """An int32 vector, as TFLite wants axes, shapes and sizes."""
    return np.asarray(values, np.int32)
