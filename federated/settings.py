"""The settings of a federated run: one frozen value, checked when it is made."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.errors import InputError
from federated import compose, methods
from federated.aggregate import sample_size
from federated.codecs import parse
from federated.codecs.feedback import Feedback
from federated.codecs.signsgd import Vote
from federated.methods.scaffold import Scaffold


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
    codec: str = ""  # of updates, as `federated.codecs.parse` takes it; empty: weights as they are
    downlink: str = ""  # of the model's changes on their way to the clients
    strategy: str = ""  # one of Flower's, as `flower.strategies.named` takes it; empty: federated averaging
    over: float = 1.0  # how many times as many clients are asked as the round needs
    late: int = 0  # rounds for which a late answer still counts, discounted
    method: str = ""  # how devices learn, as `federated.methods.parse` takes it; empty: federated averaging
    defence: str = ""  # against hostile devices, as `federated.robust.parse` takes it
    privacy: str = ""  # a budget, as `federated.privacy.dp.parse` takes it
    secure: int = 0  # devices to a group of secure aggregation; 0: without

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
        if not 1 <= self.over <= 10 or self.late < 0:
            raise InputError(f"over {self.over:g}, late {self.late}: expected 1 to 10, and 0 or more rounds")
        if (self.over > 1 or self.late) and (self.privacy or self.secure):
            raise InputError(
                "over and late with privacy or secure aggregation: a round's sample, and the sum that it unmasks, must "
                "not depend on who is fast; give neither"
            )
        for name in ("codec", "downlink"):
            _check_codec(name, getattr(self, name))
        if self.method:
            _check_method(self)
        names = ("codec", "downlink", "defence", "privacy", "strategy", "secure", "clients", "per_round")
        compose.check(compose.Plan(**{name: getattr(self, name) for name in names}))

    @property
    def per_round(self) -> int:
        """How many clients train in a round."""
        return self.sample or sample_size(self.clients, self.fraction)

    @property
    def asked(self) -> int:
        """How many clients are asked in a round."""
        return min(math.ceil(self.per_round * self.over), self.clients)

    def to_json(self) -> dict[str, Any]:
        """The form in which a history holds it."""
        return asdict(self)


def _check_method(settings: "Settings") -> None:
    made = methods.parse(settings.method)
    if isinstance(made, Scaffold) and (settings.privacy or settings.secure or settings.defence):
        raise InputError(
            f"method '{settings.method}' with privacy, secure aggregation or a defence: its control variates travel "
            "beside the weights, and neither bounds nor judges them; take fedprox"
        )


def _check_codec(name: str, text: str) -> None:
    codec = parse(text) if text else None
    if name == "downlink" and isinstance(codec, Feedback | Vote):
        raise InputError(
            f"downlink '{text}': the server goes on from what devices decode, so nothing is left to feed back or to "
            "vote on; take a codec such as qsgd:bucket=64"
        )
