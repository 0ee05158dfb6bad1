"""Who is asked in a round: a Grid as a strategy sees it, with the devices that are there, able and chosen.

What devices say of themselves comes over the device link; a grid without that has devices that are always ready. What
the coordinator saw of a device in earlier rounds is kept for the checkpoint.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message
from flwr.serverapp import Grid

from edge_runtime.errors import FleetError
from federated.flower.client import NUM_EXAMPLES
from federated.rounds.selection import Condition, Policy, Record, choose, ready

_POLL_S = 0.1


@runtime_checkable
class Reports(Protocol):
    """A grid whose devices say how they are."""

    def conditions(self) -> Mapping[int, Condition]:
        """What each node last said."""
        ...

    def seconds(self, node: int) -> float:
        """How long the node's last answer took; 0 where none came."""
        ...


class Pool:
    """A grid that has these nodes only, so that a strategy that samples takes all of them."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._nodes = list(nodes)

    def get_node_ids(self) -> list[int]:
        """Their ids."""
        return self._nodes


@dataclass(slots=True)
class Chooser:
    """Chooses a round's devices. Without a policy all that are there may be asked."""

    policy: Policy | None
    seed: int
    timeout: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    records: dict[int, Record] = field(default_factory=dict)
    most: int = sys.maxsize  # how many were there when more were once waited for in vain

    def pool(
        self, grid: Grid, number: int, wanted: int, inner: Grid | None = None, enough: int | None = None
    ) -> Pool:
        """The devices that round `number` may ask; with a policy, `wanted` of them.

        Waits until there are `enough`, or for `timeout`; then takes those that there are. Who lets that pass is not
        waited for again before it is there: a device that is gone for good costs the run one deadline, not every round.

        Args:
            grid: of the run.
            number: of the round.
            wanted: how many are to be asked.
            inner: the grid that knows the devices' state, where `grid` stands around it.
            enough: how many are waited for; None: `wanted`.

        Raises:
            FleetError: there is none.
        """
        ends = self.clock() + self.timeout
        awaited = min(wanted if enough is None else enough, self.most)
        while True:
            here = sorted(grid.get_node_ids())
            able = self.able(here, inner or grid)
            if len(able) >= awaited or self.clock() >= ends:
                break
            self.sleep(min(_POLL_S, self.timeout))
        if (
            len(able) < awaited or self.most < sys.maxsize
        ):  # once somebody was given up, it follows who is there
            self.most = max(len(able), 1)
        if not able:
            needs = f" that is {' and '.join(self.policy.needs)}" if self.policy and self.policy.needs else ""
            raise FleetError(
                f"round {number}: no device{needs} within {self.timeout:g} s; {len(here)} are there"
            )
        if self.policy is None:
            return Pool(able)
        return Pool(self.choose(able, min(wanted, len(able)), number, inner or grid))

    def missed(self, silent: Iterable[int], grid: Grid) -> None:
        """Wait no more for devices that let a round's deadline pass, if they are not even there any more."""
        here = set(grid.get_node_ids())
        if not here.issuperset(silent):
            self.most = max(len(self.able(here, grid)), 1)

    def able(self, here: Iterable[int], grid: Grid) -> list[int]:
        """Those whose state allows it, sorted."""
        if self.policy is None:
            return sorted(here)
        return ready(grid.conditions() if isinstance(grid, Reports) else {}, here, self.policy)

    def choose(self, able: Iterable[int], count: int, number: int, grid: Grid) -> list[int]:
        """`count` of these devices."""
        said = grid.conditions() if isinstance(grid, Reports) else {}
        return choose(able, count, self.seed, number, policy=self.policy, records=self._known(said))

    def saw(self, number: int, replies: Iterable[Message], grid: Grid) -> None:
        """Remember what came of round `number`."""
        if self.policy is None or not self.policy.useful:
            return
        for reply in replies:
            node = reply.metadata.src_node_id
            metrics: Mapping[str, Any] = next(iter(reply.content.metric_records.values()), {})
            seconds = grid.seconds(node) if isinstance(grid, Reports) else 0.0
            self.records[node] = Record(int(metrics[NUM_EXAMPLES]), float(metrics["loss"]), seconds, number)

    def _known(self, said: Mapping[int, Condition]) -> dict[int, Record]:
        """What was seen, and for devices not seen yet what they say: no more than the most that was seen of others."""
        if not self.records:
            return {}
        most = max(each.samples for each in self.records.values())
        worst = max(each.loss for each in self.records.values())
        told = {
            node: Record(min(each.samples, most), min(each.loss, worst), 0.0, 0)
            for node, each in said.items()
            if each.samples and each.loss is not None
        }
        return told | self.records

    @property
    def memory(self) -> dict[str, Any]:
        """What the next choice depends on, for the checkpoint."""
        return {
            str(node): [each.samples, each.loss, each.seconds, each.round]
            for node, each in self.records.items()
        }

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` gave."""
        self.records = {
            int(node): Record(int(n), float(loss), float(seconds), int(number))
            for node, (n, loss, seconds, number) in memory.items()
        }
