"""Codecs around any of Flower's strategies: updates are decoded before the strategy sees them.

``Compressed(FedAdam(), "default", down="qsgd:bucket=64")`` is a strategy again. To the strategy a client's reply holds
weights, as ever; between server and client there are messages of `federated.codecs`.
"""

from collections.abc import Iterable, Mapping

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from edge_runtime.errors import FleetError, LittoralError
from edge_runtime.tensors import Array
from federated.codecs import decode, parse, spec
from federated.codecs.downlink import Published, apply, publish
from federated.codecs.signsgd import Vote
from federated.flower.around import Around
from federated.flower.arrays import from_record, to_record
from federated.flower.client import ARRAYS, MESSAGE, UPDATE, WAY


class Compressed(Around):
    """`inner`, with clients that answer in the codec `up` and, if there is one, a model that is sent in `down`.

    A reply that cannot be decoded is left out. With `down` the strategy's model is the one that devices decode, so
    what it aggregates is rounded to that each round.
    """

    def __init__(self, inner: Strategy, up: str = "", *, down: str = "", seed: int = 0) -> None:
        """Wrap a strategy.

        Args:
            inner: any strategy of Flower's message API that keeps its arrays under "arrays".
            up: the codec of updates, as `federated.codecs.parse` takes it; empty: clients send their weights.
            down: the codec of the model's changes; empty: every client gets the whole model.
            seed: of the codecs' random choices.

        Raises:
            InputError: there is no such codec.
        """
        self.inner, self._seed = inner, seed
        self._up, self._down = (parse(text) if text else None for text in (up, down))
        self._base: dict[str, Array] = {}
        self._published: Published | None = None
        self._held: dict[int, int] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The inner strategy's messages, with the codecs named, and the model as changes where that is enough."""
        self._base = from_record(arrays)
        if self._published is None or self._published.number != server_round - 1:
            size = sum(array.nbytes for array in self._base.values())
            self._published = Published(server_round - 1, size)
            self._held = {}  # another run, or one that was interrupted: what devices hold is not known
        return [
            self._prepare(each) for each in self.inner.configure_train(server_round, arrays, config, grid)
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The inner strategy's aggregate of the decoded replies."""
        arrays, metrics = self.inner.aggregate_train(server_round, self.receive(replies)[0])
        if arrays is None:
            return arrays, metrics
        # Some strategies compute in float64, and leave it at that.
        after = {name: array.astype(self._base[name].dtype) for name, array in from_record(arrays).items()}
        if isinstance(self._up, Vote):
            moved = {name: array - self._base[name] for name, array in after.items()}
            after = apply(self._base, self._up.settle(moved))
        if self._down and self._published:
            message, after = publish(self._down, self._base, after, self._seed, server_round)
            self._published = self._published.add(message)
        return to_record(after), metrics

    def receive(
        self, replies: Iterable[Message], base: Mapping[str, Array] | None = None
    ) -> tuple[list[Message], dict[int, str]]:
        """The replies with weights in place of updates, and why some clients' replies cannot be read.

        Args:
            replies: of clients.
            base: the model that their updates are of; None: that of the last round.
        """
        if base is not None:
            self._base = dict(base)
        readable, failed = [], {}
        for reply in replies:
            try:
                readable.append(self._decoded(reply))
            except LittoralError as error:
                failed[reply.metadata.src_node_id] = str(error)
        return readable, failed

    def _prepare(self, message: Message) -> Message:
        names = {"up": spec(self._up) if self._up else "", "down": spec(self._down) if self._down else ""}
        content = RecordDict({**message.content})  # strategies give all clients the same one
        way: dict[str, str | int | list[bytes]] = {**names, "seed": self._seed}
        if self._down and self._published:
            number, node = self._published.number, message.metadata.dst_node_id
            way["number"] = number
            messages = self._published.since(self._held.pop(node, None))  # until it answers, nobody knows
            if messages is not None:
                del content[ARRAYS]
                way |= {"held": number - len(messages), "messages": list(messages)}
        content[WAY] = ConfigRecord(way)
        message.content = content
        return message

    def _decoded(self, reply: Message) -> Message:
        if reply.has_error():
            return reply
        if self._down and self._published:
            self._held[reply.metadata.src_node_id] = self._published.number
        if UPDATE not in reply.content:
            return reply
        content = reply.content[UPDATE].get(MESSAGE)
        if self._up is None or not isinstance(content, bytes):
            raise FleetError("sent an update that nobody asked for, or none where one was")
        weights = apply(self._base, decode(content, self._base, self._up))
        del reply.content[UPDATE]
        reply.content[ARRAYS] = to_record(weights)
        return reply


def sent_bytes(message: Message) -> int:
    """How many bytes of weights or updates a message carries."""
    if message.has_error():
        return 0
    arrays = sum(record.count_bytes() for record in message.content.array_records.values())
    configs: Mapping[str, ConfigRecord] = message.content.config_records
    return int(arrays) + sum(
        len(each)
        for name in (UPDATE, WAY)
        for value in configs.get(name, {}).values()
        for each in (value if isinstance(value, list) else [value])
        if isinstance(each, bytes)
    )
