"""How far one model's outputs are from another's, on the same inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from converter.model import to_bytes
from edge_runtime.errors import ModelError
from edge_runtime.profile import example
from edge_runtime.session import Session
from edge_runtime.tensors import Array, TensorSpec

Run = Callable[[dict[str, Array]], Sequence[Array]]


@dataclass(frozen=True, slots=True)
class Difference:
    """`max_abs`: the largest absolute difference; `scale`: the reference's largest absolute value; `n`: samples."""

    max_abs: float
    scale: float
    n: int

    def within(self, tolerance: float) -> bool:
        """Whether the difference is at most `tolerance`, absolutely, or relative to a reference larger than 1."""
        return self.max_abs <= tolerance * max(1.0, self.scale)


def runner(model: onnx.ModelProto | bytes) -> tuple[Run, tuple[TensorSpec, ...]]:
    """A function that runs the model on onnxruntime, and the model's inputs."""
    session = Session(model if isinstance(model, bytes) else to_bytes(model), threads=0)
    return lambda feeds: list(session.run(feeds).values()), session.inputs


def compare(reference: Run, candidate: Run, inputs: Sequence[TensorSpec], samples: int = 3) -> Difference:
    """Run both on `samples` random inputs and return how far apart they are.

    Raises:
        ModelError: the outputs differ in number or shape, or the candidate gives NaN where the reference does not.
    """
    worst = scale = 0.0
    for seed in range(samples):
        feeds = example(inputs, seed)
        expected, got = reference(feeds), candidate(feeds)
        if [a.shape for a in expected] != [a.shape for a in got]:
            raise ModelError(
                f"outputs have shapes {[a.shape for a in got]}, the source gives {[a.shape for a in expected]}"
            )
        for want, have in zip(expected, got, strict=True):
            gap = np.abs(want.astype(np.float64) - have.astype(np.float64))
            worst = max(worst, float(np.nan_to_num(gap, nan=np.inf).max(initial=0)))
            scale = max(scale, float(np.abs(want).max(initial=0)))
    return Difference(worst, scale, samples)
