"""The self-test: inputs that anybody can make again, and the outputs that the graph has to give for them.

Some providers open a session, claim every node and answer with noise. A bundle therefore carries what its graph gave
where it was compressed; an accelerator is accepted only if it gives the same, up to its own arithmetic.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime import tensors
from edge_runtime.errors import BackendError
from edge_runtime.tensors import Array, TensorSpec

FILE = "selftest.npz"
_SEED = 7


@dataclass(frozen=True, slots=True)
class SelfTest:
    """`inputs` and the `outputs` expected, by name; `lengths` are those of the dimensions that may vary."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    lengths: Mapping[str, int]

    def check(self, outputs: Mapping[str, Array], at_least: float) -> float:
        """The smallest cosine similarity of an output to the expected one.

        Raises:
            BackendError: one is not finite, of another shape, or less similar than `at_least`.
        """
        worst = 1.0
        for name, expected in self.outputs.items():
            got = outputs.get(name)
            if got is None or got.shape != expected.shape:
                raise BackendError(f"self-test: output '{name}' is missing or of another shape")
            if expected.dtype.kind != "f":
                continue
            if not np.isfinite(got).all():
                raise BackendError(f"self-test: output '{name}' is not finite")
            worst = min(worst, similarity(expected, got))
        if worst < at_least:
            raise BackendError(
                f"self-test: outputs have a cosine similarity of {worst:.4f} to the expected, below {at_least}"
            )
        return worst

    def to_bytes(self) -> bytes:
        """As the bundle stores it: the outputs alone, since the inputs follow from a seed."""
        stream = io.BytesIO()
        np.savez(stream, **self.outputs)  # type: ignore[arg-type]
        return stream.getvalue()


def inputs(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The inputs of every self-test."""
    return tensors.example(specs, _SEED)


def made(specs: Sequence[TensorSpec], run: Any) -> SelfTest:
    """The self-test that `run`, from inputs to outputs by name, defines."""
    given = inputs(specs)
    return SelfTest(given, run(given), lengths(specs))


def stored(specs: Sequence[TensorSpec], content: bytes) -> SelfTest:
    """The self-test that a bundle carries."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return SelfTest(inputs(specs), dict(arrays), lengths(specs))


def lengths(specs: Sequence[TensorSpec]) -> dict[str, int]:
    """A length of 1 for each dimension that may vary, by its name."""
    return {dim: 1 for spec in specs for dim in spec.shape if isinstance(dim, str)}


def similarity(expected: Array, got: Array) -> float:
    """Cosine similarity of two arrays, each taken as one vector; 1 where both are zero."""
    a, b = expected.ravel().astype(np.float64), got.ravel().astype(np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms else float(np.array_equal(a, b))
