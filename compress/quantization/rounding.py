r"""Learned rounding: every weight goes to the integer that keeps the layer's output, not to the nearest one.

AdaRound (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020) rounds each row ``w``
of a layer so that ``E[((ŵ - w) x)²] = (ŵ - w) C (ŵ - w)^T`` is smallest (its equation 13), with ``C = E[x x^T]`` over
calibration data. There it is relaxed and left to Adam. Here it is solved on the integers themselves by coordinate
descent: with all others held, the best integer of one weight is known in closed form, for all rows at once. The error
never rises, there is no learning rate, and a layer takes milliseconds to seconds. Where bias correction follows, C is
the covariance, for the mean is taken back there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from compress.quantization.calibrate import observe
from compress.quantization.correct import correct_bias, input_means
from compress.quantization.plan import plan
from compress.quantization.qdq import dequantized
from compress.quantization.weights import PAIR, Integers, depthwise, integers
from compress.step import Work
from converter.model import Model, attribute, constants, copy, load, output_axis, prune_unused, to_bytes
from edge_runtime.console import progress
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_BATCH = 4
_WIDEST = 2400  # values of a row: beyond, covariances take too much memory, and the nearest integers stay
_PLACES = 128  # positions of a feature map that one sample contributes
_RIDGE = (
    0.3  # of the mean variance, added to each: pulls towards the nearest integers what few samples decide
)


@dataclass(frozen=True, slots=True)
class Rounding:
    """Parameters of the step: weights of `bits`, found in at most `passes` over each layer, from `samples`."""

    bits: int = 8
    passes: int = 4
    samples: int = 100

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8 or self.passes < 0 or self.samples < 1:
            raise ModelError(
                f"round: bits {self.bits}, passes {self.passes}, samples {self.samples}; expected 2 to 8 bits, passes "
                "from 0 and samples from 1"
            )

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return learn_rounding(model, work.samples.x, self)


def learn_rounding(model: Model, samples: Array, options: Rounding | None = None) -> onnx.ModelProto:
    """Round the weights of a model to few bits; the activations stay float.

    Args:
        model: float, optimised, one input; or its path; it is not changed.
        samples: float32[n, ...], as the model takes them.
        options: how.

    Returns:
        The model with int8 weights behind DequantizeLinear, and corrected biases.

    Raises:
        ModelError: no layer has constant weights.
    """
    chosen = options or Rounding()
    result = copy(load(model))
    layers = plan(result.graph).layers
    if not layers:
        raise ModelError("nothing to round: the model has no Conv, Gemm or MatMul with constant weights")
    known = constants(result.graph)
    nearest = {node.input[1]: integers(node, known[node.input[1]], chosen.bits) for node in layers}
    weights = round_weights(result, layers, nearest, samples, chosen)
    used = samples[: chosen.samples]
    correct_bias(
        result,
        layers,
        input_means(result, layers, used),
        {name: weight.restored for name, weight in weights.items()},
    )
    nodes = [
        dequantized(result.graph, name, weight.values, weight.scale, weight.axis)
        for name, weight in weights.items()
    ]
    for node in layers:
        node.input[1] = f"{node.input[1]}.dequantized"
    rest = list(result.graph.node)
    del result.graph.node[:]
    result.graph.node.extend([*nodes, *rest])
    prune_unused(result.graph)
    onnx.checker.check_model(result)
    return result


def round_weights(
    model: onnx.ModelProto,
    layers: Sequence[onnx.NodeProto],
    nearest: Mapping[str, Integers],
    samples: Array,
    options: Rounding,
    *,
    headroom: bool = False,
) -> Mapping[str, Integers]:
    """Better integers for the same scales.

    Args:
        model: float, one input; it holds the layers.
        layers: with constant weights.
        nearest: the integers to begin with, by the weight's name.
        samples: float32[n, ...].
        options: how.
        headroom: no pair of neighbours may exceed what 16 bits hold; `nearest` does not.
    """
    known, found = constants(model.graph), dict(nearest)
    learning = [node for node in layers if _learnable(node, known[node.input[1]])]
    drawn = np.random.default_rng(0).permutation(len(samples))[: options.samples]
    seen = covariances(model, learning, samples[np.sort(drawn)])
    for node in progress(learning, "learn the rounding"):
        name = node.input[1]
        covariance, values = [ridged(c) for c in seen[node.output[0]]], found[name].values
        groups = len(covariance)
        start, shape = _matrix(node, values)
        wanted, _ = _matrix(node, known[name])
        scale = np.broadcast_to(found[name].scale.reshape(-1), len(start)).astype(np.float64)
        paired = headroom and not depthwise(node, values)
        limit = 2 ** (options.bits - 1) - 1
        parts = [
            descend(w.astype(np.float64), q.astype(np.float64), s, c, limit, options.passes, paired=paired)
            for w, q, s, c in zip(
                *(np.array_split(each, groups) for each in (wanted, start, scale)), covariance, strict=True
            )
        ]
        better = _unmatrix(node, np.concatenate(parts).astype(np.int8), shape)
        found[name] = Integers(found[name].scale, better, found[name].axis)
    return found


def _learnable(node: onnx.NodeProto, weight: Array) -> bool:
    width = weight.size // int(weight.shape[output_axis(node, weight.ndim)])
    return node.op_type != "ConvTranspose" and width <= _WIDEST


def ridged(covariance: Array) -> Array:
    """The covariance [k, k] with a share of the mean variance added to every variance."""
    ridge = _RIDGE * float(np.trace(covariance)) / len(covariance)
    return np.asarray(covariance + ridge * np.eye(len(covariance)))


def descend(
    weight: Array,
    start: Array,
    scale: Array,
    covariance: Array,
    limit: int,
    passes: int,
    *,
    paired: bool = False,
) -> Array:
    """Coordinate descent on the integers.

    Args:
        weight: float64[rows, k].
        start: integers as float64[rows, k].
        scale: float64[rows].
        covariance: float64[k, k], of what the rows are multiplied with.
        limit: largest absolute integer.
        passes: over all coordinates; fewer if nothing changes any more.
        paired: neighbours of one sign may not sum to more than 128.

    Returns:
        Integers whose error ``d C d^T`` is at most that of `start`, in every row.
    """
    # Up or down, and no further: what moves further fits the few pictures that were seen, and little else.
    below, above = np.floor(weight / scale[:, None]), np.ceil(weight / scale[:, None])
    found = start.copy()
    slope = (found * scale[:, None] - weight) @ covariance
    curve = np.diag(covariance)
    order = [k for k in np.argsort(-curve) if curve[k] > 0]
    for _ in range(passes):
        moved = 0
        for k in order:
            best = np.rint(found[:, k] - slope[:, k] / (curve[k] * scale))
            best = np.clip(best, below[:, k], above[:, k])
            best = np.clip(best, *_bounds(found, k, limit, paired=paired))
            (rows,) = np.nonzero(best != found[:, k])
            if len(rows):
                change = (best[rows] - found[rows, k]) * scale[rows]
                slope[rows] += change[:, None] * covariance[k]
                found[rows, k] = best[rows]
                moved += len(rows)
        if moved <= found.size // 10_000:
            break
    return found


def _bounds(found: Array, k: int, limit: int, *, paired: bool) -> tuple[Array | float, Array | float]:
    other = k ^ 1
    if not paired or other >= found.shape[1]:
        return -limit, limit
    beside = found[:, other]
    return np.maximum(-limit, -PAIR - np.minimum(beside, 0)), np.minimum(limit, PAIR - np.maximum(beside, 0))


def covariances(
    model: onnx.ModelProto, layers: Sequence[onnx.NodeProto], samples: Array, seed: int = 0
) -> Mapping[str, Array]:
    """The covariance of what each row of a layer's weight is multiplied with: float64[groups, k, k], by output.

    The order of k is that of `weights.rows`. What too few samples leave open is drawn to the diagonal.
    """
    observed = copy(model)
    known = constants(observed.graph)
    inputs = {value.name for value in observed.graph.input}
    names = sorted({node.input[0] for node in layers} - inputs) or [observed.graph.output[0].name]
    del observed.graph.output[:]
    observed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = Session(to_bytes(observed))
    rng = np.random.default_rng(seed)
    sums: dict[str, tuple[Array, Array, int]] = {}
    for start in progress(range(0, len(samples), _BATCH), "observe covariances"):
        outputs = observe(session, samples[start : start + _BATCH])
        for node in layers:
            columns = _columns(node, known[node.input[1]], outputs[node.input[0]], rng)
            square, total, count = sums.get(node.output[0], (np.zeros(()), np.zeros(()), 0))
            product = columns @ columns.transpose(0, 2, 1)
            sums[node.output[0]] = (
                square + product.astype(np.float64),
                total + columns.sum(axis=2, dtype=np.float64),
                count + columns.shape[2],
            )
    return {name: _shrunk(*parts) for name, parts in sums.items()}


def _shrunk(square: Array, total: Array, count: int) -> Array:
    mean = total / count
    covariance = square / count - mean[:, :, None] * mean[:, None, :]
    k = covariance.shape[1]
    share = min(0.9, 0.5 * k / count)
    diagonal = np.einsum("gkk->gk", covariance)
    result = (1 - share) * covariance
    result[:, np.arange(k), np.arange(k)] = diagonal + 1e-6 * diagonal.mean(axis=1, keepdims=True)
    return np.asarray(result)


def _columns(node: onnx.NodeProto, weight: Array, x: Array, rng: np.random.Generator) -> Array:
    """What the rows of the weight are multiplied with, at some places: float32[groups, k, places]."""
    if node.op_type != "Conv":
        flat = x.reshape(-1, x.shape[-1])
        return flat[rng.permutation(len(flat))[: _PLACES * _BATCH]].T[None]
    windows = _windows(node, weight, x)  # [n, c, places..., taps...]
    spatial = x.ndim - 2
    counts = windows.shape[2 : 2 + spatial]
    drawn = rng.choice(int(np.prod(counts)), min(_PLACES, int(np.prod(counts))), replace=False, shuffle=False)
    where: Any = (slice(None), slice(None), *np.unravel_index(drawn, counts))
    picked = windows[where]  # [n, c, drawn, taps...]
    groups = int(attribute(node, "group", 1))
    parts = picked.reshape(len(x), groups, x.shape[1] // groups, len(drawn), -1)
    return np.ascontiguousarray(parts.transpose(1, 4, 2, 0, 3)).reshape(groups, -1, len(x) * len(drawn))


def _windows(node: onnx.NodeProto, weight: Array, x: Array) -> Array:
    """A view of every window of x under the kernel: float32[n, c, places..., taps...]."""
    kernel, spatial = weight.shape[2:], x.ndim - 2
    strides = attribute(node, "strides", [1] * spatial)
    dilations = attribute(node, "dilations", [1] * spatial)
    pads = attribute(node, "pads", [0] * 2 * spatial)
    if any(pads):
        x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:spatial], pads[spatial:], strict=True)])
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(2, x.ndim)))
    steps: list[Any] = [slice(None, None, step) for step in (1, 1, *strides, *dilations)]
    return np.asarray(view[tuple(steps)])


def _matrix(node: onnx.NodeProto, weight: Array) -> tuple[Array, tuple[int, ...]]:
    """The weight as [rows, k], channels last within k, and the shape that `_unmatrix` needs."""
    if node.op_type == "Conv":
        moved = np.moveaxis(weight, 1, -1)
        return moved.reshape(len(weight), -1), moved.shape
    moved = np.moveaxis(weight, output_axis(node, weight.ndim), 0)
    return moved.reshape(len(moved), -1), moved.shape


def _unmatrix(node: onnx.NodeProto, matrix: Array, shape: tuple[int, ...]) -> Array:
    moved = matrix.reshape(shape)
    if node.op_type == "Conv":
        return np.ascontiguousarray(np.moveaxis(moved, -1, 1))
    return np.ascontiguousarray(np.moveaxis(moved, 0, output_axis(node, matrix.ndim)))
