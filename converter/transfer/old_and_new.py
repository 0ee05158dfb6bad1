"""The loss of learning without forgetting: the new classes from labels, the old ones from the old model's answers.

Li and Hoiem, "Learning without forgetting", 2016, equations 1 to 3. There, old and new task have an output layer each.
Here they are columns of one output, and each sample's answers say which columns the old model knew: the others hold
`UNKNOWN`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from converter.autodiff import Graph, Value
from converter.autodiff.losses import LABELS, CrossEntropy, Given, Written
from edge_runtime.continual.distilled import ANSWERS, UNKNOWN
from edge_runtime.errors import ModelError


@dataclass(frozen=True, slots=True)
class OldAndNew:
    """CE over the new classes + weight·T²·KL(softmax(answers/T) ‖ softmax(logits/T)) over the old classes.

    Takes "answers" beside the labels: the old model's logits for the same samples, float[n, classes], with `UNKNOWN` in
    the columns of classes that it had not learnt. A sample of an old class is told from all that are known.
    """

    name: ClassVar[str] = "old_and_new"
    absorbs: ClassVar[str] = "Softmax"
    weight: float = 1.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if self.weight < 0 or self.temperature <= 0:
            raise ModelError(
                f"old_and_new: weight {self.weight} and temperature {self.temperature}; "
                "expected a weight of 0 or more and a positive temperature"
            )

    def inputs(self, g: Graph, output: Value) -> dict[str, Given]:
        """Labels: int64[n]; answers: of the output's shape and type."""
        if len(output.shape) != 2:
            raise ModelError(
                f"{self.name} needs an output [batch, classes]; '{output.name}' is {list(output.shape)}"
            )
        return CrossEntropy().inputs(g, output) | {ANSWERS: Given(g.elem_type, output.shape)}

    def classes(self, output: Value) -> int:
        """The length of the output's axis 1."""
        return int(output.shape[1])

    def __call__(self, g: Graph, output: Value, given: Mapping[str, Value]) -> Written:
        """Write both parts; a column is left out by a logit so low that its share is 0."""
        answers, t = given[ANSWERS], self.temperature
        known = g.mask("Greater", answers, g.constant(UNKNOWN / 2))
        truth = g.op("OneHot", given[LABELS], [self.classes(output)], g.floats(0.0, 1.0), axis=1)
        of_new = 1.0 - g.op("ReduceSum", truth * known, [1], keepdims=1)  # of each sample: is its class new?
        among_new = output + known * of_new * UNKNOWN
        g.shapes[among_new.name] = output.shape
        hard = CrossEntropy()(g, among_new, given)
        left_out = (1.0 - known) * UNKNOWN
        ours = g.op("LogSoftmax", output / t + left_out, axis=1)
        theirs = g.op("LogSoftmax", answers * known / t + left_out, axis=1)
        wanted = g.op("Exp", theirs)
        total = g.count(output, [0])
        divergence = g.op("ReduceSum", wanted * (theirs - ours), keepdims=0) / total
        soft = (g.op("Exp", ours) - wanted) / total
        return Written(
            hard.value + divergence * (self.weight * t * t), hard.gradient + soft * (self.weight * t)
        )
