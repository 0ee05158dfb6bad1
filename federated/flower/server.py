"""The server as a Flower ServerApp: the rounds, over any Grid, with a checkpoint after each.

The loop is our own, for Flower's `Strategy.start` always begins at round 1. Sampling and averaging are a
Flower strategy around the functions of `federated.aggregate`. What a client sends is screened before a
strategy sees it.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp

from edge_runtime import console
from edge_runtime.data import Samples
from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import outputs
from federated.checkpoint import State
from federated.flower.arrays import from_record, to_record
from federated.flower.choosing import Chooser
from federated.flower.client import ARRAYS, UPDATE
from federated.flower.codecs import Compressed, sent_bytes
from federated.flower.gather import Gathered, Gatherer, moved
from federated.flower.replies import SILENT, evaluate, fault, metrics_of, screen
from federated.history import History, Round
from federated.local import Learner, trainer_of
from federated.methods import Averaged, parse
from federated.privacy.he import ServerKey
from federated.rounds import selection
from federated.settings import Settings

if TYPE_CHECKING:
    from federated.flower.parts import Parts


@dataclass(frozen=True, slots=True)
class Coordinator:
    """What stays the same over the rounds of one run, and the rounds."""

    grid: Grid
    trainer: Trainer
    test: Samples
    settings: Settings
    strategy: Compressed
    parts: "Parts"
    method: Averaged
    timeout: float
    chooser: Chooser
    gatherer: Gatherer | None = None
    models: dict[int, Mapping[str, Array]] = field(default_factory=dict)

    def begin(self, inputs: Mapping[str, str], split: Sequence[Sequence[int]]) -> State:
        """The state before round 1, of the trainer's weights."""
        initial = evaluate(self.trainer, self.trainer.parameters, self.test)
        rows = tuple(tuple(map(int, row)) for row in split)
        history = History(self.settings.to_json(), inputs, len(self.test), initial, rows)
        return State(self.method.start(self.trainer), replace(history, names=self.names))

    def resume(self, state: State) -> State:
        """Go on from a checkpoint."""
        self.parts.restore(state)
        self.chooser.restore(state.memory.get("chosen", {}))
        history = replace(state.history, settings=self.settings.to_json(), names=self.names)
        return replace(state, history=history)

    @property
    def names(self) -> Mapping[int, str]:
        """What the nodes are called, of a grid whose nodes have names."""
        found: Mapping[int, str] = getattr(self.parts.inner, "names", {})
        return found

    def load(self, arrays: Mapping[str, Array]) -> Trainer:
        """The trainer with the model that these arrays are of."""
        self.trainer.load(self.method.weights(self.trainer, arrays, {}))
        return self.trainer

    def play(self, state: State) -> State:
        """One round: from the state before it to the state after it."""
        began, wire = time.perf_counter(), self.parts.traffic()
        number = state.round + 1
        arrays = to_record(state.parameters)
        ends = time.monotonic() + self.timeout
        asked, enough = self.settings.asked, self.settings.per_round
        pool = self.chooser.pool(self.grid, number, asked, self.parts.inner, enough)
        messages = list(self.strategy.configure_train(number, arrays, self.config(), pool))
        bytes_down = sum(map(sent_bytes, messages))
        found = self._ask(number, messages, state.parameters, ends - time.monotonic())
        bytes_up = sum(map(sent_bytes, [*found.replies, *(reply for _, reply in found.late)]))
        readable, unreadable = self.strategy.receive(found.replies)
        kept, failed = screen(messages, readable, state.parameters)
        failed |= {node: reason for node, reason in unreadable.items() if node in failed}
        late = self._late(number, found.late, state.parameters)
        self.chooser.saw(number, kept, self.parts.inner)
        if time.monotonic() >= ends:
            self.chooser.missed(
                [node for node, reason in failed.items() if reason == SILENT], self.parts.inner
            )
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
            losses={reply.metadata.src_node_id: float(metrics_of(reply)["loss"]) for reply in kept},
            failed=failed,
            late=tuple(reply.metadata.src_node_id for reply in late),
            seconds=time.perf_counter() - began,
            **self.parts.moved(bytes_down, bytes_up, wire),
            **self.parts.noted,
        )
        memory = self.parts.memory | {"chosen": self.chooser.memory}
        return State(parameters, state.history.add(latest), memory, self.parts.arrays)

    def _ask(
        self, number: int, messages: list[Message], model: Mapping[str, Array], within: float
    ) -> Gathered:
        """The replies that the round waits for; all of them, unless more were asked than it needs."""
        if self.gatherer is None:
            return Gathered(list(self.grid.send_and_receive(messages, timeout=within)))
        self.models[number] = model
        for gone in [each for each in self.models if number - each > self.settings.late]:
            del self.models[gone]
        return self.gatherer.gather(number, messages, min(self.settings.per_round, len(messages)), within)

    def _late(
        self, number: int, late: Sequence[tuple[int, Message]], model: Mapping[str, Array]
    ) -> list[Message]:
        """Usable answers to earlier rounds, as if they had begun at the present model, each counting less."""
        found = []
        for asked, reply in late:
            began = model if not reply.has_error() and UPDATE in reply.content else self.models.get(asked, {})
            for each in self.strategy.receive([reply])[0]:
                if began and fault(each, model) is None:
                    learned = from_record(each.content[ARRAYS])
                    each.content[ARRAYS] = to_record(moved(model, began, learned, number - asked))
                    found.append(each)
        return found

    def config(self) -> ConfigRecord:
        """What every request says of how to learn."""
        s = self.settings
        given = {"epochs": s.epochs, "batch-size": s.batch_size, "lr": s.lr, "seed": s.seed}
        return ConfigRecord(given | ({"method": s.method} if s.method else {}))


def _coordinator(
    grid: Grid,
    trainer: Trainer,
    test: Samples,
    settings: Settings,
    timeout: float,
    encryption: ServerKey | None,
) -> Coordinator:
    from federated.flower.parts import arrange  # its strategies are built on this module's

    parts, method = arrange(settings, grid, encryption), parse(settings.method or "fedavg")
    strategy = Compressed(parts.strategy, settings.codec, down=settings.downlink, seed=settings.seed)
    several = not settings.asynchronous and (settings.over > 1 or settings.late)
    gatherer = Gatherer(parts.grid, timeout, settings.late) if several else None
    policy = selection.parse(settings.select) if settings.select else None
    chooser = Chooser(policy, settings.seed, timeout / 2)  # the other half is for the work
    return Coordinator(
        parts.grid, trainer, test, settings, strategy, parts, method, timeout, chooser, gatherer
    )


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
    encryption: ServerKey | None = None,
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
        encryption: the server's key, where settings ask devices to encrypt.
    """
    trainer_once = trainer_of(learner, settings.threads)

    def main(grid: Grid, context: Context) -> None:  # noqa: ARG001  (the signature is Flower's)
        coordinator = _coordinator(grid, trainer_once(), test, settings, timeout, encryption)
        state = None if restart else outputs.resume(out, settings, inputs or {}, progress=progress)
        state = coordinator.begin(inputs or {}, split) if state is None else coordinator.resume(state)
        wait_for(grid, settings.clients, timeout)
        live = outputs.live(out)
        with _loop(coordinator, state, out) as play:
            while state.round < settings.rounds:
                state = play(state)
                outputs.commit(out, state)
                live.show(state.history)
                if progress:
                    _say(state.history, settings.rounds)
        if settings.personalise and not state.history.personal:
            from federated.flower.owning import own_models  # built on this module's

            state = own_models(coordinator, state, progress=progress)
            outputs.commit(out, state)
        outputs.finish(out, state, coordinator.load(state.parameters))

    app = ServerApp()
    app.main()(main)
    return app


@contextmanager
def _loop(
    coordinator: Coordinator, state: State, out: str | os.PathLike[str]
) -> Iterator[Callable[[State], State]]:
    """What goes from one state of the run to the next: a round, or asynchronously a version."""
    if not coordinator.settings.asynchronous:
        yield coordinator.play
        return
    from federated.flower.asynchronous import Asynchronous  # it is built on this module's

    loop = Asynchronous(coordinator, lambda state: outputs.commit(out, state))
    loop.restore(state)
    try:
        yield loop.play
    finally:
        loop.end()


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


def _say(history: History, rounds: int) -> None:
    latest = history.rounds[-1]
    for client, reason in latest.failed.items():
        console.say(f"round {latest.number}/{rounds}  client {history.name(client)} failed: {reason}")
    console.say(latest.line(rounds))
