"""Static int8 quantisation in QDQ form (ONNX QuantizeLinear and DequantizeLinear around float operators).

For every activation ``x`` of a quantised operator: ``x ≈ s (q - z)``, 8 bit, asymmetric, per tensor, with ``s, z`` from
calibration. For every weight ``W``: ``W_c ≈ s_c q_c``, int8, symmetric, one scale an output channel. A bias is int32
with scale ``s_x s_c``, so that the engine adds it to its accumulator as it is (Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018).

Activations are fused: a Relu or Clip whose limits the quantised range already enforces disappears, because a
quantisation saturates there. An engine (onnxruntime, an NPU's compiler) recognises the pattern DQ → op → Q.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx
from onnx import helper

from compress.quantization.calibrate import QuantParams, Range, affine, calibrate, refine
from compress.quantization.correct import correct_bias
from compress.step import Work
from converter.model import (
    WEIGHTED,
    Model,
    attribute,
    constants,
    consumers,
    copy,
    load,
    output_axis,
    producers,
    prune_unused,
    set_constant,
)
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_ARITHMETIC = frozenset(
    {"Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat", "Sigmoid", "LeakyRelu", "Softmax"}
)
_SAME_SCALE = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})
_ACTIVATION = frozenset({"Relu", "Clip"})


@dataclass(frozen=True, slots=True)
class Quantize:
    """Parameters of the step.

    `activation` None takes the target's own type. `calibrator` is "minmax", "percentile", "mse" or "entropy"; with
    "minmax", `momentum` above 0 takes a moving average. `bias_correction`: see `correct_bias`. `samples` bounds
    the calibration.
    """

    activation: str | None = None
    per_channel: bool = True
    weight_bits: int = 8
    momentum: float = 0.0
    calibrator: str = "minmax"
    bias_correction: bool = True
    samples: int = 200

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return quantize(model, work.samples.x, self, work.target.activation)


def quantize(
    model: Model, samples: Array, options: Quantize | None = None, activation: str = "uint8"
) -> onnx.ModelProto:
    """Quantise a float model to 8 bit, calibrated on `samples`.

    Args:
        model: an optimised float32 model of one input, or its path; it is not changed.
        samples: float32[n, ...], as the model takes them.
        options: how; the defaults suit most convolutional networks.
        activation: integer type of activations where `options` leaves it open.

    Returns:
        The model in QDQ form.

    Raises:
        ModelError: nothing in the model can be quantised.
    """
    chosen = options or Quantize()
    result = copy(load(model))
    plan = _plan(result.graph)
    if not plan.nodes:
        raise ModelError("nothing to quantise: the model has no Conv, Gemm or MatMul with constant weights")
    observed = sorted(set(plan.tensors.values()))
    ranges = calibrate(result, observed, samples[: chosen.samples], chosen.momentum)
    if chosen.calibrator != "minmax":
        ranges = refine(result, ranges, samples[: chosen.samples], chosen.calibrator)
    if chosen.bias_correction:
        layers = [node for node in plan.nodes.values() if node.op_type in WEIGHTED]
        correct_bias(result, layers, samples[: chosen.samples], partial(_restored, options=chosen))
    kind = chosen.activation or activation
    params = {
        name: affine(_limited(plan, name, ranges[source]), kind) for name, source in plan.tensors.items()
    }
    _rewrite(result.graph, plan, params, chosen)
    prune_unused(result.graph)
    onnx.checker.check_model(result)
    return result


@dataclass(slots=True)
class _Plan:
    """What is quantised: `nodes`, by name of first output; `tensors`: each activation, and the one observed for it."""

    nodes: dict[str, onnx.NodeProto] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    limits: dict[str, Range] = field(default_factory=dict)
    fused: dict[str, str] = field(default_factory=dict)


def _plan(graph: onnx.GraphProto) -> _Plan:
    """Decide what is quantised, in the graph's order, so that a pass-through operator follows what feeds it."""
    known, readers = constants(graph), consumers(graph)
    outputs = {value.name for value in graph.output}
    plan = _Plan()
    for node in graph.node:
        if not _quantizable(node, known, plan):
            continue
        plan.nodes[node.output[0]] = node
        for name in _activations(node, known):
            plan.tensors.setdefault(name, name)
        out = node.output[0]
        after = readers[out]
        if node.op_type in WEIGHTED | {"Add"} and len(after) == 1 and out not in outputs:
            limits = _limits(after[0], known)
            if limits is not None:  # the activation's output is quantised in the place of this one's
                plan.fused[out] = after[0].output[0]
                plan.limits[after[0].output[0]] = limits
                out = after[0].output[0]
        if out not in outputs:  # a graph's output stays float: the last operator dequantises for free
            plan.tensors[out] = plan.tensors[node.input[0]] if node.op_type in _SAME_SCALE else out
    return plan


def _quantizable(node: onnx.NodeProto, known: Mapping[str, Array], plan: _Plan) -> bool:
    if node.op_type in WEIGHTED:
        fixed = (
            node.input[1] in known and known[node.input[1]].dtype == np.float32 and node.input[0] not in known
        )
        plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
        straight = not attribute(node, "transA", 0) and (
            node.op_type != "MatMul" or known[node.input[1]].ndim == 2 if fixed else False
        )
        return fixed and plain and straight
    if node.op_type in _SAME_SCALE:
        return node.input[0] in plan.tensors
    return node.op_type in _ARITHMETIC and all(name in plan.tensors for name in node.input if name)


def _activations(node: onnx.NodeProto, known: Mapping[str, Array]) -> list[str]:
    if node.op_type in WEIGHTED | _SAME_SCALE:
        return [node.input[0]]
    return [name for name in node.input if name and name not in known]


def _limits(node: onnx.NodeProto, known: Mapping[str, Array]) -> Range | None:
    """The range to which a Relu or Clip limits its output; None if it is neither, or its limits vary."""
    if node.op_type == "Relu":
        return Range(0.0, np.inf)
    if node.op_type != "Clip":
        return None
    bounds = []
    for k, missing in ((1, -np.inf), (2, np.inf)):
        name = node.input[k] if len(node.input) > k else ""
        if name and name not in known:
            return None
        bounds.append(float(known[name]) if name else missing)
    # Zero must be representable, so a range that leaves it out cannot stand for the Clip.
    return Range(bounds[0], bounds[1]) if bounds[0] <= 0 <= bounds[1] else None


def _limited(plan: _Plan, name: str, seen: Range) -> Range:
    limits = plan.limits.get(name)
    return seen.clipped(limits.low, limits.high) if limits else seen


def _rewrite(
    graph: onnx.GraphProto, plan: _Plan, params: Mapping[str, QuantParams], options: Quantize
) -> None:
    known, made = constants(graph), producers(graph)
    renamed: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    skipped = {id(made[after]) for after in plan.fused.values()}
    inputs = {value.name for value in graph.input}
    for name in plan.tensors:
        if name in inputs:
            nodes += _pair(graph, name, name, params[name])
            renamed[name] = f"{name}.dequantized"
    for node in list(graph.node):
        if id(made[node.output[0]]) in skipped:
            continue
        out = node.output[0]
        if out in plan.nodes:
            _quantize_weight(graph, nodes, node, known, params, options)
            for k, name in enumerate(node.input):
                node.input[k] = renamed.get(name, name)
        final = plan.fused.get(out, out)
        nodes.append(node)
        if final in params:
            nodes += _pair(graph, out, final, params[final])
            renamed[final] = f"{final}.dequantized"
    del graph.node[:]
    # Operators that stay float read the dequantised value too, so that the activation lives once, as integers.
    for node in nodes:
        if node.op_type != "QuantizeLinear":
            for k, name in enumerate(node.input):
                node.input[k] = renamed.get(name, name)
    graph.node.extend(nodes)


def _pair(graph: onnx.GraphProto, source: str, name: str, params: QuantParams) -> list[onnx.NodeProto]:
    """QuantizeLinear and DequantizeLinear of one activation."""
    scale, zero = f"{name}.scale", f"{name}.zero_point"
    set_constant(graph, scale, np.asarray(params.scale, np.float32))
    set_constant(graph, zero, np.asarray(params.zero_point, params.dtype))
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}.quantized"], name=f"{name}.q"),
        helper.make_node(
            "DequantizeLinear", [f"{name}.quantized", scale, zero], [f"{name}.dequantized"], name=f"{name}.dq"
        ),
    ]


def _quantize_weight(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    params: Mapping[str, QuantParams],
    options: Quantize,
) -> None:
    """Put the weight and the bias of `node` into integers."""
    if node.op_type not in WEIGHTED:
        return
    weight, name = known[node.input[1]], node.input[1]
    axis = output_axis(node, weight.ndim)
    scale, integers = symmetric(weight, axis if options.per_channel else None, options.weight_bits)
    set_constant(graph, f"{name}.integers", integers)
    set_constant(graph, f"{name}.scale", scale)
    set_constant(graph, f"{name}.zero_point", np.zeros(scale.shape, np.int8))
    parts = [f"{name}.integers", f"{name}.scale", f"{name}.zero_point"]
    made = f"{name}.dequantized"
    if not any(made in other.output for other in nodes):
        nodes.append(helper.make_node("DequantizeLinear", parts, [made], name=f"{name}.dq", axis=axis))
    step = params[node.input[0]].scale * scale
    node.input[1] = made
    if len(node.input) > 2 and node.input[2] in known:
        nodes.append(
            _quantize_bias(graph, node, known[node.input[2]], np.broadcast_to(step, weight.shape[axis]))
        )


def _restored(node: onnx.NodeProto, weight: Array, options: Quantize) -> Array:
    """The weight as the quantised model has it, in float32."""
    axis = output_axis(node, weight.ndim)
    scale, integers = symmetric(weight, axis if options.per_channel else None, options.weight_bits)
    shape = [1] * weight.ndim
    shape[axis] = -1
    return integers * scale.reshape(shape if scale.ndim else ())


def _quantize_bias(graph: onnx.GraphProto, node: onnx.NodeProto, bias: Array, step: Array) -> onnx.NodeProto:
    # Named after the node's output: two layers may share a bias, but not its scale.
    name = f"{node.output[0]}.bias"
    limit = np.iinfo(np.int32).max
    rounded = np.clip(np.rint(bias.reshape(-1).astype(np.float64) / step), -limit, limit)
    set_constant(graph, f"{name}.integers", rounded.astype(np.int32))
    set_constant(graph, f"{name}.scale", step.astype(np.float32))
    set_constant(graph, f"{name}.zero_point", np.zeros(step.shape, np.int32))
    parts = [f"{name}.integers", f"{name}.scale", f"{name}.zero_point"]
    node.input[2] = f"{name}.dequantized"
    return helper.make_node("DequantizeLinear", parts, [node.input[2]], name=f"{name}.dq", axis=0)


def symmetric(weight: Array, axis: int | None, bits: int = 8) -> tuple[Array, Array]:
    """Symmetric integers for a weight: ``weight ≈ scale * integers``.

    Args:
        weight: float32, any shape.
        axis: one scale for each index of this axis; None for one scale.
        bits: 2 to 8; fewer than 8 leave head-room in a 16-bit accumulator.

    Returns:
        scale float32[channels] or float32[], and int8 of the weight's shape. The error is at most scale / 2.
    """
    limit = 2 ** (bits - 1) - 1
    others = None if axis is None else tuple(k for k in range(weight.ndim) if k != axis % weight.ndim)
    peak = np.abs(weight).max(axis=others, keepdims=axis is not None)
    scale = np.maximum(peak / np.float32(limit), float(np.finfo(np.float32).tiny) * 256).astype(np.float32)
    integers = np.clip(np.rint(weight / scale), -limit, limit).astype(np.int8)
    return scale.reshape(-1) if axis is not None else scale.reshape(()), integers
