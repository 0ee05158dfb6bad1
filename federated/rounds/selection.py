"""Which devices a round asks: those whose state allows it, and among them those from whom it learns most.

The utility is that of Oort (Lai et al. 2021, "Oort: Efficient Federated Learning via Guided Participant Selection",
algorithm 1): a device's samples times its loss, more the longer it was not asked, less where it is slower than is
wanted; and a share of each round is for devices that were never asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite, log, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import FleetError, InputError
from federated import seeds, spec

_MOST_SAMPLES, _MOST_LOSS = 10**9, 1e6


NEEDS = ("charging", "idle", "unmetered")


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device says of itself; a device that says nothing is taken to be ready.

    `samples` and `loss` are those of its last training, 0 and None where it says none: they count only until the
    server has seen for itself.
    """

    charging: bool = True
    idle: bool = True
    unmetered: bool = True
    samples: int = 0
    loss: float | None = None

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """From what came over the link; what is not of its type, or out of range, is as if it was not said."""
        flags = {need: said[need] for need in NEEDS if isinstance(said.get(need), bool)}
        samples, loss = said.get("samples"), said.get("loss")
        if type(samples) is not int or not 0 <= samples <= _MOST_SAMPLES:
            samples = 0
        if type(loss) not in (int, float) or not isfinite(loss) or not 0 <= loss <= _MOST_LOSS:  # type: ignore[arg-type, operator]
            loss = None
        return cls(**flags, samples=samples, loss=loss)


@dataclass(frozen=True, slots=True)
class Record:
    """What the server saw of a device: samples, loss and seconds of its last round, and that round's number."""

    samples: int
    loss: float
    seconds: float
    round: int


@dataclass(frozen=True, slots=True)
class Policy:
    """How devices are chosen.

    `needs` are conditions that must hold. `explore` is the share of a round for devices never asked before, `seconds`
    what a round should take (0: any), `slow` the power of the penalty beyond it. With `useful` off, all that are ready
    have the same chance.
    """

    needs: tuple[str, ...] = NEEDS
    useful: bool = False
    explore: float = 0.2
    seconds: float = 0.0
    slow: float = 2.0

    def __post_init__(self) -> None:
        for need in self.needs:
            if need not in NEEDS:
                raise InputError(f"condition '{need}' is unknown; there are {', '.join(NEEDS)}")
        if not 0 <= self.explore <= 1:
            raise InputError(f"explore {self.explore:g}: expected 0 to 1")
        if not (self.seconds >= 0 and self.slow >= 0):
            raise InputError(f"seconds {self.seconds:g} and slow {self.slow:g}: expected 0 or more")


def parse(text: str) -> Policy:
    """A policy from its text: "ready" asks any device whose state allows it, "useful" those from whom it learns most.

    >>> parse("useful:needs=charging+unmetered,seconds=30").needs
    ('charging', 'unmetered')

    Raises:
        InputError: it is none.
    """
    name, given = spec.split(text, ("ready", "useful"), "selection")
    kinds = {each.name: type(each.default) for each in fields(Policy) if each.name not in ("needs", "useful")}
    takes = ["needs", *kinds] if name == "useful" else ["needs"]
    for key in given:
        if key not in takes:
            raise InputError(f"selection '{name}' has no parameter '{key}'; it takes {', '.join(takes)}")
    needs = given.pop("needs", "+".join(NEEDS))
    values = {key: spec.read(value, kinds[key], f"selection '{name}': {key}") for key, value in given.items()}
    return Policy(() if needs == "none" else tuple(needs.split("+")), name == "useful", **values)


def ready(conditions: Mapping[int, Condition], devices: Iterable[int], policy: Policy) -> list[int]:
    """The devices whose state allows it, sorted."""
    default = Condition()
    return sorted(
        device
        for device in devices
        if all(getattr(conditions.get(device, default), need) for need in policy.needs)
    )


def choose(
    devices: Iterable[int],
    count: int,
    seed: int,
    number: int,
    *,
    policy: Policy | None = None,
    records: Mapping[int, Record] | None = None,
) -> list[int]:
    """`count` of the devices for round `number`, sorted; the same for the same arguments.

    Args:
        devices: those that are ready.
        count: how many are wanted.
        seed: of the run.
        number: of the round, from 1.
        policy: None takes all with the same chance.
        records: what is known of devices that took part before.

    Raises:
        FleetError: there are fewer.
    """
    ordered, policy, records = sorted(devices), policy or Policy(), records or {}
    if count > len(ordered):
        raise FleetError(f"round {number} needs {count} clients and {len(ordered)} are there")
    rng = seeds.generator(seed, "sample", number)
    if not policy.useful:
        return sorted(ordered[k] for k in rng.choice(len(ordered), count, replace=False))
    new = [device for device in ordered if device not in records]
    known = [device for device in ordered if device in records]
    explored = min(len(new), max(round(policy.explore * count), count - len(known)))
    found = [new[k] for k in rng.choice(len(new), explored, replace=False)] if explored else []
    wanted = count - explored
    if wanted:
        worth = utilities([records[device] for device in known], number, policy)
        chance = worth + 1e-3  # nobody is shut out
        found += [known[k] for k in rng.choice(len(known), wanted, replace=False, p=chance / chance.sum())]
    return sorted(found)


def utilities(records: Sequence[Record], number: int, policy: Policy) -> NDArray[np.float64]:
    """How much each device is worth to round `number`: float64[n], the most useful about 1."""
    statistical = np.array([each.samples * max(each.loss, 0.0) for each in records])
    statistical /= max(statistical.max(), 1e-12)
    uncertain = np.array([sqrt(0.1 * log(max(number, 1)) / max(each.round, 1)) for each in records])
    slow = np.array(
        [
            1.0 if not policy.seconds else min(policy.seconds / max(each.seconds, 1e-9), 1.0)
            for each in records
        ]
    )
    return np.asarray((statistical + uncertain) * slow**policy.slow)
