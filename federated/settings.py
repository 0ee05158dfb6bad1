"""The settings of a federated run: one frozen value, checked when it is made."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.errors import InputError
from federated import compose, methods, personal
from federated.aggregate import sample_size
from federated.codecs import parse
from federated.codecs.feedback import Feedback
from federated.codecs.signsgd import Vote
from federated.methods.scaffold import Scaffold
from federated.rounds import selection

_NEEDS_ROUNDS = {
    "over": "nobody is waited for, so nobody more need be asked; leave it away",
    "encrypt": "a sum hides its devices only if all of them answer the same request; leave one away",
    "secure": "a sum hides its devices only if all of them answer the same request; leave one away",
    "privacy": "the accountant counts rounds with a random sample, and here the fast take part more; leave one away",
    "defence": "it compares answers to the same model; leave one away, or bound each change: codec 'clip:norm=1(...)'",
    "strategy": "Flower's strategies aggregate a round; leave one away",
    "downlink": "devices hold different models, so there are no common changes to send; leave the downlink codec away",
}


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
    asynchronous: int = 0  # changes that make a step of an asynchronous run; 0: rounds
    method: str = ""  # how devices learn, as `federated.methods.parse` takes it; empty: federated averaging
    personalise: str = ""  # a model of each device's own at the end, as `federated.personal.parse` takes it
    defence: str = ""  # against hostile devices, as `federated.robust.parse` takes it
    privacy: str = ""  # a budget, as `federated.privacy.dp.parse` takes it
    select: str = (
        ""  # which devices are asked, as `rounds.selection.parse` takes it; empty: any with the same chance
    )
    secure: int = 0  # devices to a group of secure aggregation; 0: without
    encrypt: bool = False  # updates, homomorphically

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
        _check_waiting(self)
        for name in ("codec", "downlink"):
            _check_codec(name, getattr(self, name))
        for name, check in _CHECKS.items():
            if getattr(self, name):
                check(self)
        names = (
            "codec",
            "downlink",
            "defence",
            "privacy",
            "strategy",
            "secure",
            "encrypt",
            "clients",
            "per_round",
        )
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


def _check_waiting(settings: "Settings") -> None:
    if not 1 <= settings.over <= 10 or settings.late < 0:
        raise InputError(
            f"over {settings.over:g}, late {settings.late}: expected 1 to 10, and 0 or more rounds"
        )
    if (settings.over > 1 or settings.late) and (settings.privacy or settings.secure or settings.encrypt):
        raise InputError(
            "over and late with privacy or secure aggregation: a round's sample, and the sum that it unmasks, must "
            "not depend on who is fast; give neither"
        )


def _check_asynchronous(settings: "Settings") -> None:
    if settings.asynchronous < 1:
        raise InputError(f"asynchronous {settings.asynchronous}: expected a number of changes, such as 10")
    for name, why in _NEEDS_ROUNDS.items():
        value = getattr(settings, name)
        if value and (name != "over" or value > 1):
            raise InputError(f"asynchronous with {name} '{value}': {why}")
    if isinstance(methods.parse(settings.method or "fedavg"), Scaffold):
        raise InputError(
            "asynchronous with method 'scaffold': its control variates are averages of one round's devices; "
            "take fedprox"
        )
    if settings.codec and isinstance(parse(settings.codec), Vote):
        raise InputError("asynchronous with codec 'vote': a majority is one of a round; take another codec")


def _check_selection(settings: "Settings") -> None:
    selection.parse(settings.select)
    if settings.privacy.startswith("central"):
        raise InputError(
            f"selection '{settings.select}' with central privacy: its epsilon assumes that every device takes part "
            "by chance alone; leave the selection away, or take privacy 'local'"
        )


def _check_method(settings: "Settings") -> None:
    made = methods.parse(settings.method)
    if settings.strategy.partition(":")[0] == "fedprox" and type(made) is not methods.Averaged:
        raise InputError(
            f"strategy 'fedprox' with method '{settings.method}': both say how devices learn, which is in one way; "
            "leave one away"
        )
    if isinstance(made, Scaffold) and (
        settings.privacy or settings.secure or settings.defence or settings.encrypt
    ):
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


_CHECKS: dict[str, Callable[[Settings], object]] = {
    "asynchronous": _check_asynchronous,
    "select": _check_selection,
    "method": _check_method,
    "personalise": lambda settings: personal.parse(settings.personalise),
}
