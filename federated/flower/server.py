"""The server as a Flower ServerApp: the rounds, over any Grid, with a checkpoint after each.

The loop is our own, for Flower's `Strategy.start` always begins at round 1. Sampling and averaging are a
Flower strategy around the functions of `federated.aggregate`. What a client sends is screened before a
strategy sees it.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from edge_runtime import console
from edge_runtime.data import Samples
from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import outputs
from federated.aggregate import federated_average, sample_clients
from federated.checkpoint import State
from federated.flower.arrays import from_record, to_record
from federated.flower.client import ARRAYS, CONFIG, NUM_EXAMPLES, UPDATE
from federated.flower.codecs import Compressed, sent_bytes
from federated.flower.gather import Gathered, Gatherer, moved
from federated.history import History, Round
from federated.local import Learner, trainer_of
from federated.methods import Averaged, parse
from federated.settings import Settings
from federated.update import Update, check_count, check_finite, check_fit

if TYPE_CHECKING:
    from federated.flower.parts import Parts


class Averaging(FedAvg):  # type: ignore[misc]
    """Federated averaging as a Flower strategy: `count` random clients a round, averaged by n_k / n."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(fraction_evaluate=0.0)  # the server evaluates, on data that no client has
        self._count, self._seed = count, seed

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message to each client of the round's sample."""
        nodes = sample_clients(list(grid.get_node_ids()), self._count, self._seed, server_round)
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
        averaged = federated_average(_update(reply) for reply in found)
        counts = [_metrics(reply)[NUM_EXAMPLES] for reply in found]
        losses = [_metrics(reply)["loss"] for reply in found]
        loss = sum(n * each for n, each in zip(counts, losses, strict=True)) / sum(counts)
        return to_record(averaged), MetricRecord({"loss": loss})


@dataclass(frozen=True, slots=True)
class _Coordinator:
    """What stays the same over the rounds of one run."""

    grid: Grid
    trainer: Trainer
    test: Samples
    settings: Settings
    strategy: Compressed
    parts: "Parts"
    method: Averaged
    timeout: float
    gatherer: Gatherer | None = None
    models: dict[int, Mapping[str, Array]] = field(default_factory=dict)

    def begin(self, inputs: Mapping[str, str], split: Sequence[Sequence[int]]) -> State:
        """The state before round 1, of the trainer's weights."""
        initial = evaluate(self.trainer, self.trainer.parameters, self.test)
        rows = tuple(tuple(map(int, row)) for row in split)
        history = History(self.settings.to_json(), inputs, len(self.test), initial, rows)
        return State(self.method.start(self.trainer), history)

    def load(self, arrays: Mapping[str, Array]) -> Trainer:
        """The trainer with the model that these arrays are of."""
        self.trainer.load(self.method.weights(self.trainer, arrays, {}))
        return self.trainer

    def play(self, state: State) -> State:
        """One round: from the state before it to the state after it."""
        began = time.perf_counter()
        number = state.round + 1
        arrays = to_record(state.parameters)
        messages = list(self.strategy.configure_train(number, arrays, self._config(), self.grid))
        bytes_down = sum(map(sent_bytes, messages))
        found = self._ask(number, messages, state.parameters)
        bytes_up = sum(map(sent_bytes, [*found.replies, *(reply for _, reply in found.late)]))
        readable, unreadable = self.strategy.receive(found.replies)
        kept, failed = screen(messages, readable, state.parameters)
        failed |= {node: reason for node, reason in unreadable.items() if node in failed}
        late = self._late(number, found.late, state.parameters)
        kept += late
        if not kept and messages:  # a random sample may be empty
            first = min(failed)
            raise FleetError(
                f"round {number}: all {len(failed)} clients failed; client {first}: {failed[first]}"
            )
        averaged, metrics = self.strategy.aggregate_train(number, kept)
        if averaged is None or metrics is None:
            raise FleetError(f"round {number}: the strategy made nothing of {len(kept)} updates")
        parameters = self.method.merge(state.parameters, from_record(averaged))
        measured = evaluate(self.trainer, self.method.weights(self.trainer, parameters, {}), self.test)
        latest = Round(
            number=number,
            accuracy=measured["accuracy"],
            loss=measured["loss"],
            train_loss=float(metrics["loss"]),
            clients=tuple(message.metadata.dst_node_id for message in messages),
            losses={reply.metadata.src_node_id: float(_metrics(reply)["loss"]) for reply in kept},
            failed=failed,
            late=tuple(reply.metadata.src_node_id for reply in late),
            seconds=time.perf_counter() - began,
            **self.parts.moved(bytes_down, bytes_up),
            **self.parts.noted,
        )
        return State(parameters, state.history.add(latest), self.parts.memory, self.parts.arrays)

    def _ask(self, number: int, messages: list[Message], model: Mapping[str, Array]) -> Gathered:
        """The replies that the round waits for; all of them, unless more were asked than it needs."""
        if self.gatherer is None:
            return Gathered(list(self.grid.send_and_receive(messages, timeout=self.timeout)))
        self.models[number] = model
        for gone in [each for each in self.models if number - each > self.settings.late]:
            del self.models[gone]
        return self.gatherer.gather(number, messages, min(self.settings.per_round, len(messages)))

    def _late(
        self, number: int, late: Sequence[tuple[int, Message]], model: Mapping[str, Array]
    ) -> list[Message]:
        """Usable answers to earlier rounds, as if they had begun at the present model, each counting less."""
        found = []
        for asked, reply in late:
            began = model if not reply.has_error() and UPDATE in reply.content else self.models.get(asked, {})
            for each in self.strategy.receive([reply])[0]:
                if began and _fault(each, model) is None:
                    learned = from_record(each.content[ARRAYS])
                    each.content[ARRAYS] = to_record(moved(model, began, learned, number - asked))
                    found.append(each)
        return found

    def _config(self) -> ConfigRecord:
        s = self.settings
        given = {"epochs": s.epochs, "batch-size": s.batch_size, "lr": s.lr, "seed": s.seed}
        return ConfigRecord(given | ({"method": s.method} if s.method else {}))


def _coordinator(
    grid: Grid, trainer: Trainer, test: Samples, settings: Settings, timeout: float
) -> _Coordinator:
    from federated.flower.parts import arrange  # its strategies are built on this module's

    parts, method = arrange(settings, grid), parse(settings.method or "fedavg")
    strategy = Compressed(parts.strategy, settings.codec, down=settings.downlink, seed=settings.seed)
    several = settings.over > 1 or settings.late
    gatherer = Gatherer(parts.grid, timeout, settings.late) if several else None
    return _Coordinator(parts.grid, trainer, test, settings, strategy, parts, method, timeout, gatherer)


def server_app(
    learner: Learner,
    settings: Settings,
    *,
    test: Samples,
    out: str | os.PathLike[str],
    split: Sequence[Sequence[int]] = (),
    inputs: Mapping[str, str] | None = None,
    restart: bool = False,
    progress: bool = True,
    timeout: float = 3600,
) -> ServerApp:
    """The ServerApp that averages over the clients of whatever Grid it is given, for any of Flower's engines.

    A Flower app module needs ``app = server_app("m.bundle", Settings(), test=load("test.npz"), out="run")``.
    It waits for `settings.clients` nodes, goes on from the checkpoint in `out` if there is one, and leaves
    history.json, curve.png and model.bundle there.

    Args:
        learner: a trainable bundle, or a loaded trainer; its weights are where round 1 begins.
        settings: what every round does.
        test: held-out samples on which the average is evaluated after each round.
        out: the folder of the results and of checkpoint.npz.
        split: for each client how many samples of each class it has, where the server may know.
        inputs: digests of what the run rests on; a checkpoint of other inputs is refused.
        restart: begin at round 1 even if there is a checkpoint.
        progress: one line a round on stderr.
        timeout: seconds that a round waits for its clients.
    """
    trainer_once = trainer_of(learner, settings.threads)

    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001  (the signature is Flower's)
        coordinator = _coordinator(grid, trainer_once(), test, settings, timeout)
        state = None if restart else outputs.resume(out, settings, inputs or {}, progress=progress)
        if state is None:
            state = coordinator.begin(inputs or {}, split)
        else:
            state = replace(state, history=replace(state.history, settings=settings.to_json()))
            coordinator.parts.restore(state)
        wait_for(grid, settings.clients, timeout)
        while state.round < settings.rounds:
            state = coordinator.play(state)
            outputs.commit(out, state)
            if progress:
                _say(state.history.rounds[-1], settings.rounds)
        outputs.finish(out, state, coordinator.load(state.parameters))

    app = ServerApp()
    app.main()(main)
    return app


def evaluate(trainer: Trainer, parameters: Mapping[str, Array], test: Samples) -> dict[str, float]:
    """Accuracy and loss of these weights on the held-out samples."""
    trainer.load(parameters)
    found = trainer.evaluate(test)
    return {"accuracy": float(found["accuracy"]), "loss": float(found["loss"])}


def screen(
    messages: Sequence[Message], replies: Iterable[Message], like: Mapping[str, Array]
) -> tuple[list[Message], dict[int, str]]:
    """Divide what came back into usable replies, and the clients that failed with the reason.

    A client fails that raised, did not answer in time, or sent weights that are not finite or do not fit
    `like`, the weights that it was sent.
    """
    failed = {message.metadata.dst_node_id: "no answer in time" for message in messages}
    kept: dict[int, Message] = {}
    for reply in replies:
        node = reply.metadata.src_node_id
        if node not in failed:  # nobody asked, or a second answer
            continue
        reason = _fault(reply, like)
        if reason is None:
            kept[node] = reply
            del failed[node]
        else:
            failed[node] = reason
    return list(kept.values()), failed


def wait_for(grid: Grid, clients: int, timeout: float) -> None:
    """Return when the grid has `clients` nodes.

    Raises:
        FleetError: they did not come within `timeout` seconds.
    """
    ends = time.monotonic() + timeout
    while (found := len(list(grid.get_node_ids()))) < clients:
        if time.monotonic() > ends:
            raise FleetError(f"{found} of {clients} clients came within {timeout:g} s")
        time.sleep(min(0.1, timeout))


def _fault(reply: Message, like: Mapping[str, Array]) -> str | None:
    if reply.has_error():
        return str(reply.error.reason or f"error {reply.error.code}")
    try:
        weights = from_record(reply.content[ARRAYS])
        check_fit(weights, like)
        check_finite(weights)
        check_count(_metrics(reply)[NUM_EXAMPLES])
        float(_metrics(reply)["loss"])
    except FleetError as error:
        return str(error)
    except (KeyError, TypeError, ValueError, OSError, EOFError, AttributeError) as error:
        return f"its answer cannot be read: {error!r}"
    return None


def _update(reply: Message) -> Update:
    return Update.of(from_record(reply.content[ARRAYS]), _metrics(reply)[NUM_EXAMPLES])


def _metrics(reply: Message) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(iter(reply.content.metric_records.values()), {})
    return found


def _say(latest: Round, rounds: int) -> None:
    for client, reason in latest.failed.items():
        console.say(f"round {latest.number}/{rounds}  client {client} failed: {reason}")
    console.say(latest.line(rounds))
