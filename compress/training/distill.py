"""Distillation: a smaller model learns to answer as the model that it was made of, with labels or without.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015. Teacher and student are both ONNX
graphs. Where batches are augmented, the teacher sees the very pictures that the student sees (Beyer et al.,
"Knowledge distillation: a good teacher is patient and consistent", CVPR 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from compress.step import Work
from compress.training.course import Answers, Course, run
from compress.training.masked import masked
from compress.training.retrain import with_weights
from compress.training.teacher import LOGITS, TRUTH, Compared, Taught, Teacher, compared, joined
from converter.autodiff import weight_names
from converter.autodiff.canonical import canonical
from converter.model import Model, load
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Distill:
    """Parameters of the step.

    `alpha` is the teacher's part of the loss where there are labels, the rest theirs; `temperature` softens both
    sides. `features` weights intermediate values, `pairs` names them ("name" or "student=teacher"); 0 leaves them
    out. `keep_zeros` keeps what was pruned; `augment`: see `compress.training.augment`.
    """

    epochs: int = 5
    lr: float = 0.001
    batch_size: int = 32
    optimizer: str = "adam"
    temperature: float = 2.0
    alpha: float = 0.7
    features: float = 0.0
    pairs: Sequence[str] | None = None
    augment: str = ""
    keep_zeros: bool = True
    seed: int = 0

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return distill(model, work.source, work.samples, self)


def distill(
    student: Model, teacher: Model, samples: Samples, options: Distill | None = None
) -> onnx.ModelProto:
    """Train a model on the answers of another.

    Args:
        student: a float model that can be differentiated, or its path; it is not changed.
        teacher: a model, or its path, that takes the same samples and has outputs of the same shapes.
        samples: as both take them. With labels, these count too, by 1 - alpha.
        options: how.

    Returns:
        The student with trained weights.

    Raises:
        ModelError: the student cannot be differentiated, the two cannot be compared, or training diverges.
        InputError: the samples do not fit.
    """
    chosen, source, master = options or Distill(), load(student), load(teacher)
    parts = compared(source, master, tuple(chosen.pairs or ()), features=chosen.features > 0)
    course = Course(
        chosen.epochs, chosen.lr, chosen.batch_size, chosen.optimizer, chosen.augment, chosen.seed
    )
    graph = canonical(joined(source, [part.student for part in parts]))
    known = {tensor.name: tensor for tensor in graph.graph.initializer}
    names = weight_names(graph.graph.node, known, onnx.TensorProto.FLOAT)
    loss, answers = taught(parts, master, samples, chosen)
    found = run(
        masked(graph) if chosen.keep_zeros else graph,
        samples,
        answers,
        course,
        loss=loss,
        what="distil",
        trainable=names,
    )
    return with_weights(source, found)


def taught(
    parts: tuple[Compared, ...], teacher: onnx.ModelProto, samples: Samples, options: Distill
) -> tuple[Taught, Answers]:
    """The loss of distillation, and what it compares each batch with.

    Raises:
        InputError: there are no samples, or they do not fit the teacher.
        ModelError: an option is out of range.
    """
    if not len(samples):
        raise InputError("distillation: there are no samples to learn from")
    labels = samples.y if parts[0].kind == LOGITS else None
    alpha = options.alpha if labels is not None else 1.0
    loss = Taught(parts, alpha, options.temperature, options.features or 1.0)
    master = Teacher(teacher, [part.teacher for part in parts], None if options.augment else samples.x)

    def answers(x: Array, indices: Array) -> tuple[Array, dict[str, Array]]:
        return master(x, indices), {} if labels is None or alpha == 1 else {TRUTH: labels[indices]}

    return loss, answers
