"""Which devices a round asks: those whose state allows it, and among them those from whom it learns most.

The utility is that of Oort (Lai et al. 2021, "Oort: Efficient Federated Learning via Guided Participant Selection",
algorithm 1): a device's samples times its loss, more the longer it was not asked, less where it is slower than is
wanted; and a share of each round is for devices that were never asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import FleetError, InputError
from federated import seeds


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device says of itself; a device that says nothing is taken to be ready."""

    charging: bool = True
    idle: bool = True
    unmetered: bool = True


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

    needs: tuple[str, ...] = ("charging", "idle", "unmetered")
    useful: bool = False
    explore: float = 0.2
    seconds: float = 0.0
    slow: float = 2.0

    def __post_init__(self) -> None:
        for need in self.needs:
            if need not in Condition.__slots__:
                raise InputError(f"condition '{need}' is unknown; there are {', '.join(Condition.__slots__)}")
        if not 0 <= self.explore <= 1:
            raise InputError(f"explore {self.explore:g}: expected 0 to 1")


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
