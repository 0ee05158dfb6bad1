"""Calibration: the range of every activation over real samples, from which its scale and zero point follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from compress.quantization.histogram import BINS, METHODS, Histogram
from converter.model import copy, to_bytes
from edge_runtime.console import progress
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_BATCH = 4  # samples a call: large enough to amortise the call, small enough for a 4 GB machine


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest value that an activation takes."""

    low: float
    high: float

    def clipped(self, low: float, high: float) -> "Range":
        """The part between `low` and `high`."""
        return Range(max(self.low, low), min(self.high, high))


def calibrate(
    model: onnx.ModelProto, names: Sequence[str], samples: Array, momentum: float = 0.0
) -> Mapping[str, Range]:
    """Run the float model over `samples` and observe the activations `names`.

    Args:
        model: one input; the samples fit it.
        names: values of the graph to observe.
        samples: float32[n, ...].
        momentum: 0 takes the extremes over all samples; above 0 the moving average of the batches' extremes,
            ``r = momentum r + (1 - momentum) extreme`` (Jacob et al. 2018, section 3.1), which forgets outliers.

    Returns:
        The range of each name.

    Raises:
        ModelError: a value is not finite.
    """
    observed = copy(model)
    graph = observed.graph
    del graph.output[:]
    for k, name in enumerate(names):
        for op in ("ReduceMin", "ReduceMax"):
            graph.node.append(helper.make_node(op, [name], [f"observed.{op}.{k}"], keepdims=1))
            graph.output.append(helper.make_tensor_value_info(f"observed.{op}.{k}", TensorProto.FLOAT, None))
    session = Session(to_bytes(observed))
    ranges: dict[str, Range] = {}
    for start in progress(range(0, len(samples), _BATCH), "calibrate"):
        extremes = session.run_batches(samples[start : start + _BATCH], _BATCH)
        for k, name in enumerate(names):
            seen = Range(float(extremes[2 * k].min()), float(extremes[2 * k + 1].max()))
            ranges[name] = _merge(ranges.get(name), seen, momentum)
    for name, seen in ranges.items():
        if not np.isfinite([seen.low, seen.high]).all():
            raise ModelError(f"calibration: '{name}' becomes infinite or NaN on these samples")
    return ranges


def refine(
    model: onnx.ModelProto, ranges: Mapping[str, Range], samples: Array, method: str
) -> Mapping[str, Range]:
    """Narrow ranges that hold every value to those that a method of `compress.quantization.histogram` finds.

    Args:
        model: one input; the samples fit it.
        ranges: what `calibrate` observed.
        samples: float32[n, ...].
        method: "percentile", "mse" or "entropy".
    """
    observed = copy(model)
    kinds = {value.name for value in observed.graph.output}
    names = list(ranges)
    inputs = {value.name for value in observed.graph.input}
    for name in names:
        if name not in kinds | inputs:
            observed.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = Session(to_bytes(observed))
    found = {name: Histogram(np.zeros(BINS, np.int64), seen.low, seen.high) for name, seen in ranges.items()}
    for start in progress(range(0, len(samples), _BATCH), f"calibrate ({method})"):
        outputs = observe(session, samples[start : start + _BATCH])
        found = {name: histogram.add(outputs[name]) for name, histogram in found.items()}
    return {name: Range(*METHODS[method](histogram)) for name, histogram in found.items()}


def observe(session: Session, batch: Array) -> dict[str, Array]:
    """The outputs and inputs of a session on some samples, by name, each with the samples on axis 0.

    Where samples bring all of their axes (see `edge_runtime.data.feeds`), those of all samples are joined on the first.
    """
    found = dict(zip([out.name for out in session.outputs], session.run_batches(batch, _BATCH), strict=True))
    found |= {spec.name: batch[spec.name] if batch.dtype.names else batch for spec in session.inputs}
    apart = any(found[spec.name].ndim > len(spec.shape) for spec in session.inputs)
    return {name: a.reshape(-1, *a.shape[2:]) if apart and a.ndim > 1 else a for name, a in found.items()}


def _merge(old: Range | None, new: Range, momentum: float) -> Range:
    if old is None:
        return new
    if not momentum:
        return Range(min(old.low, new.low), max(old.high, new.high))
    rest = 1.0 - momentum
    return Range(momentum * old.low + rest * new.low, momentum * old.high + rest * new.high)


@dataclass(frozen=True, slots=True)
class QuantParams:
    """``real = scale * (quantised - zero_point)`` (ONNX QuantizeLinear)."""

    scale: np.float32
    zero_point: int
    dtype: np.dtype[np.int8] | np.dtype[np.uint8] | np.dtype[np.int16] | np.dtype[np.uint16]


def affine(seen: Range, dtype: str, *, symmetric: bool = False) -> QuantParams:
    """Parameters whose range covers `seen` and represents 0 exactly (padding, ReLU).

    Args:
        seen: the range to cover.
        dtype: "uint8", "int8", "uint16" or "int16".
        symmetric: the zero point is the middle of the type: 0 if it is signed, 128 of uint8.
    """
    kind = np.dtype(dtype)
    limits = np.iinfo(kind)
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high
    smallest = float(np.finfo(np.float32).tiny) * 256
    steps = limits.max - limits.min - (1 if symmetric else 0)
    scale = max((high - low) / steps, smallest)
    zero = (limits.max + limits.min + 1) // 2 if symmetric else round(limits.min - low / scale)
    return QuantParams(np.float32(scale), int(np.clip(zero, limits.min, limits.max)), kind)
