"""The candidates of a search: how much is pruned, and in which form what is left is stored and calculated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from compress.pruning.prune import Prune
from compress.quantization.dynamic import Dynamic
from compress.quantization.quantize import Quantize
from compress.quantization.sensitivity import MixedPrecision
from compress.quantization.weight_only import WeightOnly
from compress.recipe import Optimize, Recipe
from compress.step import Step
from compress.training.aware import QuantizationAware
from compress.training.distill import Distill

Tail = Callable[[int], tuple[Step, ...]]
"""The last steps of a recipe, for so many epochs of training; 0 is none."""


def _int8(epochs: int) -> tuple[Step, ...]:
    return (QuantizationAware(epochs=epochs),) if epochs else (Quantize(),)


FORMS: Mapping[str, Tail] = {
    "int8": _int8,
    "int8, sensitive layers float": lambda _: (MixedPrecision(),),
    "int8, rounding learned": lambda _: (Quantize(rounding="learned"),),
    "int8 weights": lambda _: (WeightOnly(),),
    "dynamic int8": lambda _: (Dynamic(),),
    "float": lambda _: (),
}
"""In which form the weights and activations end."""

AMOUNTS: Mapping[str, tuple[float, ...]] = {
    "int8": (0.25, 0.45, 0.6, 0.75, 0.85, 0.92),
    "float": (0.45, 0.75),
}
"""Shares of the multiply-accumulates that are pruned before a form; the others are tried unpruned only."""


@dataclass(frozen=True, slots=True, order=True)
class Choice:
    """One candidate: share of the multiply-accumulates pruned, and the form."""

    pruned: float
    form: str

    def __str__(self) -> str:
        return f"{self.form}, {self.pruned:.0%} pruned" if self.pruned else self.form


def candidates() -> list[Choice]:
    """What a search begins with."""
    return [Choice(amount, form) for form in FORMS for amount in (0.0, *AMOUNTS.get(form, ()))]


def recipe(choice: Choice, epochs: int, *, careful: bool = False) -> Recipe:
    """The steps of a candidate.

    Args:
        choice: the candidate.
        epochs: of training after pruning, and while quantising.
        careful: prune what the layers behind can do without, by what each layer bears; for data without labels, where
            training repairs less. It is slower, and takes models with one input.
    """
    steps: list[Step] = [Optimize()]
    if choice.pruned:
        prune = Prune(amount=choice.pruned, most=0.9 if choice.pruned > 0.5 else 0.75)
        steps.append(
            replace(prune, importance="reconstruction", allocation="sensitivity") if careful else prune
        )
        if epochs:
            steps.append(Distill(epochs=epochs))
    return Recipe((*steps, *FORMS[choice.form](epochs)))


def neighbours(choice: Choice, tried: Sequence[Choice]) -> list[Choice]:
    """The candidates half-way to the next that was tried with more pruned, and to the next with less."""
    amounts = [other.pruned for other in tried if other.form == choice.form]
    more = min((a for a in amounts if a > choice.pruned), default=choice.pruned)
    less = max((a for a in amounts if a < choice.pruned), default=choice.pruned)
    halves = [
        round((choice.pruned + amount) / 2, 3)
        for amount in (more, less)
        if abs(amount - choice.pruned) > 0.03
    ]
    return [Choice(amount, choice.form) for amount in halves]
