"""Methods by which a part of the model stays on the device: its head, or what normalises.

FedPer: Arivazhagan et al. 2019, "Federated Learning with Personalization Layers". FedBN: Li et al. 2021, "FedBN:
Federated Learning on Non-IID Features via Local Batch Normalization".
"""

from dataclasses import dataclass

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated.methods.method import Averaged


@dataclass(frozen=True, slots=True)
class PrivateHead(Averaged):
    """FedPer: the last `layers` layers stay on the device. A layer begins at each weight of two or more axes."""

    layers: int = 1

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers is {self.layers}, expected 1 or more")

    def start(self, trainer: Trainer) -> dict[str, Array]:
        """All parameters but the head's.

        Raises:
            InputError: there would be none.
        """
        found = trainer.parameters
        begins = [k for k, name in enumerate(trainer.weights) if found[name].ndim > 1]
        if len(begins) <= self.layers:
            raise InputError(
                f"fedper: {self.layers} of {len(begins)} layers would stay on the device; at least one must travel"
            )
        head = trainer.weights[begins[-self.layers] :]
        return {name: array for name, array in found.items() if name not in head}


@dataclass(frozen=True, slots=True)
class PrivateNorms(Averaged):
    """FedBN: scale, shift and running statistics of what normalises stay on the device."""

    def start(self, trainer: Trainer) -> dict[str, Array]:
        """All parameters but those.

        Raises:
            InputError: there are none.
        """
        if not trainer.norms:
            raise InputError("fedbn: nothing in the model normalises; all of it would travel: use fedavg")
        return {name: array for name, array in trainer.parameters.items() if name not in trainer.norms}
