"""Teacher and student: what of two ONNX graphs is compared, and the loss that compares it.

Whatever is compared, class scores and features, is flattened and joined to one output float[n, total], of the student
and of the teacher alike, so that any model, also one of several outputs, learns by the same training step.

Logits are compared as Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, do it; features as
Romero et al., "FitNets", ICLR 2015, by their squared difference, here in units of the teacher's mean square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper

from converter.autodiff import Graph, Value, infer_shapes
from converter.autodiff.canonical import lift_constants, modern
from converter.autodiff.losses import LABELS, Given, Written
from converter.model import copy, producers, prune_unused, to_bytes
from edge_runtime.errors import ModelError, hint
from edge_runtime.session import Session
from edge_runtime.tensors import Array

LOGITS, FEATURES = "logits", "features"
TRUTH = "truth"
_JOINED = "littoral.joined"
_MOST_FEATURES = 4
_MOST_CACHED = 1 << 28  # bytes of a teacher's answers that are kept
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Compared:
    """A value of the student and the teacher's that it shall resemble; `size` is its length a sample."""

    student: str
    teacher: str
    kind: str
    size: int


def compared(
    student: onnx.ModelProto, teacher: onnx.ModelProto, pairs: Sequence[str] = (), *, features: bool = False
) -> tuple[Compared, ...]:
    """What to compare: all outputs, in their order, and features.

    An output [n, classes] is one of logits (the input of a final Softmax); any other is compared as a feature.

    Args:
        student: the model that learns; a value's length a sample must be fixed.
        teacher: a model with outputs of the same shapes.
        pairs: names of further values of both, or "student=teacher" where the names differ.
        features: find them: the last value of each shape that both know by the same name.

    Raises:
        ModelError: outputs differ in number or shape, a name is unknown, or there are no features to be found.
    """
    shapes, theirs = _lengths(student), _lengths(teacher)
    outputs = [(_logits(student, k), _logits(teacher, k)) for k in range(len(student.graph.output))]
    if len(student.graph.output) != len(teacher.graph.output):
        raise ModelError(
            f"the teacher has {len(teacher.graph.output)} outputs, the student {len(student.graph.output)}"
        )
    chosen = [_pair(text) for text in pairs]
    if features and not pairs:
        chosen = _common(student, shapes, theirs, {name for name, _ in outputs})
    found = []
    for number, (mine, other) in enumerate([*outputs, *chosen]):
        for name, known, whose in ((mine, shapes, "student"), (other, theirs, "teacher")):
            if name not in known:
                raise ModelError(
                    f"features: the {whose} has no value '{name}' of a fixed length a sample{hint(name, known)}"
                )
        if shapes[mine] != theirs[other]:
            raise ModelError(
                f"'{mine}' of the student is {list(shapes[mine])} a sample, '{other}' of the teacher "
                f"{list(theirs[other])}; what is compared has one shape"
            )
        kind = (
            LOGITS if number < len(outputs) and len(shapes[mine]) == 1 and shapes[mine][0] > 1 else FEATURES
        )
        found.append(Compared(mine, other, kind, int(np.prod(shapes[mine]))))
    return tuple(found)


def joined(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with one output: the values of these names, flattened and side by side, float[n, total]."""
    result = copy(model)
    graph = result.graph
    flat = [f"{_JOINED}.{k}" for k in range(len(names))]
    for name, out in zip(names, flat, strict=True):
        graph.node.append(helper.make_node("Flatten", [name], [out], name=out, axis=1))
    graph.node.append(helper.make_node("Concat", flat, [_JOINED], name=_JOINED, axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(_JOINED, TensorProto.FLOAT, None))
    prune_unused(graph)
    return result


class Teacher:
    """Answers of the teacher for batches: computed once for all samples where that fits, else beside each step."""

    def __init__(self, model: onnx.ModelProto, names: Sequence[str], x: Array | None) -> None:
        """Prepare it.

        Args:
            model: the teacher.
            names: of its values, which are asked for.
            x: the samples, if each batch is made of them as they are; None if it is changed on the way.
        """
        self._session = Session(to_bytes(freed(joined(model, names))), threads=1)
        self._kept: Array | None = None
        if x is not None:
            first = self(x[:_BATCH])
            if first.nbytes // len(first) * len(x) <= _MOST_CACHED:
                rest = [self(x[k : k + _BATCH]) for k in range(_BATCH, len(x), _BATCH)]
                self._kept = np.concatenate([first, *rest])

    def __call__(self, x: Array, indices: Array | None = None) -> Array:
        """The answers for a batch, float[n, total]; `indices` say which of the samples it holds."""
        if self._kept is not None and indices is not None:
            return np.asarray(self._kept[indices])
        return self._session.run_batches(x, len(x))[0]


@dataclass(frozen=True, slots=True)
class Taught:
    """alpha·T²·KL(softmax(teacher/T) ‖ softmax(student/T)) + (1 - alpha)·CE(truth) + weight·Σ mean (s - t)²/mean t².

    The first term is of every compared value of logits, the second of the first one alone, the third of features.
    "labels" are the teacher's joined values; below alpha 1, "truth" int64[n] comes beside them.
    """

    name: ClassVar[str] = "taught"
    absorbs: ClassVar[str] = ""
    parts: tuple[Compared, ...]
    alpha: float = 1.0
    temperature: float = 2.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or self.temperature <= 0 or self.weight < 0:
            raise ModelError(
                f"distillation: alpha {self.alpha}, temperature {self.temperature} and features' weight "
                f"{self.weight}; expected alpha from 0 to 1, a positive temperature and no negative weight"
            )

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """The teacher's values, and the truth where it is asked for."""
        found = {LABELS: Given(g.elem_type, output.shape)}
        return found | ({TRUTH: Given(TensorProto.INT64, output.shape[:1])} if self.alpha < 1 else {})

    def classes(self, output: Value) -> int:
        """None: the labels are numbers."""
        return 0

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss of each part, and their gradients side by side."""
        ends = np.cumsum([part.size for part in self.parts]).tolist()
        values, gradients = [], []
        for k, (part, end) in enumerate(zip(self.parts, ends, strict=True)):
            alone = len(self.parts) == 1
            ours, theirs = (
                v if alone else g.slice(v, [end - part.size], [end], [1], [1])
                for v in (output, given[LABELS])
            )
            total = g.count(output, [0])
            if part.kind == LOGITS:
                written = self._logits(
                    g, ours, theirs, total, given.get(TRUTH) if k == 0 else None, part.size
                )
            else:
                written = self._features(g, ours, theirs, total * float(part.size))
            values.append(written.value)
            gradients.append(written.gradient)
        if len(values) == 1:
            return Written(values[0], gradients[0])
        return Written(g.op("Sum", *values), g.op("Concat", *gradients, axis=1))

    def of(self, ours: Array, theirs: Array) -> float:
        """Its value without labels, for joined values float[n, total] of the student and the teacher."""
        value, end = 0.0, 0
        for part in self.parts:
            a, b = (each[:, end : end + part.size].astype(np.float64) for each in (ours, theirs))
            end += part.size
            if part.kind == LOGITS:
                log_p, log_q = (_log_softmax(each / self.temperature) for each in (a, b))
                value += float((np.exp(log_q) * (log_q - log_p)).sum(axis=1).mean()) * self.temperature**2
            else:
                value += float(np.square(a - b).mean() / (np.square(b).mean() + 1e-12)) * self.weight
        return value

    def _logits(
        self, g: Graph, ours: Value, theirs: Value, total: Value, truth: Value | None, classes: int
    ) -> Written:
        """The divergence and its gradient alpha·T·(p - q)/n; the cross-entropy and (p - truth)/n."""
        t = self.temperature
        log_p, log_q = (g.op("LogSoftmax", x / t, axis=1) for x in (ours, theirs))
        q = g.op("Exp", log_q)
        value = g.op("ReduceSum", q * (log_q - log_p), keepdims=0) / total * (self.alpha * t * t)
        gradient = (g.op("Exp", log_p) - q) / total * (self.alpha * t)
        if truth is None:
            return Written(value, gradient)
        log_hard = g.op("LogSoftmax", ours, axis=1)
        wanted = g.op("OneHot", truth, [classes], g.floats(0.0, 1.0), axis=1)
        hard = g.op("ReduceSum", wanted * log_hard, keepdims=0) / total * (self.alpha - 1.0)
        return Written(value + hard, gradient + (g.op("Exp", log_hard) - wanted) / total * (1.0 - self.alpha))

    def _features(self, g: Graph, ours: Value, theirs: Value, count: Value) -> Written:
        """The squared difference over the teacher's mean square, and its gradient."""
        difference = ours - theirs
        square = g.op("ReduceSum", theirs * theirs, keepdims=0) / count + 1e-12
        scaled = difference * (self.weight / (square * count))
        return Written(g.op("ReduceSum", scaled * difference, keepdims=0), scaled * 2.0)


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def freed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a batch that may vary."""
    from converter.autodiff.canonical import canonical

    return canonical(model)


def _lengths(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shape a sample of every float value that has a batch in front and fixed lengths behind it."""
    plain = modern(copy(model))
    lift_constants(plain)
    first = plain.graph.input[0].type.tensor_type.shape.dim[0]
    batch = first.dim_value or first.dim_param
    constants = {tensor.name for tensor in plain.graph.initializer}
    del plain.graph.value_info[:]
    return {
        name: tuple(int(dim) for dim in shape[1:])
        for name, shape in infer_shapes(plain).items()
        if len(shape) > 1
        and shape[0] == batch
        and name not in constants
        and all(isinstance(dim, int) for dim in shape[1:])
    }


def _logits(model: onnx.ModelProto, number: int) -> str:
    """The name of an output; where a Softmax makes it, of what goes into that."""
    name = str(model.graph.output[number].name) if number < len(model.graph.output) else ""
    node = producers(model.graph).get(name)
    return str(node.input[0]) if node is not None and node.op_type == "Softmax" else name


def _pair(text: str) -> tuple[str, str]:
    mine, _, other = text.partition("=")
    return mine.strip(), (other or mine).strip()


def _common(
    student: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    theirs: Mapping[str, tuple[int, ...]],
    outputs: set[str],
) -> list[tuple[str, str]]:
    """The last value of each shape that both have by the same name: where a stage of a network ends."""
    last: dict[tuple[int, ...], str] = {}
    for node in student.graph.node:
        for name in node.output:
            plain = name.removesuffix(".dequantized")
            if name in shapes and theirs.get(plain) == shapes[name] and not {name, plain} & outputs:
                last[shapes[name]] = name
    chosen = sorted(last.values(), key=lambda name: int(np.prod(shapes[name])))[:_MOST_FEATURES]
    if not chosen:
        raise ModelError("features: student and teacher share no value by name and shape; name pairs of them")
    return [(name, name.removesuffix(".dequantized")) for name in chosen]
