"""The server as a Flower ServerApp: the rounds, over any Grid, with a checkpoint after each.

The loop is our own, for Flower's `Strategy.start` always begins at round 1. Sampling and averaging are a
Flower strategy around the functions of `federated.aggregate`. What a client sends is screened before a
strategy sees it.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from federated.flower_client import ARRAYS, CONFIG, NUM_EXAMPLES, from_record, to_record
from federated.history import History, Round
from federated.local import Learner, trainer_of
from federated.settings import Settings
from federated.update import Update, check_count, check_finite, check_fit


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
    strategy: Averaging
    timeout: float

    def play(self, state: State) -> State:
        """One round: from the state before it to the state after it."""
        began = time.perf_counter()
        number = state.round + 1
        arrays = to_record(state.parameters)
        messages = list(self.strategy.configure_train(number, arrays, self._config(), self.grid))
        replies = list(self.grid.send_and_receive(messages, timeout=self.timeout))
        kept, failed = screen(messages, replies, state.parameters)
        if not kept:
            first = min(failed)
            raise FleetError(
                f"round {number}: all {len(failed)} clients failed; client {first}: {failed[first]}"
            )
        averaged, metrics = self.strategy.aggregate_train(number, kept)
        parameters = from_record(averaged)
        found = evaluate(self.trainer, parameters, self.test)
        latest = Round(
            number=number,
            **found,
            train_loss=float(metrics["loss"]),
            clients=tuple(message.metadata.dst_node_id for message in messages),
            failed=failed,
            seconds=time.perf_counter() - began,
            bytes_down=sum(map(_weight_bytes, messages)),
            bytes_up=sum(map(_weight_bytes, replies)),
        )
        return State(parameters, state.history.add(latest))

    def _config(self) -> ConfigRecord:
        s = self.settings
        return ConfigRecord({"epochs": s.epochs, "batch-size": s.batch_size, "lr": s.lr, "seed": s.seed})


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
        trainer = trainer_once()
        strategy = Averaging(settings.per_round, settings.seed)
        coordinator = _Coordinator(grid, trainer, test, settings, strategy, timeout)
        state = None if restart else outputs.resume(out, settings, inputs or {}, progress=progress)
        if state is None:
            weights = trainer.parameters
            initial = evaluate(trainer, weights, test)
            rows = tuple(tuple(map(int, row)) for row in split)
            state = State(weights, History(settings.to_json(), inputs or {}, len(test), initial, rows))
        else:
            state = replace(state, history=replace(state.history, settings=settings.to_json()))
        wait_for(grid, settings.clients, timeout)
        while state.round < settings.rounds:
            state = coordinator.play(state)
            outputs.commit(out, state)
            if progress:
                _say(state.history.rounds[-1], settings.rounds)
        outputs.finish(out, state, trainer)

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
        time.sleep(min(1.0, timeout))


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


def _weight_bytes(message: Message) -> int:
    if message.has_error():
        return 0
    return sum(record.count_bytes() for record in message.content.array_records.values())


def _say(latest: Round, rounds: int) -> None:
    for client, reason in latest.failed.items():
        console.say(f"round {latest.number}/{rounds}  client {client} failed: {reason}")
    console.say(latest.line(rounds))
