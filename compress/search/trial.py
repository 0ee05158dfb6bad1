"""One candidate, tried: its recipe, what it costs, and how far it is from the original."""

from dataclasses import asdict, dataclass
from typing import Any

from compress.fidelity import Fidelity, dropped
from compress.recipe import Recipe
from compress.search.price import Price
from compress.search.space import Choice


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate after so many epochs of training (0 is none), on the engine that is to run it."""

    choice: Choice
    epochs: int
    recipe: Recipe
    fidelity: Fidelity
    price: Price
    engine: str = "onnxruntime"

    @property
    def drop(self) -> float:
        """See `compress.fidelity.dropped`."""
        return dropped(self.fidelity)

    @property
    def figures(self) -> dict[str, float]:
        """What a budget bounds."""
        paid = self.price.on(self.engine)
        return {"drop": self.drop, "latency_ms": paid.latency_ms, "size_mb": paid.size_mb}

    def __str__(self) -> str:
        trained = f", {self.epochs} epochs" if self.epochs else ""
        price = f"{self.figures['latency_ms']:.3g} ms, {self.figures['size_mb']:.3g} MB, {self.engine}"
        return f"{self.choice}{trained}: drop {self.drop:.4f}, {price}"

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {
            "candidate": str(self.choice),
            "epochs": self.epochs,
            "recipe": self.recipe.to_json(),
            **self.figures,
            "fidelity": asdict(self.fidelity),
            "engine": self.engine,
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
