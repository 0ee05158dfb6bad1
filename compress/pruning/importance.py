r"""How much each weight matters: magnitude, or what the loss says of it.

For a weight ``w`` with gradients ``g_b`` over mini-batches ``b``, an element scores, and a slice (all weights of a
channel) scores by the sum over its elements ``i``::

    magnitude   |w|                 sqrt(Σ_i w²)             Li et al., "Pruning Filters for Efficient ConvNets", 2017
    taylor      mean_b (g_b w)²     mean_b (Σ_i g_b w)²      Molchanov et al., "Importance Estimation for Neural
                                                             Network Pruning", 2019, equation 8
    movement    Σ_b -g_b w          Σ_i Σ_b -g_b w           Sanh et al., "Movement Pruning", 2020, equation 3

Movement trains a copy of the model by gradient descent while it sums: a weight that grows away from zero matters.

Without labels, Taylor draws them from the model's own outputs, anew for each mini-batch: the mean square is then the
Fisher information, the curvature of the divergence from the unpruned model (Theis et al., "Faster gaze prediction with
dense networks and Fisher pruning", 2018), where a gradient against the outputs themselves would be zero. A model whose
output is no table of classes gets its output plus noise of unit variance as truth, under squared error. Movement takes
the source model's answers as labels.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from compress.step import Work
from converter.model import constants, layer_weights, to_bytes
from converter.trainable import pack_trainable
from edge_runtime.console import progress
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer

CRITERIA = ("magnitude", "taylor", "movement")
_BATCH = 8
_RATE = 0.01  # of the descent that movement watches: its size scales all scores alike to first order


@dataclass(frozen=True, slots=True)
class Importance:
    """Scores of one weight: `elements` of its shape, and `slices[axis]`, one for each index along an axis."""

    elements: Array
    slices: tuple[Array, ...]


def importance(model: onnx.ModelProto, criterion: str, work: Work | None = None) -> dict[str, Importance]:
    """Score the weights of every convolution and matrix product.

    Args:
        model: a float model; it is not changed.
        criterion: "magnitude", "taylor" or "movement".
        work: the samples, with or without labels, and the source model. Magnitude needs none.

    Returns:
        The scores of each weight by its name; larger matters more.

    Raises:
        ModelError: the criterion is unknown, needs samples and there are none, or the model cannot be differentiated.
        InputError: the samples do not fit the model.
    """
    if criterion not in CRITERIA:
        raise ModelError(f"importance '{criterion}' is unknown; expected one of {', '.join(CRITERIA)}")
    known = constants(model.graph)
    names = layer_weights(model.graph)
    if criterion == "magnitude":
        return {name: _magnitude(known[name]) for name in names}
    if work is None:
        raise ModelError(f"importance '{criterion}' needs samples; 'magnitude' needs none")
    weights = {name: known[name].astype(np.float64) for name in names}
    return _taylor(model, weights, work) if criterion == "taylor" else _movement(model, weights, work)


def _magnitude(weight: Array) -> Importance:
    squares = np.square(weight)
    axes = range(weight.ndim)
    sums = [squares.sum(axis=tuple(k for k in axes if k != axis), dtype=np.float64) for axis in axes]
    return Importance(np.abs(weight), tuple(map(np.sqrt, sums)))


def _along(values: Array) -> list[Array]:
    """The sum of each slice along each axis."""
    axes = range(values.ndim)
    return [values.sum(axis=tuple(k for k in axes if k != axis)) for axis in axes]


def _taylor(model: onnx.ModelProto, weights: Mapping[str, Array], work: Work) -> dict[str, Importance]:
    elements = {name: np.zeros_like(w) for name, w in weights.items()}
    slices = {name: [np.zeros(length) for length in w.shape] for name, w in weights.items()}
    trainer, loss = _trainer(model, list(weights))
    own = _Own(model, loss) if work.samples.y is None or loss != "cross_entropy" else None
    starts = range(0, len(work.samples), _BATCH)
    for start in progress(starts, "importance (taylor)"):
        x = work.samples.x[start : start + _BATCH]
        truth = own(x) if own else work.samples.y[start : start + _BATCH]  # type: ignore[index]
        for name, gradient in trainer.gradients(x, truth)[1].items():
            product = gradient * weights[name]
            elements[name] += np.square(product)
            for total, part in zip(slices[name], _along(product), strict=True):
                total += np.square(part)
    return {
        name: Importance(elements[name] / len(starts), tuple(total / len(starts) for total in slices[name]))
        for name in weights
    }


def _movement(model: onnx.ModelProto, weights: Mapping[str, Array], work: Work) -> dict[str, Importance]:
    trainer, loss = _trainer(model, list(weights))
    if loss != "cross_entropy":
        raise ModelError("importance 'movement' needs a model whose output is float[n, classes]")
    x, y = work.samples.x, work.samples.y
    if y is None:
        y = Session(to_bytes(work.source)).run_batches(x, _BATCH)[0].argmax(axis=1)
    moved = {name: np.zeros_like(w) for name, w in weights.items()}
    for start in progress(range(0, len(x), _BATCH), "importance (movement)"):
        found = trainer.gradients(x[start : start + _BATCH], y[start : start + _BATCH])[1]
        current = trainer.parameters
        for name, gradient in found.items():
            moved[name] -= gradient * current[name]
        trainer.apply(found, _RATE)
    return {name: Importance(value, tuple(_along(value))) for name, value in moved.items()}


def _trainer(model: onnx.ModelProto, weights: Sequence[str]) -> tuple[Trainer, str]:
    """What gives the gradients of these weights, and the loss that they are of; normalisation keeps its statistics."""
    loss = "cross_entropy" if len(model.graph.output[0].type.tensor_type.shape.dim) == 2 else "mse"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bundle"
        bundle = pack_trainable(model, path, name="model", gradients=True, loss=loss, trainable=weights)
        return Trainer(bundle), loss


class _Own:
    """Truths that the model itself might have given: labels drawn by their probability, or outputs with noise."""

    def __init__(self, model: onnx.ModelProto, loss: str) -> None:
        self._session = Session(to_bytes(model))
        self._classes = loss == "cross_entropy"
        last = next(n.op_type for n in model.graph.node if model.graph.output[0].name in n.output)
        self._softmax = last == "Softmax"  # which the loss takes the input of
        self._rng = np.random.default_rng(0)

    def __call__(self, x: Array) -> Array:
        outputs = self._session.run_batches(x, _BATCH)[0].astype(np.float64)
        if not self._classes:
            return (outputs + self._rng.standard_normal(outputs.shape)).astype(np.float32)
        logits = np.log(np.maximum(outputs, 1e-30)) if self._softmax else outputs
        drawn: Array = (logits + self._rng.gumbel(size=logits.shape)).argmax(axis=1)  # by softmax(logits)
        return drawn
