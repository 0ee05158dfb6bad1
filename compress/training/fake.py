"""A quantised model as a graph that learns, and back: fake quantisation with learned scales.

A model in QDQ form holds integers; here each becomes a float weight again, which the graph quantises itself::

    weight      Ŵ = s₀·p · Q(clip(v, ±eᵘ); eᵘ/p)        v, u learned; s₀ the first scale, p the largest integer
    activation  x̂ = Q(x; s₀·eᵘ)                         u learned; the zero point stays
    bias        b = b₀ + unit·w                          w learned

with Q QuantizeLinear and DequantizeLinear, whose gradients pass straight through the rounding, also to the scale
(Esser et al., "Learned Step Size Quantization", ICLR 2020, equation 3). Weights and biases are learned in units of the
largest value that their channel could hold, and scales by their logarithm (Jain et al., "Trained Quantization
Thresholds", MLSys 2020), so one learning rate suits layers of any size, a scale cannot become negative, and Adam needs
no gradient scale: it has none. Batch normalisation has been folded before, so its statistics are frozen.

`folded` puts what was learned back in integers: the same graph as before, with other constants.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from compress.training.pairs import fitted, narrowed, narrowing, pairing
from converter.model import attribute, constants, copy, producers, prune_unused, set_constant
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

# Operators that hand values on as they are: what goes in and what comes out has one scale.
_SAME_SCALE = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Slice", "Split"}
    | {"Gather", "DepthToSpace", "SpaceToDepth", "Identity"}
)
_NONE = np.zeros(0)
_TYPES = {
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
}


@dataclass(frozen=True, slots=True)
class Weight:
    """An integer weight: `integers` and `scale` are names of constants; values go from `low` to `high` steps."""

    output: str
    integers: str
    scale: str
    first: Array
    low: int
    high: int
    axis: int
    zero: Array
    frozen: bool = False  # it shares its integers or its scale with another

    @property
    def peak(self) -> int:
        """The integer of largest magnitude."""
        return max(-self.low, self.high)

    def across(self, scale: Array, rank: int) -> Array:
        """Scales in a shape that broadcasts with the weight."""
        return scale.reshape(self.wide(rank))

    def wide(self, rank: int) -> list[int]:
        """The shape in which the scales broadcast with a weight of that rank."""
        own = self.axis % rank if self.first.size > 1 else -1
        return [-1 if k == own else 1 for k in range(rank)]


@dataclass(frozen=True, slots=True)
class Bias:
    """An int32 bias at the scale of its layer's input times its weight's."""

    output: str
    integers: str
    scale: str
    input_scale: str
    weight: Weight


@dataclass(slots=True)
class Form:
    """What a model in QDQ form consists of; `activations` maps each scale's name to that of the scale it follows."""

    weights: list[Weight] = field(default_factory=list)
    biases: list[Bias] = field(default_factory=list)
    activations: dict[str, str] = field(default_factory=dict)


def form(model: onnx.ModelProto) -> Form:
    """Find the integers and scales of a model in QDQ form.

    Raises:
        ModelError: it has none.
    """
    known, made = constants(model.graph), producers(model.graph)
    found = Form()
    uses = Counter(
        name
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
        for name in set(node.input[:2])
    )
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in known:
            weight = _weight(node, known, uses)
            if weight is not None:
                found.weights.append(weight)
        elif node.op_type == "QuantizeLinear" and node.input[1] in known and not known[node.input[1]].ndim:
            found.activations.setdefault(node.input[1], _followed(node, known, made, found.activations))
    by_output = {weight.output: weight for weight in found.weights}
    for node in model.graph.node:
        bias = _bias(node, known, made, by_output)
        if bias is not None:
            found.biases.append(bias)
    if not found.weights:
        raise ModelError("nothing to train: the model has no integer weights; quantise it first")
    return found


def _weight(node: onnx.NodeProto, known: Mapping[str, Array], uses: Mapping[str, int]) -> Weight | None:
    """The integer weight of a node; None for a bias, for blocks, and for what has a scale that is not constant."""
    integers, scale = known[node.input[0]], known.get(node.input[1])
    blocked = attribute(node, "block_size", 0)
    if scale is None or blocked or integers.dtype == np.int32 or scale.dtype != np.float32 or scale.ndim > 1:
        return None
    zero = (
        known[node.input[2]].astype(np.int32) if len(node.input) > 2 and node.input[2] else np.zeros((), int)
    )
    axis = int(attribute(node, "axis", 1))
    values = integers.astype(np.int32)
    smallest, largest = _TYPES[integers.dtype.name]
    if zero.any():  # asymmetric: what every channel can hold, whatever its zero point
        low, high = smallest - int(zero.min()), largest - int(zero.max())
    else:  # symmetric: as many bits as the values take; 7 may have been chosen on purpose
        most = 2 ** min(int(np.abs(values).max(initial=1)).bit_length(), largest.bit_length()) - 1
        low, high = -most, most
    shared = uses[node.input[0]] > 1 or uses[node.input[1]] > 1
    return Weight(node.output[0], node.input[0], node.input[1], scale, low, high, axis, zero, shared)


def _bias(
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    made: Mapping[str, onnx.NodeProto],
    weights: Mapping[str, Weight],
) -> Bias | None:
    if len(node.input) < 3 or node.input[1] not in weights:
        return None
    source, own = made.get(node.input[0]), made.get(node.input[2])
    if source is None or own is None or {source.op_type, own.op_type} != {"DequantizeLinear"}:
        return None
    if own.input[0] not in known or known[own.input[0]].dtype != np.int32:
        return None
    return Bias(own.output[0], own.input[0], own.input[1], source.input[1], weights[node.input[1]])


def _followed(
    node: onnx.NodeProto,
    known: Mapping[str, Array],
    made: Mapping[str, onnx.NodeProto],
    roots: Mapping[str, str],
) -> str:
    """The scale that a quantisation shares with what it follows; its own name where it is free."""
    source = made.get(node.input[0])
    if source is None or source.op_type not in _SAME_SCALE:
        return str(node.input[1])
    before = [
        made[name] for name in source.input if name in made and made[name].op_type == "DequantizeLinear"
    ]
    same = [
        each.input[1]
        for each in before
        if np.array_equal(known.get(each.input[1], _NONE), known[node.input[1]])
    ]
    if not same or (source.op_type == "Concat" and len(same) < len(source.input)):
        return str(node.input[1])
    return roots.get(same[0], same[0])


def fake(
    quantized: onnx.ModelProto, floats: Mapping[str, Array], *, keep_zeros: bool = True
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The graph that learns, and its parameters by name.

    Args:
        quantized: a model in QDQ form; it is not changed.
        floats: weights and biases before they were rounded, by the names that "NAME.integers" gives; what is not
            there begins with its rounded values.
        keep_zeros: a weight that is zero stays so.

    Raises:
        ModelError: the model has no integer weights.
    """
    parts = form(quantized)
    result = copy(quantized)
    graph = result.graph
    known = constants(graph)
    learned: dict[str, Array] = {}
    nodes: list[onnx.NodeProto] = []
    for name in dict.fromkeys(parts.activations.values()):
        learned[f"{name}.log"] = np.zeros((), np.float32)
        nodes += _scale(name, f"{name}.log")
    weights = [weight for weight in parts.weights if not weight.frozen]
    paired = pairing(quantized, {weight.output: known[weight.integers] for weight in weights})
    for weight in weights:
        nodes += _learning_weight(
            graph, weight, known, floats, learned, keep_zeros=keep_zeros, layer=paired.get(weight.output)
        )
        if weight.output not in paired:
            learned[f"{weight.integers}.log"] = _growth(weight, learned[f"{weight.integers}.value"])
    for bias in parts.biases:
        nodes += _learning_bias(graph, bias, known, learned)
    replaced = {weight.output for weight in weights} | {bias.output for bias in parts.biases}
    for node in graph.node:
        if node.output[0] in replaced:
            continue
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[1] in parts.activations:
            node.input[1] = f"{parts.activations[node.input[1]]}.learned"
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(nodes)
    for name, value in learned.items():
        set_constant(graph, name, value)
    prune_unused(graph)
    return result, learned


def _scale(name: str, logarithm: str) -> list[onnx.NodeProto]:
    """A learned scale: the constant `name` times e to the power of `logarithm`."""
    return [
        helper.make_node("Exp", [logarithm], [f"{name}.growth"], name=f"{name}.exp"),
        helper.make_node("Mul", [name, f"{name}.growth"], [f"{name}.learned"], name=f"{name}.mul"),
    ]


def _learning_weight(
    graph: onnx.GraphProto,
    weight: Weight,
    known: Mapping[str, Array],
    floats: Mapping[str, Array],
    learned: dict[str, Array],
    *,
    keep_zeros: bool,
    layer: onnx.NodeProto | None,
) -> list[onnx.NodeProto]:
    """The nodes that make a weight of what is learned of it."""
    stem, rank = weight.integers, known[weight.integers].ndim
    unit = (weight.across(weight.first, rank) * np.float32(weight.peak)).astype(np.float32)
    value = _start(weight, known, floats) / unit
    learned[f"{stem}.value"] = np.clip(value, weight.low / weight.peak, weight.high / weight.peak).astype(
        np.float32
    )
    learned[f"{stem}.log"] = np.zeros(weight.first.shape, np.float32)
    narrow = np.int8 if weight.low >= -128 and weight.high <= 127 else np.int16
    for name, content in {
        "unit": unit,
        "shape": np.array(weight.wide(rank), np.int64),
        "step": np.float32(1 / weight.peak),
        "low": np.float32(weight.low / weight.peak),
        "high": np.float32(weight.high / weight.peak),
        "zero": np.zeros(weight.first.shape, narrow),
    }.items():
        set_constant(graph, f"{stem}.{name}", np.asarray(content))
    start, made = f"{stem}.value", []

    def add(kind: str, inputs: list[str], out: str, **attributes: int) -> str:
        made.append(helper.make_node(kind, inputs, [out], name=out, **attributes))
        return out

    # Of rounded values, many are zero by chance; where most are, the weight was pruned.
    pruned = stem.removesuffix(".integers") in floats or (learned[start] == 0).mean() > 0.5
    if keep_zeros and pruned and not learned[start].all():
        set_constant(graph, f"{stem}.mask", (learned[start] != 0).astype(np.float32))
        start = add("Mul", [start, f"{stem}.mask"], f"{stem}.masked")
    growth = add("Exp", [f"{stem}.log"], f"{stem}.growth")
    spread = add("Reshape", [growth, f"{stem}.shape"], f"{stem}.spread")
    lowest, highest = (add("Mul", [spread, f"{stem}.{end}"], f"{stem}.{end}est") for end in ("low", "high"))
    over = add("Max", [start, lowest], f"{stem}.raised")
    within = add("Min", [over, highest], f"{stem}.clipped")
    if layer is not None:
        shape = known[stem].shape
        nodes, given, within = narrowing(layer, within, growth, stem, shape, weight.peak)
        made += nodes
        for name, content in given.items():
            set_constant(graph, name, content)
    step = add("Mul", [growth, f"{stem}.step"], f"{stem}.size")
    codes = add("QuantizeLinear", [within, step, f"{stem}.zero"], f"{stem}.codes", axis=weight.axis)
    back = add("DequantizeLinear", [codes, step, f"{stem}.zero"], f"{stem}.back", axis=weight.axis)
    add("Mul", [back, f"{stem}.unit"], weight.output)
    return made


def _start(weight: Weight, known: Mapping[str, Array], floats: Mapping[str, Array]) -> Array:
    """The float weight before it was rounded, if that is known and still fits; else what the integers stand for."""
    integers = known[weight.integers].astype(np.float32)
    rank = integers.ndim
    rounded = (integers - weight.across(weight.zero, rank)) * weight.across(weight.first, rank)
    given = floats.get(weight.integers.removesuffix(".integers"))
    return rounded if given is None or given.shape != integers.shape else given


def _growth(weight: Weight, value: Array) -> Array:
    """The logarithm of the factor on each first scale that rounds the weight with the least squared error."""
    axes = tuple(k for k, length in enumerate(weight.wide(value.ndim)) if length == 1)
    best, least = np.zeros(weight.first.shape, np.float32), np.full(weight.first.shape, np.inf)
    for factor in np.linspace(1.0, 0.3, 29, dtype=np.float32):
        step = factor / np.float32(weight.peak)
        rounded = np.clip(np.rint(value / step), weight.low, weight.high) * step
        error = np.square(rounded - value).sum(axis=axes).reshape(best.shape)
        best = np.where(error < least, np.log(factor), best).astype(np.float32)
        least = np.minimum(error, least)
    return best


def _learning_bias(
    graph: onnx.GraphProto,
    bias: Bias,
    known: Mapping[str, Array],
    learned: dict[str, Array],
) -> list[onnx.NodeProto]:
    """The nodes that make a bias of what is learned of it."""
    stem, scale = bias.integers, known[bias.scale]
    first = (known[stem] * scale).astype(np.float32)
    # One weight at its largest, on an input at its largest: an 8-bit range is 255 steps wide.
    unit = np.broadcast_to(scale * np.float32(255 * bias.weight.peak), first.shape).astype(np.float32)
    learned[f"{stem}.move"] = np.zeros_like(first)
    set_constant(graph, f"{stem}.first", first)
    set_constant(graph, f"{stem}.unit", unit)
    return [
        helper.make_node("Mul", [f"{stem}.move", f"{stem}.unit"], [f"{stem}.moved"], name=f"{stem}.moved"),
        helper.make_node("Add", [f"{stem}.first", f"{stem}.moved"], [bias.output], name=bias.output),
    ]


def folded(quantized: onnx.ModelProto, learned: Mapping[str, Array]) -> onnx.ModelProto:
    """The quantised model with what was learned, in integers again.

    Args:
        quantized: as it was given to `fake`.
        learned: the parameters that `fake` named, after training; what is left out stays as it was.
    """
    parts = form(quantized)
    result = copy(quantized)
    known = constants(result.graph)
    scales: dict[str, Array] = {}
    paired = pairing(quantized, {weight.output: known[weight.integers] for weight in parts.weights})
    for name, root in parts.activations.items():
        growth = np.exp(learned.get(f"{root}.log", np.float32(0)))
        scales[name] = np.asarray(known[root] * growth, np.float32)
    for weight in parts.weights:
        if f"{weight.integers}.value" not in learned:
            continue
        growth, rank = np.exp(learned[f"{weight.integers}.log"]), known[weight.integers].ndim
        most = weight.across(growth / np.float32(weight.peak), rank)
        value = np.clip(learned[f"{weight.integers}.value"], most * weight.low, most * weight.high)
        layer = paired.get(weight.output)
        if layer is not None:
            value = narrowed(layer, value, growth, weight.peak)
        codes = np.clip(np.rint(value / most), weight.low, weight.high) + weight.across(weight.zero, rank)
        codes = codes.astype(known[weight.integers].dtype)
        scales[weight.scale] = np.asarray(weight.first * growth, np.float32)
        set_constant(result.graph, weight.integers, codes if layer is None else fitted(layer, codes))
    for bias in parts.biases:
        exact = known[bias.integers] * known[bias.scale].astype(np.float64)
        if f"{bias.integers}.move" in learned:
            unit = known[bias.scale] * np.float32(255 * bias.weight.peak)
            exact = exact + unit * learned[f"{bias.integers}.move"]
        inputs = scales.get(bias.input_scale, known[bias.input_scale])
        own = np.asarray(inputs * scales.get(bias.weight.scale, bias.weight.first), np.float32)
        scales[bias.scale] = np.broadcast_to(own, known[bias.scale].shape).astype(np.float32)
        limit = np.iinfo(np.int32).max
        rounded = np.clip(np.rint(exact / scales[bias.scale]), -limit, limit)
        set_constant(result.graph, bias.integers, rounded.astype(np.int32))
    for name, value in scales.items():
        set_constant(result.graph, name, value)
    onnx.checker.check_model(result)
    return result
