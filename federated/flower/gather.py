"""A round's replies over any Grid: enough of them, or those that came by a deadline; what comes later counts later.

More clients may be asked than are needed (1.3 times as many in Bonawitz et al. 2019, "Towards Federated Learning at
Scale"), so that those that die or dawdle hold nobody up. A late reply is the change from an older model. It is added
to the present one with the weight 1/sqrt(1 + rounds that it is late) of FedBuff (Nguyen et al. 2022, section 5).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol, runtime_checkable

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from edge_runtime.tensors import Array

_POLL_S = 0.005


@runtime_checkable
class Abandons(Protocol):
    """A Grid that can be told that replies are not waited for any more."""

    def abandon(self, message_ids: Sequence[str]) -> None:
        """Let go of what belongs to these ids."""
        ...


@dataclass(slots=True)
class Gathered:
    """Replies to this round's messages, and late ones to those of earlier rounds, each with that round's number."""

    replies: list[Message]
    late: list[tuple[int, Message]] = field(default_factory=list)


@dataclass(slots=True)
class Gatherer:
    """Asks and waits, round by round. `patience` is for how many rounds a late reply is still waited for."""

    grid: Grid
    deadline_s: float
    patience: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _out: dict[str, int] = field(default_factory=dict)

    def gather(
        self, number: int, messages: Sequence[Message], enough: int, within: float | None = None
    ) -> Gathered:
        """Send the messages of round `number`; return when `enough` replies came, or at the deadline.

        `within` is what is left of it, in seconds; None: all.

        Errors that clients answer with are replies too, but none that the round was waiting for.
        """
        self._forget(number)
        ends = self.clock() + (self.deadline_s if within is None else within)
        asked = list(self.grid.push_messages(messages))
        self._out |= dict.fromkeys(asked, number)
        found, usable = Gathered([]), 0
        while True:
            for key in list(self._out):
                for reply in self.grid.pull_messages([key]):
                    came = self._out.pop(key)
                    if came == number:
                        found.replies.append(reply)
                        usable += not reply.has_error()
                    else:
                        found.late.append((came, reply))
            waiting = sum(1 for key in asked if key in self._out)
            if usable >= enough or not waiting or self.clock() >= ends:
                return found
            self.sleep(_POLL_S)

    def _forget(self, number: int) -> None:
        """Let go of what is too late, or of the round before where nothing is waited for."""
        gone = [key for key, asked in self._out.items() if number - asked > self.patience]
        for key in gone:
            del self._out[key]
        if gone and isinstance(self.grid, Abandons):
            self.grid.abandon(gone)


def moved(
    now: Mapping[str, Array], before: Mapping[str, Array], late: Mapping[str, Array], by: int
) -> dict[str, Array]:
    """The weights of a reply that is `by` rounds late, as if it had begun at the present model.

    Args:
        now: the model of the present round.
        before: that of the round that the reply belongs to.
        late: the reply's weights.
        by: how many rounds it is late.
    """
    weight = 1 / sqrt(1 + by)
    return {
        name: (array + weight * (late[name].astype(np.float64) - before[name])).astype(array.dtype)
        for name, array in now.items()
    }
