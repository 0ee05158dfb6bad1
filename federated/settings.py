"""The settings of a federated run: one frozen value, checked when it is made."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.errors import InputError
from federated.aggregate import sample_size


@dataclass(frozen=True, slots=True)
class Settings:
    """How to federate: the letters are those of McMahan et al. 2017, Algorithm 1."""

    rounds: int = 20
    clients: int = 5  # K
    fraction: float = 1.0  # C, of the clients, that trains each round
    sample: int | None = None  # clients a round as a number; stands above `fraction`
    epochs: int = 1  # E, over the client's data, each round
    batch_size: int = 32  # B
    lr: float = 0.05  # eta
    alpha: float | None = 0.5  # label skew of the split; None: IID
    seed: int = 0
    threads: int = 1  # within an operator; another number may round otherwise

    def __post_init__(self) -> None:
        for name in ("rounds", "clients", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: at least 1 is needed")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)}: expected 0 or more")
        if not 0 < self.fraction <= 1:
            raise InputError(f"fraction {self.fraction:g}: expected more than 0 and at most 1")
        if self.sample is not None and not 1 <= self.sample <= self.clients:
            raise InputError(f"sample {self.sample}: expected 1 to {self.clients}, the number of clients")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr {self.lr:g}: expected a positive learning rate, such as 0.05")

    @property
    def per_round(self) -> int:
        """How many clients train in a round."""
        return self.sample or sample_size(self.clients, self.fraction)

    def to_json(self) -> dict[str, Any]:
        """The form in which a history holds it."""
        return asdict(self)
