"""Federated meta-learning: a model that a few steps on a device's own data make good there.

Per-FedAvg: Fallah et al. 2020, "Personalized Federated Learning with Theoretical Guarantees", algorithm 1 in its
first-order form. Reptile: Nichol et al. 2018, "On First-Order Meta-Learning Algorithms", with devices for tasks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.continual.learning import Plain
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated.methods.method import Averaged


@dataclass(frozen=True, slots=True)
class Reptile(Averaged):
    """Federated averaging of which the server takes only a part, `rate`, of each step."""

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate is {self.rate}, expected more than 0 and at most 1")

    def merge(self, before: Mapping[str, Array], average: Mapping[str, Array]) -> dict[str, Array]:
        """A step of `rate` from what was sent towards the average."""
        return {
            name: before[name] + array.dtype.type(self.rate) * (array - before[name])
            for name, array in average.items()
        }


@dataclass(frozen=True, slots=True)
class PerFedAvg(Averaged):
    """Each step is against the gradient where a step of `alpha` on other data of the device would lead."""

    alpha: float = 0.01

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}, expected more than 0")

    def stepping(self, sent: Mapping[str, Array], memory: Mapping[str, Array]) -> "Ahead":
        """Steps that look ahead."""
        return Ahead(self.alpha)


@dataclass(frozen=True, slots=True)
class Ahead(Plain):
    """One half of a batch leads `alpha` ahead; the gradient of the other half there is taken from where it began."""

    alpha: float

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One update on a batch, and the loss of its first half before it."""
        half = max(len(x) // 2, 1)
        begun = trainer.parameters
        loss = trainer.step(x[:half], y[:half], self.alpha)
        ahead = trainer.parameters
        rest = slice(half, None) if len(x) > half else slice(None)
        trainer.step(x[rest], y[rest], lr)
        weights = trainer.release()
        for name in trainer.weights:
            weights[name] += begun[name] - ahead[name]
        return loss
