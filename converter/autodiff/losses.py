"""Losses: each writes its value and its gradient with respect to the model's output into the graph.

A loss is a small frozen dataclass. Its gradient is written by hand, which is cheaper and more exact than going
back through its own operators; `Custom` takes any ONNX graph and differentiates it with the operators' rules.
Every one is a mean over the batch, as PyTorch's are by default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import onnx
from onnx import TensorProto

from converter.autodiff.graph import Graph, Shape, Value
from edge_runtime.errors import ModelError, hint

LABELS = "labels"


@dataclass(frozen=True, slots=True)
class Given:
    """What a loss takes beside the model's output: ONNX element type and shape, batch first."""

    elem_type: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Written:
    """What a loss wrote: a scalar, and its gradient with respect to the output, of the output's shape."""

    value: Value
    gradient: Value


class Loss(Protocol):
    """A loss. `name` goes into the metadata; `absorbs` is a final operator that the loss takes as its own part."""

    @property
    def name(self) -> str:
        """What the device calls it."""
        ...

    @property
    def absorbs(self) -> str:
        """An operator, such as Softmax, that the model may end with and the loss already includes; or nothing."""
        ...

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """What it takes beside the output, "labels" first.

        Raises:
            ModelError: the output is not of a shape that it can work on.
        """
        ...

    def classes(self, output: Value) -> int:
        """How many classes the labels may name; 0 if they are something else."""
        ...

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss."""
        ...


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Mean of -log softmax(logits)[label]: float[n, classes, ...] logits, int64[n, ...] labels.

    With smoothing s the truth is (1 - s)·onehot + s/classes (Szegedy et al. 2016, section 7). With class
    weights w each sample counts w[label], and the mean is over the sum of these (as in PyTorch).
    """

    name: ClassVar[str] = "cross_entropy"
    absorbs: ClassVar[str] = "Softmax"
    smoothing: float = 0.0
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ModelError(f"label smoothing {self.smoothing}: expected 0 to less than 1")

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """Labels: int64, the output's shape without its classes."""
        shape = output.shape
        if len(shape) < 2 or not isinstance(shape[1], int):
            raise ModelError(
                f"{self.name} needs an output [batch, classes, ...]; '{output.name}' is {list(shape)}"
            )
        if self.weights is not None and len(self.weights) != shape[1]:
            raise ModelError(
                f"{self.name}: {len(self.weights)} class weights; the model has {shape[1]} classes"
            )
        return {LABELS: Given(TensorProto.INT64, (shape[0], *shape[2:]))}

    def classes(self, output: Value) -> int:
        """The length of the output's axis 1."""
        return int(output.shape[1])

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write -Σ t·log p / N and (p·Σt - t)/N, where t is the (weighted, smoothed) truth."""
        shape = output.shape
        classes = self.classes(output)
        log_p = g.op("LogSoftmax", output, axis=1)
        off = self.smoothing / classes
        truth = g.op("OneHot", given[LABELS], [classes], g.floats(off, 1 - self.smoothing + off), axis=1)
        p = g.op("Exp", log_p)
        if self.weights is None:
            total = g.count(output, [0, *range(2, len(shape))])
            gradient = (p - truth) / total
        else:
            row = g.constant(np.array(self.weights, g.dtype).reshape(1, classes, *[1] * (len(shape) - 2)))
            each = g.op("Gather", g.floats(*self.weights), given[LABELS])
            total = g.op("ReduceSum", each, keepdims=0)
            truth = truth * row
            gradient = (p * g.sum(truth, [1], keep=True) - truth) / total
        return Written(-(g.op("ReduceSum", truth * log_p, keepdims=0) / total), gradient)


class _Regression:
    """Labels of the output's shape and type."""

    __slots__ = ()
    absorbs: ClassVar[str] = ""

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """Labels: of the output's shape and type."""
        return {LABELS: Given(g.elem_type, output.shape)}

    def classes(self, output: Value) -> int:
        """None: the labels are numbers."""
        return 0

    @staticmethod
    def count(g: Graph, output: Value) -> Value:
        """How many elements the mean is over."""
        return g.count(output, list(range(len(output.shape))))


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy(_Regression):
    """Mean of log(1 + exp(x)) - x·y over all elements: logits x, labels y from 0 to 1 (several may be 1)."""

    name: ClassVar[str] = "binary_cross_entropy"
    absorbs: ClassVar[str] = "Sigmoid"

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss and (sigmoid(x) - y)/N."""
        y = given[LABELS]
        value = g.op("ReduceMean", g.op("Softplus", output) - output * y, keepdims=0)
        return Written(value, (g.op("Sigmoid", output) - y) / self.count(g, output))


@dataclass(frozen=True, slots=True)
class Mse(_Regression):
    """Mean of (output - labels)² over all elements."""

    name: ClassVar[str] = "mse"

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss and 2·(output - labels)/N."""
        difference = output - given[LABELS]
        value = g.op("ReduceMean", difference * difference, keepdims=0)
        return Written(value, difference * 2.0 / self.count(g, output))


@dataclass(frozen=True, slots=True)
class Mae(_Regression):
    """Mean of |output - labels| over all elements."""

    name: ClassVar[str] = "mae"

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss and sign(output - labels)/N."""
        difference = output - given[LABELS]
        value = g.op("ReduceMean", g.op("Abs", difference), keepdims=0)
        sign = g.mask("Greater", difference, 0.0) - g.mask("Less", difference, 0.0)
        return Written(value, sign / self.count(g, output))


@dataclass(frozen=True, slots=True)
class Huber(_Regression):
    """Mean of d²/2 where |d| < delta, else delta·(|d| - delta/2), with d = output - labels (Huber 1964)."""

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss, c·(d - c/2) with c = clip(d, -delta, delta), and c/N."""
        difference = output - given[LABELS]
        c = g.op("Clip", difference, -self.delta, self.delta)
        value = g.op("ReduceMean", c * (difference - c * 0.5), keepdims=0)
        return Written(value, c / self.count(g, output))


@dataclass(frozen=True, slots=True)
class Distillation:
    """(1 - alpha)·CE(labels) + alpha·T²·KL(softmax(teacher/T) ‖ softmax(logits/T)) (Hinton et al. 2015).

    Takes "teacher" beside the labels: the logits of another model on the same samples, float[n, classes].
    """

    name: ClassVar[str] = "distillation"
    absorbs: ClassVar[str] = "Softmax"
    alpha: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1 or self.temperature <= 0:
            raise ModelError(
                f"distillation: alpha {self.alpha} and temperature {self.temperature}; "
                "expected alpha from 0 to 1 and a positive temperature"
            )

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """Labels: int64[n]; teacher: of the output's shape and type."""
        if len(output.shape) != 2:
            raise ModelError(
                f"{self.name} needs an output [batch, classes]; '{output.name}' is {list(output.shape)}"
            )
        return CrossEntropy().inputs(g, output) | {"teacher": Given(g.elem_type, output.shape)}

    def classes(self, output: Value) -> int:
        """The length of the output's axis 1."""
        return int(output.shape[1])

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss and (1 - alpha)·d CE + alpha·T·(softmax(logits/T) - softmax(teacher/T))/n."""
        hard = CrossEntropy()(g, output, given)
        total, t = g.count(output, [0]), self.temperature
        ours = g.op("LogSoftmax", output / t, axis=1)
        theirs = g.op("LogSoftmax", given["teacher"] / t, axis=1)
        wanted = g.op("Exp", theirs)
        divergence = g.op("ReduceSum", wanted * (theirs - ours), keepdims=0) / total
        soft = (g.op("Exp", ours) - wanted) / total
        return Written(
            hard.value * (1 - self.alpha) + divergence * (self.alpha * t * t),
            hard.gradient * (1 - self.alpha) + soft * (self.alpha * t),
        )


class _Metric:
    """Losses on the distances D between the embeddings of a batch, float[n, d]; labels int64[n] say who is alike."""

    __slots__ = ()
    absorbs: ClassVar[str] = ""

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """Labels: int64[n], any numbers; equal ones are alike."""
        if len(output.shape) != 2:
            raise ModelError(
                f"a loss on distances needs an output [batch, length]; '{output.name}' is {list(output.shape)}"
            )
        return {LABELS: Given(TensorProto.INT64, (output.shape[0],))}

    def classes(self, output: Value) -> int:
        """None: a label is compared, never looked up."""
        return 0

    @staticmethod
    def distances(g: Graph, x: Value, labels: Value) -> tuple[Value, Value, Value]:
        """D[n, n], and as 0 and 1 which pairs are alike (oneself left out) and which differ."""
        square = g.sum(x * x, [1], keep=True)
        gram = x @ g.op("Transpose", x, perm=[1, 0])
        squared = square + g.op("Transpose", square, perm=[1, 0]) - gram * 2.0
        distance = g.op("Sqrt", g.op("Relu", squared) + 1e-12)
        same = g.mask("Equal", g.reshape(labels, [-1, 1]), g.reshape(labels, [1, -1]))
        eye = g.op("EyeLike", same)
        return distance, same - eye, 1.0 - same

    @staticmethod
    def pull(g: Graph, x: Value, distance: Value, slope: Value) -> Value:
        """The gradient of x, given dL/dD: with S = (slope + slopeᵀ)/D, it is diag(Σ S)·x - S·x."""
        s = (slope + g.op("Transpose", slope, perm=[1, 0])) / distance
        return x * g.sum(s, [1], keep=True) - s @ x


@dataclass(frozen=True, slots=True)
class Triplet(_Metric):
    """Mean over anchors of max(0, margin + farthest alike - nearest different) (Hermans et al. 2017, batch hard).

    An anchor without one that is alike, or without one that differs, counts nothing.
    """

    name: ClassVar[str] = "triplet"
    margin: float = 1.0

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss and its gradient."""
        distance, alike, different = self.distances(g, output, given[LABELS])
        far = 1e30  # a distance that no minimum takes
        positive = distance * alike
        negative = distance * different + (1.0 - different) * far
        hardest = g.op("ReduceMax", positive, [1], keepdims=1)
        nearest = g.op("ReduceMin", negative, [1], keepdims=1)
        complete = g.mask("Greater", g.sum(alike, [1], keep=True), 0.0)
        excess = g.op("Relu", hardest - nearest + self.margin) * complete
        total = g.count(output, [0])
        size = g.op("Shape", output, start=0, end=1)
        marks = g.floats(0.0, 1.0)
        chosen = [
            g.op("OneHot", g.op(kind, x, axis=1, keepdims=0), size, marks, axis=1)
            for kind, x in (("ArgMax", positive), ("ArgMin", negative))
        ]
        slope = (chosen[0] - chosen[1]) * (g.mask("Greater", excess, 0.0) / total)
        value = g.op("ReduceSum", excess, keepdims=0) / total
        return Written(value, self.pull(g, output, distance, slope))


@dataclass(frozen=True, slots=True)
class Contrastive(_Metric):
    """Mean over all pairs of D²/2 if alike, else max(0, margin - D)²/2 (Hadsell et al. 2006, equation 4)."""

    name: ClassVar[str] = "contrastive"
    margin: float = 1.0

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the loss and its gradient."""
        distance, alike, different = self.distances(g, output, given[LABELS])
        n = g.count(output, [0])
        pairs = g.op("Max", n * (n - 1.0), 1.0)  # each pair twice, as D holds it
        short = g.op("Relu", self.margin - distance) * different
        near = distance * alike
        value = g.op("ReduceSum", near * near + short * short, keepdims=0) / (pairs * 2.0)
        return Written(value, self.pull(g, output, distance, (near - short) / pairs))


@dataclass(frozen=True, slots=True)
class Custom:
    """Any ONNX graph as the loss: inputs (output, labels, ...), of which each has the batch first; a scalar out.

    Its operators need gradient rules. It shall be a mean over the batch, or micro-batches do not add up.
    """

    model: onnx.ModelProto
    name: str = "custom"
    absorbs: ClassVar[str] = ""

    def __post_init__(self) -> None:
        graph = self.model.graph
        if len(graph.input) < 2 or len(graph.output) != 1:
            raise ModelError(
                f"a loss needs inputs (output, labels, ...) and one output; this one has {len(graph.input)} "
                f"inputs and {len(graph.output)} outputs"
            )

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """As the graph declares them; the first is called "labels"."""
        found = {}
        for k, value in enumerate(self.model.graph.input[1:]):
            kind = value.type.tensor_type
            dims = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
            found[value.name if k else LABELS] = Given(kind.elem_type, (output.shape[0], *dims[1:]))
        return found

    def classes(self, output: Value) -> int:
        """Unknown."""
        return 0

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write the graph's nodes, and go back through them."""
        from converter.autodiff.subgraph import insert  # it needs the rules, which need what stands above

        return Written(*insert(g, self.model, [output, *given.values()]))


LOSSES: dict[str, Callable[[], Loss]] = {
    kind.name: kind
    for kind in (
        CrossEntropy,
        BinaryCrossEntropy,
        Mse,
        Mae,
        Huber,
        Distillation,
        Triplet,
        Contrastive,
    )
}


def loss_named(loss: str | Loss) -> Loss:
    """The loss itself, or the one of that name with its defaults.

    Raises:
        ModelError: there is none of that name.
    """
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise ModelError(f"no loss '{loss}'{hint(loss, LOSSES)}; there are {', '.join(sorted(LOSSES))}")
    return LOSSES[loss]()
