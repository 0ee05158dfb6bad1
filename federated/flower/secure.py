"""Secure aggregation over any of Flower's grids: a Grid that asks the clients in four stages and gives back sums.

To a strategy it is a grid like any other. Its clients' replies hold the mean of their group's weights, the same in all
replies of a group, and equal shares of the group's number of examples; so the average of the replies is that of the
sums. What tells groups apart is the metric `GROUP`, by which a defence judges a sum once.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid

from edge_runtime.tensors import Array
from federated import seeds
from federated.flower.arrays import to_record
from federated.flower.client import ARRAYS, METRICS, NUM_EXAMPLES
from federated.flower.stages import SECURE, TEXT
from federated.privacy import masked
from federated.privacy.masked import Sum
from federated.privacy.rounds import Aggregation, Plan, Request
from federated.robust.submission import changed

GROUP = "group"
VANISHED = 3  # Flower's code for a client that gave no usable answer


class SecureGrid(Grid):  # type: ignore[misc]
    """`inner`, with training messages answered by sums alone."""

    def __init__(
        self, inner: Grid, plan: Plan, before: Callable[[], Mapping[str, Array]], *, seed: int
    ) -> None:
        """Stand around a grid.

        Args:
            inner: what carries the messages.
            plan: size of the groups, and the share of elements sent.
            before: gives the model that the round's clients start from.
            seed: of the run, for the choice of elements.
        """
        self.bytes_up = self.bytes_down = 0
        self.inner, self._plan, self._before, self._seed = inner, plan, before, seed
        self._bound, self._cap = 1.0, 1
        self._replies: dict[str, Message] = {}

    def set_run(self, run: Any) -> None:
        """Hand it on."""
        self.inner.set_run(run)

    @property
    def run(self) -> Any:
        """The inner grid's."""
        return self.inner.run

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """The inner grid's."""
        return self.inner.create_message(*args, **kwargs)

    def get_node_ids(self) -> Iterable[int]:
        """The inner grid's nodes."""
        found: Iterable[int] = self.inner.get_node_ids()
        return found

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hold the round; the ids are the keys of `pull_messages`."""
        asked = list(messages)
        replies = {each.metadata.src_node_id: each for each in self.send_and_receive(asked)}
        keys = {uuid.uuid4().hex: replies[each.metadata.dst_node_id] for each in asked}
        self._replies.update(keys)
        return list(keys)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies, each given out once."""
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Hold the round: a reply for every message, of which those of vanished clients are errors.

        A stage ends when all have answered, or when half of what is left of `timeout` is over.
        """
        asked = {each.metadata.dst_node_id: each for each in messages}
        if not asked or any(each.metadata.message_type != MessageType.TRAIN for each in asked.values()):
            return list(self.inner.send_and_receive(list(asked.values()), timeout=timeout))
        self.bytes_up = self.bytes_down = 0
        return self._round(asked, time.monotonic() + (3600 if timeout is None else timeout))

    def _round(self, asked: Mapping[int, Message], ends: float) -> list[Message]:
        before = self._before()
        size = sum(array.size for array in before.values())
        key = seeds.number(
            self._seed, "codec", int(asked[min(asked)].content["config"]["server-round"]), 0, 9
        )
        work = Aggregation(self._plan, list(asked), size=size, bound=self._bound, cap=self._cap, key=key)
        errors: dict[int, str] = {}
        adverts = self._stage(work.advertise(), asked, ends, errors)
        shares = self._stage(work.share(adverts), asked, ends, errors)
        inputs = self._stage(work.mask(shares), asked, ends, errors, train=True)
        sums = work.sums(self._stage(work.unmask(inputs), asked, ends, errors))
        self._follow(sums)
        found: dict[int, Message] = {}
        for number, (alive, total) in enumerate(sums):
            found |= replies_of(asked, alive, total, before, number)
        reasons = {**dict.fromkeys(asked, "no answer in time"), **work.failed, **errors}
        return [
            found.get(node) or Message(Error(VANISHED, reasons[node]), reply_to=asked[node]) for node in asked
        ]

    @property
    def memory(self) -> dict[str, float]:
        """What the next round depends on, for the checkpoint."""
        return {"bound": self._bound, "cap": self._cap}

    def restore(self, memory: Mapping[str, float]) -> None:
        """Go on from what `memory` gave."""
        self._bound, self._cap = float(memory.get("bound", 1.0)), int(memory.get("cap", 1))

    def _stage(
        self,
        requests: Mapping[int, Request],
        asked: Mapping[int, Message],
        ends: float,
        errors: dict[int, str],
        *,
        train: bool = False,
    ) -> dict[int, bytes]:
        messages = []
        for node, request in requests.items():
            record = ConfigRecord(request)
            content = RecordDict({**asked[node].content, SECURE: record} if train else {SECURE: record})
            self.bytes_down += record.count_bytes() + (_weights(asked[node]) if train else 0)
            messages.append(Message(content, node, MessageType.TRAIN if train else MessageType.QUERY))
        left = max(0.0, ends - time.monotonic())
        answers: dict[int, bytes] = {}
        for reply in self.inner.send_and_receive(messages, timeout=left / 2):
            node = reply.metadata.src_node_id
            text = None if reply.has_error() else reply.content.config_records.get(SECURE, {}).get(TEXT)
            if isinstance(text, bytes) and node in requests:
                answers[node] = text
                self.bytes_up += len(text)
            elif reply.has_error():
                errors[node] = str(reply.error.reason)
        return answers

    def _follow(self, sums: list[tuple[tuple[int, ...], Sum]]) -> None:
        devices = sum(total.devices for _, total in sums)
        if devices:
            below = sum(total.below * total.devices for _, total in sums) / devices
            mean = sum(total.num_examples for _, total in sums) / devices
            self._bound = masked.follow(self._bound, below)
            self._cap = max(1, round(2 * mean))


def replies_of(
    asked: Mapping[int, Message], alive: tuple[int, ...], total: Sum, before: Mapping[str, Array], group: int
) -> dict[int, Message]:
    """What the strategy gets for the survivors of one group."""
    weights = to_record(changed(before, total.delta))
    share, rest = divmod(max(total.num_examples, len(alive)), len(alive))
    found = {}
    for i, node in enumerate(alive):
        metrics = MetricRecord({NUM_EXAMPLES: share + (i < rest), "loss": total.loss, GROUP: group})
        arrays = ArrayRecord()
        for name, array in weights.items():
            arrays[name] = array
        found[node] = Message(RecordDict({ARRAYS: arrays, METRICS: metrics}), reply_to=asked[node])
    return found


def _weights(message: Message) -> int:
    return sum(int(record.count_bytes()) for record in message.content.array_records.values())
