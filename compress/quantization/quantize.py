"""Static int8 quantisation in QDQ form (ONNX QuantizeLinear and DequantizeLinear around float operators).

For every activation ``x`` of a quantised operator: ``x ≈ s (q - z)``, 8 bit, asymmetric, per tensor, with ``s, z`` from
calibration. For every weight ``W``: ``W_c ≈ s_c q_c``, int8, symmetric, one scale an output channel. A bias is int32
with scale ``s_x s_c``, so that the engine adds it to its accumulator as it is (Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018).

Activations are fused: a Relu or Clip whose limits the quantised range already enforces disappears, because a
quantisation saturates there. An engine (onnxruntime, an NPU's compiler) recognises the pattern DQ → op → Q.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import onnx

from compress.quantization.calibrate import Range, affine, calibrate, refine
from compress.quantization.correct import correct_bias, input_means
from compress.quantization.gradient import refine_by_gradient
from compress.quantization.histogram import METHODS
from compress.quantization.plan import plan
from compress.quantization.qdq import write_qdq
from compress.quantization.rounding import Rounding, round_weights
from compress.quantization.weights import Integers, integers, symmetric
from compress.step import Work
from converter.model import Model, constants, copy, load, prune_unused
from edge_runtime.console import say
from edge_runtime.engines.onnx import HEADROOM
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

__all__ = ["Calibrated", "Quantize", "assemble", "prepare", "quantize", "symmetric"]


@dataclass(frozen=True, slots=True)
class Quantize:
    """Parameters of the step.

    `activation` None takes the target's own type; `symmetric` gives activations a zero point in the middle.
    `calibrator` is "gradient", "minmax", "percentile", "mse" or "entropy"; with "minmax", `momentum` above 0 takes a
    moving average. `rounding` of the weights is "learned" or "nearest". `bias_correction`: see `correct_bias`.
    `headroom` "auto" leaves room for pairs of products in 16 bits where the target's processor needs it; "always"
    and "never" do as they say. `samples` bounds the calibration.
    """

    activation: str | None = None
    per_channel: bool = True
    weight_bits: int = 8
    momentum: float = 0.0
    calibrator: str = "gradient"
    bias_correction: bool = True
    samples: int = 200
    symmetric: bool = False
    rounding: str = "learned"
    headroom: str = "auto"

    def __post_init__(self) -> None:
        choices = {
            "calibrator": ("gradient", "minmax", *METHODS),
            "rounding": ("nearest", "learned"),
            "headroom": ("auto", "always", "never"),
            "activation": (None, "uint8", "int8", "uint16", "int16"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                expected = ", ".join(str(value) for value in known)
                raise ModelError(f"quantize: {name} is '{getattr(self, name)}'; expected one of {expected}")
        if not 2 <= self.weight_bits <= 8:
            raise ModelError(f"quantize: weight_bits is {self.weight_bits}; expected 2 to 8")

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return quantize(model, work.samples.x, for_target(self, work), work.target.activation)


def for_target(options: Quantize, work: Work) -> Quantize:
    """The options with what was left to the target decided."""
    if options.headroom != "auto":
        return options
    return replace(options, headroom="always" if work.target.saturating_int8 else "never")


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
        ModelError: nothing in the model can be quantised, or it gives no finite values on the samples.
    """
    chosen = options or Quantize()
    chosen = replace(chosen, activation=chosen.activation or activation)
    source = load(model)
    return assemble(source, prepare(source, samples, chosen), chosen)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the samples told of a model: the range of each activation, each weight as integers, means of inputs."""

    ranges: Mapping[str, Range]
    weights: Mapping[str, Integers]
    means: Mapping[str, Array]


def prepare(source: onnx.ModelProto, samples: Array, options: Quantize) -> Calibrated:
    """Everything that needs the samples: for `assemble`, which may then be called for several selections.

    Raises:
        ModelError: nothing can be quantised, or a value is not finite.
    """
    whole = plan(source.graph)
    if not whole.nodes:
        raise ModelError("nothing to quantise: the model has no Conv, Gemm or MatMul with constant weights")
    used = samples[: options.samples]
    ranges = calibrate(source, whole.observed, used, options.momentum)
    ranges = _refined(source, ranges, used, options.calibrator)
    known = constants(source.graph)
    room = options.headroom == "always"
    weights: Mapping[str, Integers] = {
        node.input[1]: integers(
            node, known[node.input[1]], options.weight_bits, per_channel=options.per_channel, headroom=room
        )
        for node in whole.layers
    }
    if options.rounding == "learned":
        learnt = Rounding(options.weight_bits)
        weights = round_weights(source, whole.layers, weights, used, learnt, headroom=room)
    means = input_means(source, whole.layers, used) if options.bias_correction else {}
    # By every name: a selection of the nodes may quantise a value where the whole quantises the one it is a view of.
    return Calibrated({name: ranges[origin] for name, origin in whole.tensors.items()}, weights, means)


def _refined(
    source: onnx.ModelProto, ranges: Mapping[str, Range], samples: Array, method: str
) -> Mapping[str, Range]:
    if method == "minmax":
        return ranges
    if method != "gradient":
        return refine(source, ranges, samples, method)
    try:
        return refine_by_gradient(source, ranges, samples)
    except ModelError as error:
        say(f"calibrate by squared error alone, for there is no gradient: {error}")
        return refine(source, ranges, samples, "mse")


def assemble(
    source: onnx.ModelProto,
    calibrated: Calibrated,
    options: Quantize,
    keep: Collection[str] = (),
    wide: Collection[str] = (),
) -> onnx.ModelProto:
    """The model in QDQ form.

    Args:
        source: float; it is not changed.
        calibrated: what `prepare` gave for it.
        options: with the type of the activations.
        keep: nodes that stay in float, by the name of their first output.
        wide: activations that take 16 bits.

    Raises:
        ModelError: nothing is left to be quantised.
    """
    result = copy(source)
    chosen = plan(result.graph, keep)
    if not chosen.nodes:
        raise ModelError("nothing to quantise: every layer is kept in float")
    if options.bias_correction:
        restored = {name: weight.restored for name, weight in calibrated.weights.items()}
        correct_bias(result, chosen.layers, calibrated.means, restored)
    narrow = options.activation or "uint8"
    params = {
        name: affine(
            chosen.limited(name, calibrated.ranges[origin]),
            narrow.replace("8", "16") if origin in wide else narrow,
            symmetric=options.symmetric,
        )
        for name, origin in chosen.tensors.items()
    }
    if options.symmetric:  # such a range does not end at zero, so that a Relu has to stay
        chosen.fused.clear()
    write_qdq(result.graph, chosen, params, calibrated.weights)
    prune_unused(result.graph)
    if options.headroom == "always":
        onnx.helper.set_model_props(result, {p.key: p.value for p in result.metadata_props} | {HEADROOM: "1"})
    onnx.checker.check_model(result)
    return result
