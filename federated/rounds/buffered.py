"""Asynchronous rounds: devices learn all the time, and the model moves whenever `size` changes have come.

FedBuff: Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation", algorithm 1. A change counts
by the examples behind it, and less the more often the model moved since it was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import FleetError, InputError
from edge_runtime.tensors import Array
from federated.update import check_count, check_finite, check_fit


@dataclass(slots=True)
class Buffer:
    """Changes on their way into the model. `size` of them make a step of `rate`; older than `oldest` none is taken."""

    size: int
    rate: float = 1.0
    oldest: int = 20
    _sum: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _weight: float = 0.0
    _count: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or not self.rate > 0 or self.oldest < 0:
            raise InputError(
                f"a buffer needs a size of 1 or more, a positive rate and no negative age; got {self.size}, "
                f"{self.rate:g} and {self.oldest}"
            )

    @property
    def full(self) -> bool:
        """Whether the model may move."""
        return self._count >= self.size

    def add(
        self, learned: Mapping[str, Array], begun: Mapping[str, Array], examples: int, staleness: int
    ) -> None:
        """Take the change from `begun` to `learned`.

        Args:
            learned: a device's weights.
            begun: those that it was sent.
            examples: how many it learned from.
            staleness: how often the model moved in between.

        Raises:
            FleetError: the weights do not fit or are not finite, or they are too old.
        """
        check_fit(learned, begun)
        check_finite(learned)
        check_count(examples)
        if not 0 <= staleness <= self.oldest:
            raise FleetError(f"its answer is {staleness} versions old; at most {self.oldest} are taken")
        weight = examples / sqrt(1 + staleness)
        for name, array in learned.items():
            change = weight * (array.astype(np.float64) - begun[name].astype(np.float64))
            self._sum[name] = self._sum[name] + change if name in self._sum else change
        # By the examples alone, not by the discount: what is stale shall move the model less.
        self._weight += examples
        self._count += 1

    def state(self) -> tuple[dict[str, NDArray[np.float64]], float, int]:
        """What is in the buffer, for a checkpoint: the weighted sum, the examples behind it, and how many changes."""
        return dict(self._sum), self._weight, self._count

    def restore(self, total: Mapping[str, NDArray[np.float64]], weight: float, count: int) -> None:
        """Go on from what `state` gave."""
        self._sum, self._weight, self._count = dict(total), float(weight), int(count)

    def step(self, model: Mapping[str, Array]) -> dict[str, Array]:
        """The model after the step; the buffer is empty then.

        Raises:
            FleetError: nothing has come.
        """
        if not self._count:
            raise FleetError("there is no change to step by; at least one client has to answer")
        moved = {}
        for name, array in model.items():
            value = array.astype(np.float64) + self.rate * self._sum[name] / self._weight
            moved[name] = (np.rint(value) if np.issubdtype(array.dtype, np.integer) else value).astype(
                array.dtype
            )
        self._sum, self._weight, self._count = {}, 0.0, 0
        return moved
