"""What every compression step is: a value with parameters that turns a model into a smaller one.

To add a step, write a frozen dataclass of its parameters (with defaults, so that a recipe may leave them out) and
`__call__`, in a file of its own, and name it in `compress.recipe.STEPS`.
"""

from dataclasses import dataclass
from typing import Protocol

import onnx

from edge_runtime.data import Samples
from edge_runtime.target import Target


@dataclass(frozen=True, slots=True)
class Work:
    """What a step may use beside the model: it must not be changed.

    `samples` are as the model takes them, with or without labels; `source` is the model before the first step, the
    teacher of those that learn.
    """

    samples: Samples
    target: Target
    source: onnx.ModelProto


class Step(Protocol):
    """One compression step; its fields are its parameters."""

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """The smaller model; `model` is not changed.

        Raises:
            ModelError: the step cannot be applied to this model.
        """
