"""FedProx: a device's loss gains mu/2 · |w - w_sent|², so that devices with other data do not drift apart.

Li et al. 2020, "Federated Optimization in Heterogeneous Networks", equation 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.continual.learning import Plain
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated.methods.method import Averaged


@dataclass(frozen=True, slots=True)
class Proximal(Averaged):
    """FedProx with the strength `mu`."""

    mu: float = 0.01

    def __post_init__(self) -> None:
        if not self.mu >= 0:
            raise ValueError(f"mu is {self.mu}, expected 0 or more")

    def stepping(self, sent: Mapping[str, Array], memory: Mapping[str, Array]) -> "Pulled":
        """Steps that are pulled back to what was sent."""
        return Pulled(sent, self.mu)


@dataclass(frozen=True, slots=True)
class Pulled(Plain):
    """A step of the trainer, and then one of the penalty alone.

    The penalty's is taken where it ends: ``w <- a + (w - a) / (1 + lr mu)``. Taken where it begins, a strong one would
    throw the weight beyond its anchor.
    """

    anchor: Mapping[str, Array]
    mu: float

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One update on a batch, and the loss before it."""
        loss = trainer.step(x, y, lr)
        weights = trainer.release()
        for name in trainer.weights:
            if name in self.anchor:
                weight, anchor = weights[name], self.anchor[name]
                weight[...] = anchor + (weight - anchor) / weight.dtype.type(1 + lr * self.mu)
        return loss
