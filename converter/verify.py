"""How far one model's outputs are from another's, on the same inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import onnx

from converter.model import to_bytes
from edge_runtime.data import Samples, feeds, fit
from edge_runtime.engines import onnx as engine
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array, TensorSpec, example

Run = Callable[[dict[str, Array]], Sequence[Array]]
_LENGTHS = (1, 2, 8, 32, 64, 128, 512)
"""Tried for lengths that may vary, until the model runs."""
_MOST = 1 << 22
"""Elements of a random input, if the fixed lengths are left out."""


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


def random_inputs(reference: Run, inputs: Sequence[TensorSpec], samples: int = 3) -> list[dict[str, Array]]:
    """Random inputs that the reference accepts; the lengths that may vary are all 1, or the first that it runs with.

    Raises:
        ModelError: it runs with none.
    """
    first: ModelError | None = None
    free = max((sum(isinstance(dim, str) for dim in spec.shape) for spec in inputs), default=0)
    for size in _LENGTHS if free else _LENGTHS[:1]:
        if size**free > _MOST:
            break
        found = [example(inputs, seed, size) for seed in range(samples)]
        try:
            reference(found[0])
        except ModelError as error:
            first = first or error
        else:
            return found
    raise ModelError(
        f"cannot be checked on random inputs ({', '.join(map(str, inputs))}): {first}; give data to check it on"
    ) from first


def inputs_for(
    reference: Run, inputs: Sequence[TensorSpec], samples: Samples | None = None, count: int = 3
) -> list[dict[str, Array]]:
    """What to compare on: the first of the samples, or random inputs where there are none.

    Raises:
        InputError: the samples do not fit.
        ModelError: the reference runs on no random inputs.
    """
    if samples is None:
        return random_inputs(reference, inputs, count)
    x = fit(samples, inputs, "data").x[:count]
    return [feed for feed, _ in islice(feeds(x, inputs), count)]


def compare(
    reference: Run, candidate: Run, inputs: Sequence[TensorSpec], samples: Samples | None = None
) -> Difference:
    """Run both on the first samples, or on three random inputs, and return how far apart they are.

    Raises:
        InputError: the samples do not fit.
        ModelError: the outputs differ in number or shape, or the reference runs on no random inputs.
    """
    chosen = inputs_for(reference, inputs, samples)
    return differences([reference(feed) for feed in chosen], candidate, chosen)


def differences(
    expected: Sequence[Sequence[Array]], candidate: Run, chosen: Sequence[Mapping[str, Array]]
) -> Difference:
    """How far the candidate's outputs on the `chosen` inputs are from those expected; NaN only equals NaN.

    Raises:
        ModelError: the outputs differ in number or shape.
    """
    worst = scale = 0.0
    for feed, wanted in zip(chosen, expected, strict=True):
        got = candidate(dict(feed))
        if [a.shape for a in wanted] != [a.shape for a in got]:
            raise ModelError(
                f"outputs have shapes {[a.shape for a in got]}, the source gives {[a.shape for a in wanted]}"
            )
        for want, have in zip(wanted, got, strict=True):
            worst = max(worst, _gap(want, have))
            if want.dtype.kind == "f":
                scale = max(scale, float(np.nan_to_num(np.abs(want), posinf=0.0).max(initial=0)))
    return Difference(worst, scale, len(chosen))


class Original:
    """A model's outputs on some inputs, and whether another model's are the same.

    They are if they are apart by no more than `tolerance`, relative to outputs larger than 1, or by no more than four
    times what rounding alone does to the model: see `rounding`.
    """

    def __init__(self, model: onnx.ModelProto, samples: Samples | None, tolerance: float) -> None:
        """Run the model on the first samples, or on random inputs; raises as `inputs_for`."""
        run, inputs = runner(model)
        self._model, self._tolerance = model, tolerance
        self._feeds = inputs_for(run, inputs, samples)
        self._expected = [run(feed) for feed in self._feeds]
        self._noise: float | None = None

    def difference(self, candidate: onnx.ModelProto) -> Difference:
        """How far the candidate is; raises as `differences`."""
        return differences(self._expected, runner(candidate)[0], self._feeds)

    def accepts(self, found: Difference) -> bool:
        """Whether so much is the same."""
        if found.within(self._tolerance):
            return True
        if self._noise is None:
            self._noise = rounding(self._model, self._expected, self._feeds)
        return found.max_abs <= 4 * self._noise

    def equals(self, candidate: onnx.ModelProto) -> bool:
        """Whether the candidate runs, and its outputs are the same."""
        try:
            return self.accepts(self.difference(candidate))
        except ModelError:
            return False


def rounding(
    model: onnx.ModelProto, expected: Sequence[Sequence[Array]], chosen: Sequence[Mapping[str, Array]]
) -> float:
    """How far a model is from itself when onnxruntime fuses nothing: what rounding alone does to its outputs.

    Args:
        model: the model.
        expected: its outputs on `chosen` as onnxruntime runs it by default.
        chosen: inputs.
    """
    level = engine.load().GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = engine.open_session(to_bytes(model), where="model", options={"graph_optimization_level": level})
    return differences(expected, lambda feed: list(plain.run(None, feed)), chosen).max_abs


def _gap(want: Array, have: Array) -> float:
    if want.dtype.kind not in "fiub":  # strings
        return 0.0 if np.array_equal(want, have) else np.inf
    with np.errstate(invalid="ignore"):
        gap = np.abs(want.astype(np.float64) - have.astype(np.float64))
    same = (want == have) | ((want != want) & (have != have))
    return float(np.nan_to_num(np.where(same, 0.0, gap), nan=np.inf).max(initial=0))
