"""Layer by layer: what compression did to each weight, and how much of the model's error is its doing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

from compress import fidelity
from compress.report.page import AFTER, BEFORE, canvas
from compress.training.retrain import with_weights
from converter.model import WEIGHTED, constants, copy, output_axis, prune_unused, to_bytes
from edge_runtime.console import progress
from edge_runtime.session import Session
from edge_runtime.tensors import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = (
    "layer",
    "operator",
    "weight",
    "compressed",
    "bytes",
    "compressed",
    "MACs",
    "compressed",
    "weight SQNR",
    "output SQNR",
)
MOST, SECONDS = 32, 20.0
"""Layers whose effect on the output is measured, and the time that this may take."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A layer's weight: `values` as it calculates with them, `stored` bytes, `macs` of the layer an inference."""

    op: str
    values: Array
    stored: int
    macs: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the original beside the compressed one; `after` is None where it is gone or in another form.

    `weight_sqnr`: of the weight, in dB. `output_sqnr`: of the model's output when this weight alone is replaced by
    its compressed form, in dB: the layer's sensitivity. Both are None where the shapes differ, the latter also where it
    was not measured.
    """

    name: str
    before: Weight
    after: Weight | None
    weight_sqnr: float | None = None
    output_sqnr: float | None = None


def layers(
    source: onnx.ModelProto,
    model: onnx.ModelProto,
    x: Array | None = None,
    *,
    most: int = MOST,
    seconds: float = SECONDS,
) -> list[Layer]:
    """Every layer with constant weights, in the order of the original's graph.

    Args:
        source: the original, optimised as the compressed model is.
        model: the compressed model.
        x: samples for `Layer.output_sqnr`; None leaves it out.
        most: layers whose `output_sqnr` is measured: those whose weights add the most noise to what they calculate.
        seconds: after so long no further layer is measured.
    """
    before, after = weights(source), weights(model)
    found = []
    for name, weight in before.items():
        other = after.get(_match(name, after))
        same = other is not None and other.values.shape == weight.values.shape
        quality = sqnr(weight.values, other.values) if other is not None and same else None
        found.append(Layer(name, weight, other, quality))
    return found if x is None else _measured(source, found, x, most, seconds)


def _measured(
    source: onnx.ModelProto, found: Sequence[Layer], x: Array, most: int, seconds: float
) -> list[Layer]:
    """The layers, the noisiest with what each of them alone does to the output.

    A weight's share of noise, times the multiply-accumulates that it takes part in: the heavy and the damaged first.
    """
    began, known = time.monotonic(), constants(source.graph)
    candidates = [k for k, layer in enumerate(found) if layer.weight_sqnr is not None and layer.name in known]
    candidates.sort(key=lambda k: -found[k].before.macs * 10 ** (-(found[k].weight_sqnr or 0) / 10))
    reference, made = Session(to_bytes(source)).run_batches(x)[0], list(found)
    for k in progress(candidates[:most], "sensitivity of layers"):
        if time.monotonic() - began > seconds:
            break
        name, after = found[k].name, found[k].after
        if after is not None:
            alone = Session(to_bytes(with_weights(source, {name: after.values.astype(np.float32)})))
            made[k] = replace(found[k], output_sqnr=sqnr(reference, alone.run_batches(x)[0]))
    return made


def coverage(found: Sequence[Layer]) -> str:
    """Which layers' sensitivity is there, where it is not that of all that have the original's shape; else nothing."""
    possible = [layer for layer in found if layer.weight_sqnr is not None]
    there = [layer for layer in possible if layer.output_sqnr is not None]
    if not there or len(there) == len(possible):
        return ""
    return (
        f"The effect on the output was measured for {len(there)} of {len(possible)} layers, those whose weights add "
        f"the most noise: at most {MOST}, within {SECONDS:g} s."
    )


def sqnr(reference: Array, other: Array) -> float:
    """Signal to noise of `other`, in dB; at most 150, so that a picture of it can be read."""
    return min(150.0, fidelity.sqnr(reference, other))


def _match(name: str, names: dict[str, Weight]) -> str:
    """The compressed model's name for a weight: the same, or with a suffix."""
    return name if name in names else next((other for other in names if other.startswith(f"{name}.")), "")


def weights(model: onnx.ModelProto) -> dict[str, Weight]:
    """The weights of all layers by the name of the constant that they come from."""
    origins = _origins(model.graph)
    values = _values(model, list(origins))
    known = constants(model.graph)
    shapes = _shapes(model)
    found: dict[str, Weight] = {}
    for node in model.graph.node:
        if node.op_type not in WEIGHTED or node.input[1] not in values:
            continue
        value, sources = values[node.input[1]], origins[node.input[1]]
        channels = value.shape[output_axis(node, value.ndim)]
        outputs = int(np.prod(shapes.get(node.output[0], (0,))))
        stored = sum(known[name].nbytes for name in sources)
        found.setdefault(
            sources[0], Weight(node.op_type, value, stored, outputs * value.size // max(channels, 1))
        )
    return found


def _origins(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """For each layer's weight that follows from constants alone, those constants, the largest first."""
    known = constants(graph)
    # In the graph's order: each value is looked at once, however many ways lead to it.
    behind: dict[str, list[str]] = {name: [name] for name in known}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if inputs and all(name in behind for name in inputs):
            sources = list(dict.fromkeys(each for name in inputs for each in behind[name]))
            behind.update(dict.fromkeys(node.output, sources))
    found = {}
    for node in graph.node:
        if node.op_type in WEIGHTED and node.input[0] not in known and node.input[1] in behind:
            found[node.input[1]] = sorted(behind[node.input[1]], key=lambda name: -known[name].nbytes)
    return found


def _values(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, Array]:
    """The values of results that follow from constants, as the engine calculates them, in float32."""
    if not names:
        return {}
    alone = copy(model)
    graph = alone.graph
    del graph.output[:], graph.input[:], graph.value_info[:]
    for k, name in enumerate(names):
        graph.node.append(helper.make_node("Cast", [name], [f"value.{k}"], to=TensorProto.FLOAT))
        graph.output.append(helper.make_tensor_value_info(f"value.{k}", TensorProto.FLOAT, None))
    prune_unused(graph)
    made = Session(to_bytes(alone)).run({})
    return {name: made[f"value.{k}"] for k, name in enumerate(names)}


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of all results for one sample."""
    one = copy(model)
    for value in one.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    del one.graph.value_info[:]
    inferred = shape_inference.infer_shapes(one).graph
    return {
        value.name: tuple(max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.value_info, *inferred.output)
    }


def rows(found: Sequence[Layer]) -> list[tuple[str, ...]]:
    """The table, one row a layer."""
    return [
        (
            layer.name,
            layer.before.op,
            _shape(layer.before),
            _shape(layer.after),
            f"{layer.before.stored:,}",
            f"{layer.after.stored:,}" if layer.after else "–",
            f"{layer.before.macs:,}",
            f"{layer.after.macs:,}" if layer.after else "–",
            _decibel(layer.weight_sqnr),
            _decibel(layer.output_sqnr),
        )
        for layer in found
    ]


def _shape(weight: Weight | None) -> str:
    return "×".join(map(str, weight.values.shape)) if weight else "–"


def _decibel(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} dB"


def sensitivity_picture(found: Sequence[Layer]) -> "Figure":
    """How much of the error each layer is the cause of."""
    figure, (axis,) = canvas(9, 3.2)
    places = np.arange(len(found))
    axis.bar(places - 0.2, [layer.weight_sqnr or 0 for layer in found], 0.4, color=BEFORE, label="its weight")
    outputs = [layer.output_sqnr or 0 for layer in found]
    axis.bar(
        places + 0.2,
        outputs,
        0.4,
        color=AFTER,
        label="the model's output, if this weight alone is compressed",
    )
    axis.set_xlabel("layer, in the order of the graph")
    axis.set_ylabel("SQNR, dB")
    axis.legend(fontsize=8, frameon=False)
    return figure


def cost_picture(found: Sequence[Layer]) -> "Figure":
    """Multiply-accumulates and bytes of each layer, before and after."""
    figure, axes = canvas(10, 3, columns=2)
    places = np.arange(len(found))
    for axis, name, label in (
        (axes[0], "macs", "multiply-accumulates"),
        (axes[1], "stored", "bytes of the weight"),
    ):
        axis.bar(places, [getattr(layer.before, name) for layer in found], color=BEFORE, label="original")
        after = [getattr(layer.after, name) if layer.after else 0 for layer in found]
        axis.bar(places, after, color=AFTER, label="compressed", width=0.5)
        axis.set_xlabel("layer, in the order of the graph")
        axis.set_ylabel(label)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def histograms(found: Sequence[Layer], most: int = 6) -> "Figure":
    """The values of the largest weights before and after."""
    chosen = sorted((x for x in found if x.after), key=lambda layer: -layer.before.values.size)[:most]
    figure, axes = canvas(10, 2.3 * -(-len(chosen) // 3), columns=3, rows=max(1, -(-len(chosen) // 3)))
    for axis in axes[len(chosen) :]:
        axis.axis("off")
    for axis, layer in zip(axes, chosen, strict=False):
        pair = [layer.before.values.ravel(), layer.after.values.ravel() if layer.after else np.zeros(0)]
        low, high = float(pair[0].min()), float(pair[0].max())
        bins = np.linspace(low, high + 1e-12, 65).tolist()
        axis.hist(pair[0], bins, color=BEFORE, label="original")
        axis.hist(pair[1], bins, histtype="step", color=AFTER, label="compressed")
        axis.set_yscale("log")
        axis.set_title(layer.name[-40:], fontsize=7)
        axis.tick_params(labelsize=7)
    if chosen:
        axes[0].legend(fontsize=7, frameon=False)
    return figure
