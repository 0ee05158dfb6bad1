"""Averaging that defends itself and keeps a privacy budget, as a Flower strategy behind our round loop.

`Guarded` samples, aggregates and accounts as its settings ask. What the next round depends on besides the model is
its `memory`, for the checkpoint: suspicions, the ledger, the server's secret, and the norm that devices are clipped to.
What a round's history should say is in its `notes`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid

from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from federated.aggregate import sample_clients
from federated.flower.arrays import from_record, to_record
from federated.flower.averaging import Averaging
from federated.flower.client import ARRAYS, CONFIG, NUM_EXAMPLES
from federated.flower.secure import GROUP
from federated.privacy.accountant import Ledger
from federated.privacy.dp import Privacy, Secret, central_mean, poisson_sample, spent
from federated.privacy.local import CLIP, SIGMA
from federated.robust.submission import Rule, Submission, changed, flatten


@dataclass(slots=True)
class Notes:
    """What a round's history says of it: devices set aside with the reason, and the budget spent so far."""

    set_aside: dict[int, str] = field(default_factory=dict)
    epsilon: float | None = None


class Guarded(Averaging):
    """Federated averaging with a rule against hostile devices, a privacy budget, or both."""

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        clients: int,
        rounds: int,
        rule: Rule | None = None,
        privacy: Privacy | None = None,
    ) -> None:
        """Set the round up.

        Args:
            count: clients a round; under central privacy the number that is expected.
            seed: of the run.
            clients: of the run.
            rounds: that the budget has to last for.
            rule: of aggregation; None: the weighted mean.
            privacy: the budget; None: without.

        Raises:
            InputError: no noise keeps within the budget.
        """
        super().__init__(count, seed)
        self._rule, self._privacy, self._rate = rule, privacy, count / clients
        self._sigma = privacy.noise(self._rate, rounds) if privacy else 0.0
        self._ledger = Ledger(privacy.delta) if privacy else None
        self._secret = Secret()
        self._suspicion: Mapping[int, float] = {}
        self._expected = float(count)
        self.before: dict[str, Array] = {}
        self.notes = Notes()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message to each client of the round."""
        self.before = from_record(arrays)
        nodes = sorted(grid.get_node_ids())
        privacy = self._privacy
        config = ConfigRecord({**config, "server-round": server_round})
        if privacy and privacy.where == "central":
            self._expected = self._rate * len(nodes)
            nodes = poisson_sample(nodes, self._rate, self._secret, server_round)
        else:
            nodes = sample_clients(nodes, min(self._count, len(nodes)), self._seed, server_round)
        if privacy and privacy.where == "local":
            config[CLIP], config[SIGMA] = privacy.clip, self._sigma
        return [
            Message(RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord({**config})}), node, MessageType.TRAIN)
            for node in nodes
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """The new weights, by the rule or with the noise that was asked for; and the mean training loss."""
        found = sorted(replies, key=lambda reply: reply.metadata.src_node_id)
        self.notes = Notes()
        if self._ledger is not None and self._privacy is not None:
            self._ledger = spent(self._ledger, self._privacy, self._rate, self._sigma)
            self.notes.epsilon = self._ledger.epsilon
        central = self._privacy is not None and self._privacy.where == "central"
        if self._rule is None and not central:
            return super().aggregate_train(server_round, found)
        groups = _groups(found)
        submissions = [_submission(members, self.before) for members in groups]
        if self._privacy is not None and central:
            delta = central_mean(
                submissions,
                sum(array.size for array in self.before.values()),
                bound=self._privacy.clip,
                sigma=self._sigma,
                expected=self._expected,
                secret=self._secret,
                round_number=server_round,
            )
            return to_record(changed(self.before, delta)), _loss(found)
        outcome = self._rule(submissions, self._suspicion)  # type: ignore[misc]
        self._suspicion = outcome.memory
        for members, verdict in zip(groups, outcome.verdicts, strict=True):
            if not verdict.kept:
                self.notes.set_aside |= {each.metadata.src_node_id: verdict.reason for each in members}
        kept = [each for each in found if each.metadata.src_node_id not in self.notes.set_aside]
        return to_record(changed(self.before, outcome.delta)), _loss(kept)

    @property
    def memory(self) -> dict[str, Any]:
        """What the next round depends on besides the model, as JSON has it; for the checkpoint, not the history."""
        return {
            "suspicion": {str(device): value for device, value in self._suspicion.items()},
            "ledger": self._ledger.to_json() if self._ledger else None,
            "secret": self._secret.bits if self._privacy else None,
        }

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Go on from what `memory` gave.

        Raises:
            InputError: it is not that.
        """
        try:
            self._suspicion = {
                int(device): float(value) for device, value in memory.get("suspicion", {}).items()
            }
            if memory.get("secret") is not None:
                self._secret = Secret(int(memory["secret"]))
            if self._ledger is not None and memory.get("ledger"):
                self._ledger = Ledger.from_json(memory["ledger"])
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not the memory of a defended run: {error!r}") from error


def _groups(replies: list[Message]) -> list[list[Message]]:
    """Replies that stand for one sum together; without secure aggregation each is alone."""
    found: dict[int, list[Message]] = {}
    for reply in replies:
        found.setdefault(int(_metrics(reply).get(GROUP, -1 - reply.metadata.src_node_id)), []).append(reply)
    return list(found.values())


def _submission(members: list[Message], before: Mapping[str, Array]) -> Submission:
    first = members[0]
    delta = flatten(from_record(first.content[ARRAYS])) - flatten(before)
    return Submission(
        first.metadata.src_node_id, delta, sum(int(_metrics(each)[NUM_EXAMPLES]) for each in members)
    )


def _loss(replies: list[Message]) -> MetricRecord:
    """The mean training loss, by the number of examples; NaN where nobody is left."""
    counts = [_metrics(reply)[NUM_EXAMPLES] for reply in replies]
    losses = [n * _metrics(reply)["loss"] for n, reply in zip(counts, replies, strict=True)]
    return MetricRecord({"loss": sum(losses) / sum(counts) if counts else math.nan})


def _metrics(reply: Message) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(iter(reply.content.metric_records.values()), {})
    return found
