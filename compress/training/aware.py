"""Quantisation-aware training: a quantised model learns to answer as the float model that it was made of.

The graph that learns is that of `compress.training.fake`: rounding in the forward pass, straight-through gradients,
learned scales. The teacher is the float model, so unlabelled samples do; where there are labels they count as well.
The result is plain QDQ form, as `compress.quantization.quantize` makes it, and answers as the trained graph does.
"""

from dataclasses import dataclass, replace

import numpy as np
import onnx

from compress.quantization.quantize import Quantize, for_target, quantize
from compress.step import Work
from compress.training.course import Course, run
from compress.training.distill import Distill, taught
from compress.training.fake import fake, folded
from compress.training.teacher import Teacher, compared, joined
from converter.autodiff.canonical import canonical
from converter.model import Model, constants, load
from converter.optimize import optimize
from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

_COMPARED = 256  # samples on which the result is compared with what it began with


@dataclass(frozen=True, slots=True)
class QuantizationAware:
    """Parameters of the step.

    A float model is quantised first, as `quantize` does it with these `weight_bits`, `calibrator`, `headroom` and so
    on; one that has been quantised, however that was done, is taken as it is. `lr` is of Adam, in units of the largest
    weight of each channel. The others are as for `Distill`.
    """

    epochs: int = 3
    lr: float = 0.001
    batch_size: int = 16
    weight_bits: int = 8
    activation: str | None = None
    calibrator: str = "gradient"
    headroom: str = "auto"
    temperature: float = 2.0
    alpha: float = 1.0
    features: float = 0.0
    augment: str = ""
    keep_zeros: bool = True
    samples: int = 200
    seed: int = 0

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        chosen = replace(self, headroom=for_target(self.quantize(), work).headroom)
        return train_quantized(
            model, work.samples, chosen, teacher=work.source, activation=work.target.activation
        )

    def quantize(self) -> Quantize:
        """How a float model is quantised."""
        return Quantize(
            activation=self.activation,
            weight_bits=self.weight_bits,
            calibrator=self.calibrator,
            headroom=self.headroom,
            rounding="nearest",
            samples=self.samples,
        )

    def distill(self) -> Distill:
        """How the teacher's answers count."""
        return Distill(
            temperature=self.temperature, alpha=self.alpha, features=self.features, augment=self.augment
        )


def train_quantized(
    model: Model,
    samples: Samples,
    options: QuantizationAware | None = None,
    *,
    teacher: Model | None = None,
    activation: str = "uint8",
) -> onnx.ModelProto:
    """Train a model in the form in which it will run: with integers.

    Args:
        model: a float model of one input, or one in QDQ form, or the path of one; it is not changed.
        samples: as the model takes them. With labels, these count too, by 1 - alpha.
        options: how.
        teacher: the float model whose answers are learnt; None for `model` itself, which then must be float.
        activation: integer type of activations where `options` leaves it open.

    Returns:
        The model in QDQ form; without labels, as it was before training if that was no further from the teacher.

    Raises:
        ModelError: the model cannot be quantised or differentiated, or training diverges.
        InputError: the samples do not fit.
    """
    chosen, source = options or QuantizationAware(), load(model)
    floats: dict[str, Array] = {}
    quantized = source
    if not any(node.op_type == "QuantizeLinear" for node in source.graph.node):
        plain = optimize(source)
        floats = {k: v for k, v in constants(plain.graph).items() if v.dtype == np.float32}
        quantized = quantize(plain, samples.x, chosen.quantize(), activation)
    elif teacher is None:
        raise ModelError(
            "the model is quantised already: give the float model that it was made of as its teacher"
        )
    master = source if teacher is None else load(teacher)
    parts = compared(quantized, master, features=chosen.features > 0)
    joint, learned = fake(
        joined(quantized, [part.student for part in parts]), floats, keep_zeros=chosen.keep_zeros
    )
    loss, answers = taught(parts, master, samples, chosen.distill())
    course = Course(chosen.epochs, chosen.lr, chosen.batch_size, "adam", chosen.augment, chosen.seed)
    graph = canonical(joint)
    trained = run(
        graph, samples, answers, course, loss=loss, what="quantisation-aware", trainable=list(learned)
    )
    made = folded(quantized, trained)
    if loss.alpha < 1:
        return made  # labels may well lead away from the teacher
    first = Samples(samples.x[:_COMPARED])
    wanted, _ = answers(first.x, np.arange(len(first)))
    names = [part.student for part in parts]
    before, after = (loss.of(Teacher(each, names, None)(first.x), wanted) for each in (quantized, made))
    if after >= before:
        say(
            f"training did not bring it nearer to its teacher ({before:.3g} to {after:.3g}): nothing is changed"
        )
        return quantized
    return made
