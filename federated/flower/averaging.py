"""Federated averaging as a Flower strategy, the one that every other wraps or varies."""

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from federated.aggregate import federated_average, sample_clients
from federated.flower.arrays import to_record
from federated.flower.client import ARRAYS, CONFIG, NUM_EXAMPLES
from federated.flower.replies import metrics_of, update_of


class Averaging(FedAvg):  # type: ignore[misc]
    """Federated averaging as a Flower strategy: `count` random clients a round, averaged by n_k / n."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(fraction_evaluate=0.0)  # the server evaluates, on data that no client has
        self._count, self._seed = count, seed

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message to each client of the round's sample."""
        here = list(grid.get_node_ids())
        nodes = sample_clients(here, min(self._count, len(here)), self._seed, server_round)
        # A record of its own for each client: what one of them changes must not reach the next.
        config = ConfigRecord({**config, "server-round": server_round})
        return [
            Message(RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord({**config})}), node, MessageType.TRAIN)
            for node in nodes
        ]

    def aggregate_train(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord, MetricRecord]:
        """The average of the replies' weights, and of their training losses."""
        found = sorted(replies, key=lambda reply: reply.metadata.src_node_id)  # float64 rounds by order
        averaged = federated_average(update_of(reply) for reply in found)
        counts = [metrics_of(reply)[NUM_EXAMPLES] for reply in found]
        losses = [metrics_of(reply)["loss"] for reply in found]
        loss = sum(n * each for n, each in zip(counts, losses, strict=True)) / sum(counts)
        return to_record(averaged), MetricRecord({"loss": loss})
