"""Sensitivity of layers to quantisation, and mixed precision: the layers that hurt most stay finer.

The sensitivity of a layer is what the output loses when that layer alone is quantised, its weight and the activations
beside it (Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation", 2020,
section 5.2, "partial quantization"). Errors of single layers are small and add up, so the order that they give
serves for any number of layers; how many must stay fine for the asked signal-to-noise ratio is found by bisection.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from compress.fidelity import Fidelity, compare
from compress.quantization.plan import plan
from compress.quantization.quantize import Calibrated, Quantize, assemble, for_target, prepare
from compress.step import Work
from converter.model import Model, load, to_bytes
from edge_runtime.console import progress
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What quantising one layer alone does: `layer` is the name of its first output."""

    layer: str
    agreement: float
    sqnr_db: float


def sensitivity(
    model: Model, samples: Array, options: Quantize | None = None, activation: str = "uint8"
) -> tuple[Sensitivity, ...]:
    """The layers of a float model, the most sensitive first.

    Args:
        model: as for `quantize`.
        samples: float32[n, ...]; all calibrate, 16 of them measure.
        options: how layers would be quantised.
        activation: where `options` leaves it open.

    Raises:
        ModelError: nothing can be quantised.
    """
    source = load(model)
    chosen = options or Quantize()
    chosen = replace(chosen, activation=chosen.activation or activation)
    return _ranked(source, prepare(source, samples, chosen), samples, chosen)


def _ranked(
    source: onnx.ModelProto, calibrated: Calibrated, samples: Array, options: Quantize
) -> tuple[Sensitivity, ...]:
    drawn = _drawn(samples, _SAMPLES)
    reference = Session(to_bytes(source)).run_batches(drawn, 1)[0]
    every = plan(source.graph)
    layers = [node.output[0] for node in every.layers]
    found = []
    for layer in progress(layers, "sensitivity of layers"):
        alone = assemble(source, calibrated, options, keep=set(every.nodes) - {layer})
        compared = compare(reference, Session(to_bytes(alone)).run_batches(drawn, 1)[0])
        found.append(Sensitivity(layer, compared.agreement, compared.sqnr_db))
    return tuple(sorted(found, key=lambda each: each.sqnr_db))


@dataclass(frozen=True, slots=True)
class MixedPrecision:
    """Parameters of the step: the signal-to-noise ratio to reach on the samples, and what the finest layers take.

    With `agreement` above 0 it is that share of the answers that is reached, by `measure` (see `compress.fidelity`).
    `finer` is "float", or "16" for 16-bit activations, which NPUs have and most processors compute slowly.
    `most` is the largest share of layers that may stay finer. `samples` bounds the calibration.
    """

    sqnr_db: float = 25.0
    finer: str = "float"
    most: float = 0.5
    calibrator: str = "gradient"
    samples: int = 200
    agreement: float = 0.0
    measure: str = "auto"

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        how = for_target(Quantize(calibrator=self.calibrator, samples=self.samples), work)
        return mix_precision(model, work.samples.x, self, replace(how, activation=work.target.activation))


def mix_precision(
    model: Model, samples: Array, options: MixedPrecision | None = None, how: Quantize | None = None
) -> onnx.ModelProto:
    """Quantise as many layers to 8 bit as the asked signal-to-noise ratio allows.

    Args:
        model: as for `quantize`.
        samples: float32[n, ...].
        options: what is asked.
        how: layers are quantised.

    Returns:
        The model in QDQ form, with the fewest finer layers that reach the ratio on the samples.

    Raises:
        ModelError: it cannot be reached; the sentence names the nearest point.
    """
    chosen = options or MixedPrecision()
    if chosen.finer not in ("float", "16"):
        raise ModelError(f"mixed precision: finer is '{chosen.finer}'; expected 'float' or '16'")
    source = load(model)
    using = how or Quantize(calibrator=chosen.calibrator, samples=chosen.samples)
    using = replace(using, activation=using.activation or "uint8")
    calibrated = prepare(source, samples, using)
    ranked = _ranked(source, calibrated, samples, using)
    drawn = _drawn(samples, 4 * _SAMPLES)
    reference = Session(to_bytes(source)).run_batches(drawn, 1)[0]

    def attempt(count: int) -> tuple[onnx.ModelProto, Fidelity]:
        made = _mixed(source, calibrated, using, [each.layer for each in ranked[:count]], chosen.finer)
        outputs = Session(to_bytes(made)).run_batches(drawn, 1)[0]
        return made, compare(reference, outputs, measure=chosen.measure)

    low, high = 0, min(int(chosen.most * len(ranked)), len(ranked) - 1)
    best, found = attempt(high)
    if not _reached(found, chosen):
        asked = f"{chosen.agreement:.1%} agreement" if chosen.agreement else f"{chosen.sqnr_db:g} dB"
        raise ModelError(
            f"mixed precision: {asked} cannot be reached; with {high} of {len(ranked)} layers finer it is "
            f"{found.sqnr_db:.1f} dB, {found.agreement:.1%}: ask for less, or allow more with 'most'"
        )
    while low < high:
        middle = (low + high) // 2
        made, found = attempt(middle)
        if _reached(found, chosen):
            best, high = made, middle
        else:
            low = middle + 1
    return best


def _reached(found: Fidelity, asked: MixedPrecision) -> bool:
    return found.agreement >= asked.agreement if asked.agreement else found.sqnr_db >= asked.sqnr_db


def _mixed(
    source: onnx.ModelProto,
    calibrated: Calibrated,
    options: Quantize,
    finer: Collection[str],
    how: str,
) -> onnx.ModelProto:
    if how == "float":
        return assemble(source, calibrated, options, keep=finer)
    every = plan(source.graph)
    wide = _beside(source, every.tensors, finer) | {every.fused.get(layer, layer) for layer in finer}
    return assemble(source, calibrated, options, wide=wide)


def _beside(source: onnx.ModelProto, tensors: Mapping[str, str], layers: Collection[str]) -> set[str]:
    """The activations that the layers read."""
    return {
        tensors[name]
        for node in source.graph.node
        if node.output[0] in layers
        for name in node.input
        if name in tensors
    }


def _drawn(samples: Array, count: int) -> Array:
    return samples[np.sort(np.random.default_rng(0).permutation(len(samples))[:count])]
