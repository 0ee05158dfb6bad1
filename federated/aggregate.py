"""Federated averaging as pure functions.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", Algorithm 1:
each round t a random set S_t of m = max(C K, 1) clients trains from w_t, and
``w_{t+1} = sum_{k in S_t} (n_k / n) w^k_{t+1}`` with n the sum of n_k over S_t.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array
from federated import seeds
from federated.update import Update


def federated_average(updates: Iterable[Update]) -> dict[str, Array]:
    """The average of the clients' weights, each weighted by its share n_k / n of the examples.

    >>> import numpy as np
    >>> one, three = Update.of({"w": np.zeros(2)}, 1), Update.of({"w": np.ones(2)}, 3)
    >>> federated_average([one, three])
    {'w': array([0.75, 0.75])}

    Raises:
        FleetError: there are no updates, or they are of different models.
    """
    found = iter(updates)  # one at a time: a round's updates need not be in memory together
    first = next(found, None)
    if first is None:
        raise FleetError("there is no update to average; at least one client has to answer")
    return reduce(add, found, first).average()


def sample_size(clients: int, fraction: float) -> int:
    """How many of K = `clients` train in a round: m = max(C K, 1) with C = `fraction`, to the nearest.

    >>> sample_size(100, 0.29), sample_size(5, 0.01)
    (29, 1)
    """
    return min(max(round(fraction * clients), 1), clients)


def sample_clients(clients: Sequence[int], count: int, seed: int, round_number: int) -> list[int]:
    """The random set S_t of `count` clients, sorted; the same for the same set of clients, seed and round.

    Raises:
        FleetError: there are fewer than `count` clients.
    """
    ordered = sorted(clients)
    if count > len(ordered):
        raise FleetError(f"round {round_number} needs {count} clients and {len(ordered)} are there")
    chosen = seeds.generator(seed, "sample", round_number).choice(len(ordered), count, replace=False)
    return [ordered[i] for i in sorted(chosen)]
