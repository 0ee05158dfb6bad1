"""What the server asks of every client in a round, and what a client answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.tensors import Array

_MU = "proximal-mu"  # as Flower's FedProx calls it


@dataclass(frozen=True, slots=True)
class Learned:
    """A client's answer: new weights, how many examples they rest on, the mean loss of the last epoch."""

    parameters: Mapping[str, Array]
    num_examples: int
    loss: float


@dataclass(frozen=True, slots=True)
class Steps:
    """What the server asks of every client in one round."""

    round_number: int
    epochs: int
    batch_size: int
    lr: float
    seed: int
    method: str = ""

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Steps":
        """From the numbers of a message.

        Raises:
            KeyError: one is missing.
            ValueError: one is none.
        """
        return cls(
            round_number=int(config["server-round"]),
            epochs=int(config["epochs"]),
            batch_size=int(config["batch-size"]),
            lr=float(config["lr"]),
            seed=int(config["seed"]),
            method=str(config.get("method", "")) or _proximal(config),
        )


def _proximal(config: Mapping[str, Any]) -> str:
    """The method that Flower's FedProx asks for: it says no more than mu."""
    mu = float(config.get(_MU, 0.0))
    return f"fedprox:mu={mu!r}" if mu else ""
