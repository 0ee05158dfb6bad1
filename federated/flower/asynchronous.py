"""Rounds without a beat: devices learn all the time, and the model moves whenever so many changes have come.

FedBuff: Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation", algorithm 1; the sum and the
weight 1/sqrt(1 + staleness) are `federated.rounds.buffered`. Always as many devices are out as a round would ask; who
has answered is followed by another, who gets the model as it is then.

Every request has a number of its own, so the same request is the same work. The checkpoint holds the requests that are
out, the models that they began from, and the buffer, and is written before a request is sent: a coordinator that was
killed asks for the same again, and devices that have done it send what they kept. Nothing is lost or counts twice.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Message

from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array
from federated.checkpoint import State
from federated.flower.arrays import from_record, to_record
from federated.flower.choosing import Pool
from federated.flower.client import ARRAYS, NUM_EXAMPLES
from federated.flower.codecs import sent_bytes
from federated.flower.gather import Abandons
from federated.flower.replies import evaluate, fault, metrics_of
from federated.history import Round
from federated.link.traffic import Traffic
from federated.rounds.buffered import Buffer

if TYPE_CHECKING:
    from federated.flower.server import Coordinator

_POLL_S, _LOOK_S = 0.005, 0.5  # for answers at first, and for devices that have come
_OLDEST = 20  # versions, where the settings do not say
_MEMORY, _SUM, _MODEL = "asynchronous", "sum/", "model/"


@dataclass(slots=True)
class _Asked:
    """A request that is out: its number, the device, and the version of the model that it began from."""

    number: int
    node: int
    version: int
    key: str = ""  # of the grid; empty until it is sent
    since: float = 0.0


@dataclass(slots=True)
class _Window:
    """What happened since the model last moved."""

    clients: list[int] = field(default_factory=list)
    ages: list[int] = field(
        default_factory=list
    )  # versions that the model moved meanwhile, of those that count
    examples: list[int] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)
    trained: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    down: int = 0
    up: int = 0


class Asynchronous:
    """The loop of a run: `play` goes from one version of the model to the next."""

    def __init__(
        self, run: "Coordinator", commit: Callable[[State], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make the loop.

        Args:
            run: what stays the same over the versions.
            commit: keeps a state, before the requests in it are sent.
            clock: in seconds.
        """
        settings = run.settings
        self._run, self._commit, self._clock = run, commit, clock
        self._buffer = Buffer(settings.asynchronous, oldest=settings.late or _OLDEST)
        self._out: dict[int, _Asked] = {}  # by device: one request each
        self._came: list[Message] = []  # beyond what the last step took
        self._models: dict[int, Mapping[str, Array]] = {}
        self._next, self._failures = 1, 0
        self._window = _Window()

    def restore(self, state: State) -> None:
        """Go on from a checkpoint: what was out is asked again."""
        memory = state.memory.get(_MEMORY, {})
        if not memory:
            return
        self._next = int(memory["next"])
        self._window = _Window(**memory["window"])
        self._out = {int(node): _Asked(int(n), int(node), int(version)) for n, node, version in memory["out"]}
        sums = {name.removeprefix(_SUM): a for name, a in state.arrays.items() if name.startswith(_SUM)}
        self._buffer.restore(sums, memory["weight"], memory["count"])
        for name, array in state.arrays.items():
            if name.startswith(_MODEL):
                version, _, own = name.removeprefix(_MODEL).partition("/")
                self._models[int(version)] = {**self._models.get(int(version), {}), own: array}

    def play(self, state: State) -> State:
        """Until the buffer is full, and the step that it makes.

        Raises:
            FleetError: there are no devices, or none that answers with what can be used.
        """
        began, wire = self._clock(), self._run.parts.traffic()
        self._models[state.round] = state.parameters
        self._plan(state.round)
        while not self._buffer.full:
            self._send(state)
            for reply in self._wait():
                if self._buffer.full:
                    self._came.append(reply)
                else:
                    self._take(reply, state)
            if not self._buffer.full:
                self._plan(state.round)
        return self._step(state, self._clock() - began, wire)

    def end(self) -> None:
        """Let go of what is out."""
        grid = self._run.grid
        if isinstance(grid, Abandons):
            grid.abandon([each.key for each in self._out.values() if each.key])

    def _plan(self, version: int) -> None:
        """Choose devices until as many are out as should be."""
        run = self._run
        free = self._free()
        while free and len(self._out) < run.settings.per_round:
            (node,) = run.chooser.choose(free, 1, self._next, run.parts.inner)
            self._out[node] = _Asked(self._next, node, version)
            self._next += 1
            free.remove(node)

    def _send(self, state: State) -> None:
        """Send what was planned, once the checkpoint knows of it."""
        fresh = [each for each in self._out.values() if not each.key]
        if not fresh:
            return
        if isinstance(
            self._run.grid, Abandons
        ):  # devices that outlive this process; others begin anew with it
            self._commit(self._state(state))
        for asked in fresh:
            model = to_record(self._models[asked.version])
            (message,) = self._run.strategy.configure_train(
                asked.number, model, self._run.config(), Pool([asked.node])
            )
            self._window.down += sent_bytes(message)
            asked.since = self._clock()
            (asked.key,) = self._run.grid.push_messages([message])

    def _wait(self) -> list[Message]:
        """What came; nothing where a device was given up, or another can be asked.

        Raises:
            FleetError: no device is there, or able, until the deadline.
        """
        if self._came:
            came, self._came = self._came, []
            return came
        began = self._clock()
        look = began + _LOOK_S
        while True:
            keys = [each.key for each in self._out.values()]
            found = list(self._run.grid.pull_messages(keys)) if keys else []
            if found or self._give_up():
                return found
            now = self._clock()
            if not self._out and now >= began + self._run.timeout:
                raise FleetError(f"no device to ask within {self._run.timeout:g} s")
            if len(self._out) < self._run.settings.per_round and now >= look:
                look = now + _LOOK_S
                if self._free():
                    return []
            time.sleep(min(max(_POLL_S, (now - began) / 20), _LOOK_S))

    def _free(self) -> list[int]:
        """The devices that could be asked."""
        here = set(self._run.grid.get_node_ids()) - self._out.keys()
        return self._run.chooser.able(here, self._run.parts.inner)

    def _give_up(self) -> bool:
        """Let go of devices that were asked too long ago; whether there was one."""
        now, grid = self._clock(), self._run.grid
        gone = [each for each in self._out.values() if now - each.since > self._run.timeout]
        for asked in gone:
            del self._out[asked.node]
            self._fail(asked.node, "no answer in time")
        if gone and isinstance(grid, Abandons):
            grid.abandon([each.key for each in gone])
        return bool(gone)

    def _take(self, reply: Message, state: State) -> None:
        """An answer: into the buffer, or among those that failed."""
        node = reply.metadata.src_node_id
        if node not in self._out:  # given up meanwhile
            return
        asked, run, window = self._out.pop(node), self._run, self._window
        begun = self._models[asked.version]
        window.up += sent_bytes(reply)
        readable, unreadable = run.strategy.receive([reply], begun)
        reason = unreadable.get(node) or fault(reply, begun)
        if reason is None:
            metrics, age = metrics_of(reply), state.round - asked.version
            try:
                self._buffer.add(from_record(reply.content[ARRAYS]), begun, metrics[NUM_EXAMPLES], age)
            except FleetError as error:
                reason = str(error)
        if reason is not None:
            self._fail(node, reason)
            return
        self._failures = 0
        run.chooser.saw(state.round + 1, readable, run.parts.inner)
        window.clients.append(node)
        window.ages.append(age)
        window.examples.append(int(metrics[NUM_EXAMPLES]))
        window.trained.append(float(metrics["loss"]))
        window.losses[str(node)] = window.trained[-1]

    def _fail(self, node: int, reason: str) -> None:
        self._window.clients.append(node)
        self._window.failed[str(node)] = reason
        self._failures += 1
        if self._failures > 3 * max(self._run.settings.per_round, self._run.settings.asynchronous):
            raise FleetError(f"{self._failures} answers in a row failed; client {node}: {reason}")

    def _step(self, state: State, seconds: float, wire: Traffic | None) -> State:
        run, window, before = self._run, self._window, state.parameters
        parameters = run.method.merge(before, self._buffer.step(before))
        measured = evaluate(run.trainer, run.method.weights(run.trainer, parameters, {}), run.test)
        weights = np.array(window.examples)
        answered = [node for node in window.clients if str(node) not in window.failed]
        latest = Round(
            number=state.round + 1,
            accuracy=measured["accuracy"],
            loss=measured["loss"],
            train_loss=float(np.average(window.trained, weights=weights)),
            clients=tuple(window.clients),
            losses={int(node): loss for node, loss in window.losses.items()},
            failed={int(node): reason for node, reason in window.failed.items()},
            late=tuple(sorted({node for node, age in zip(answered, window.ages, strict=False) if age})),
            staleness=fmean(window.ages),
            seconds=seconds,
            **run.parts.moved(window.down, window.up, wire),
        )
        self._window = _Window()
        needed = {each.version for each in self._out.values()}
        self._models = {version: each for version, each in self._models.items() if version in needed}
        return self._state(State(parameters, state.history.add(latest)))

    def _state(self, state: State) -> State:
        """This state, with all that is out."""
        sums, weight, count = self._buffer.state()
        out = [[each.number, each.node, each.version] for each in self._out.values()]
        needed = {each.version for each in self._out.values()}
        memory: dict[str, Any] = {
            "next": self._next,
            "window": asdict(self._window),
            "out": out,
            "weight": weight,
            "count": count,
        }
        arrays = {_SUM + name: array for name, array in sums.items()} | {
            f"{_MODEL}{version}/{name}": array
            for version in sorted(needed)
            for name, array in self._models[version].items()
        }
        chosen = {"chosen": self._run.chooser.memory}
        return State(state.parameters, state.history, {_MEMORY: memory, **chosen}, arrays)
