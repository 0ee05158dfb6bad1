"""One candidate, tried: its recipe, what it costs, and how far it is from the original."""

from dataclasses import asdict, dataclass
from typing import Any

from compress.fidelity import Fidelity
from compress.recipe import Recipe
from compress.search.price import Price
from compress.search.space import Choice


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate after so many epochs of training; 0 is none."""

    choice: Choice
    epochs: int
    recipe: Recipe
    fidelity: Fidelity
    price: Price

    @property
    def drop(self) -> float:
        """Accuracy lost, where there are labels, else the share of answers that differ from the original's."""
        return dropped(self.fidelity)

    @property
    def figures(self) -> dict[str, float]:
        """What a budget bounds."""
        return {"drop": self.drop, "latency_ms": self.price.latency_ms, "size_mb": self.price.size_mb}

    def __str__(self) -> str:
        trained = f", {self.epochs} epochs" if self.epochs else ""
        price = f"{self.price.latency_ms:.3g} ms, {self.price.size_mb:.3g} MB"
        return f"{self.choice}{trained}: drop {self.drop:.4f}, {price}"

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {
            "candidate": str(self.choice),
            "epochs": self.epochs,
            "recipe": self.recipe.to_json(),
            **self.figures,
            "fidelity": asdict(self.fidelity),
            "price": self.price.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Failed:
    """A candidate that a step could not make, and the step's reason."""

    choice: Choice
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gives: every trial, those that failed, those that meet the budget (best first), the original."""

    trials: tuple[Trial, ...]
    failed: tuple[Failed, ...]
    feasible: tuple[Trial, ...]
    original: Price


def dropped(found: Fidelity) -> float:
    """See `Trial.drop`."""
    if found.original_accuracy is not None and found.compressed_accuracy is not None:
        return found.original_accuracy - found.compressed_accuracy
    return 1 - found.agreement
