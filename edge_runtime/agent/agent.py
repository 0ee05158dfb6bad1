"""The agent: a loop around the state machine (`update`), which does what that says and tells it what came of it.

Everything happens on one thread; the connection's and the children's threads only leave calls in its queue. A state
is written down before anything is done about it; what cannot be written down is not done, but for the way back.
"""

import json
import logging
import queue
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime.agent import credential, durable, reporting
from edge_runtime.agent import events as on
from edge_runtime.agent.commands import Commands
from edge_runtime.agent.conditions import FILE as CONDITIONS
from edge_runtime.agent.conditions import Conditions
from edge_runtime.agent.errand import TRUST
from edge_runtime.agent.federating import Federating
from edge_runtime.agent.link import Link
from edge_runtime.agent.logs import Lines
from edge_runtime.agent.settings import Settings
from edge_runtime.agent.standing import State
from edge_runtime.agent.telemetry import Telemetry
from edge_runtime.agent.updating import Updating
from edge_runtime.errors import FleetError, LittoralError
from edge_runtime.messages import Command, Desired, Reported, Result, topics
from edge_runtime.messages.twin import ENDED

_log = logging.getLogger(__name__)
_LOOK_S, _TEND_S, _RENEW_S = (
    2.0,
    5.0,
    3600.0,
)  # between looks at the recordings, the conditions, the certificate
_SOON_S = 5.0  # after the start, when the certificate is looked at first
_PROGRESS_S = 2.0  # between reports that only say how far it is
_ALL_S = 5.0  # within which the devices answer when all are asked
_ONCE = 1e9  # seconds after which a timer is not meant to run again


class Agent:
    """One device's agent; `run` serves until `stop` is called, from any thread.

    Args:
        store: its folder.
        settings: None takes those of the folder.
        brokers: URLs in place of the fleet's.
        clock: seconds since 1970.

    Raises:
        InputError: the device is not enrolled, the settings have a mistake, or another agent has the folder.
    """

    def __init__(
        self,
        store: Path,
        settings: Settings | None = None,
        *,
        brokers: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.settings = store, settings or Settings.load(store)
        self.identity, self._clock = credential.load(store), clock
        self._lock = durable.alone(store, f"{store}: another agent is at work here")
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._began, self._ended, self.restart = time.monotonic(), False, False
        self._floor, self._floor_at = _learnt(store), self._began
        self.updating = Updating(store, self.settings.probe_s, self.now, self._calls.put, self._changed)
        self._brokers = tuple(brokers)
        self.link = Link(
            self.identity.device,
            self._addresses(None),
            lambda: credential.context(store),
            on_message=lambda topic, content: self._calls.put(lambda: self._message(topic, content)),
            on_state=lambda here: self._calls.put(lambda: self._connected(here)),
        )
        self.lines = Lines()
        self.telemetry = Telemetry(store / "telemetry", self.settings.telemetry_bytes)
        self._flying = False
        self.ledger = reporting.Ledger(store)
        self.conditions = Conditions(self.settings.metered, store / CONDITIONS)
        self.found = self.conditions()
        self.federating = Federating(store, self.settings.federated)
        self._has, self._version = reporting.capabilities(), reporting.version()
        self._said: Reported | None = None
        self._said_at = 0.0
        operations = {
            "report": self._do_report,
            "probe": self._do_probe,
            "revert": self._do_revert,
            "logs": lambda _: "\n".join(self.lines.last)[-32_000:],
            "restart": self._do_restart,
        }
        self.commands = Commands(store / "commands.json", operations, self._result)
        beat = random.uniform(0, self.settings.beat_s)  # noqa: S311  (a fleet does not beat in one moment)
        self._timers: list[list[Any]] = [
            [self._began + beat, self.settings.beat_s, self._beat],
            [self._began, _LOOK_S, self._look],
            [self._began, _TEND_S, self._tend],
            [self._began + self.settings.stats_s, self.settings.stats_s, self._stats],
            [self._began + _SOON_S, _RENEW_S, self._renew],
        ]

    # ---------------------------------------------------------------------------------- the loop
    def run(self) -> None:
        """Serve."""
        logger = logging.getLogger("edge_runtime")
        logger.addHandler(self.lines)
        self.updating.boot()
        if self.state.desired:
            self.link.use(self._addresses(self.state.desired))
        self.link.start()
        try:
            while not self._ended:
                with suppress(queue.Empty):
                    self._calls.get(timeout=max(0.0, self._next() - time.monotonic()))()
                self._due()
        finally:
            self.updating.end()
            self.federating.end()
            self.link.stop()
            logger.removeHandler(self.lines)
            self._lock.close()

    @property
    def state(self) -> State:
        """Where the update stands."""
        return self.updating.state

    def stop(self) -> None:
        """Let `run` return."""
        self._calls.put(self._end)

    def now(self) -> float:
        """The time, seconds since 1970: the device's clock, or what the cloud said where that is later."""
        return max(self._clock(), self._floor + time.monotonic() - self._floor_at)

    def _end(self) -> None:
        self._ended = True

    def _next(self) -> float:
        soonest: float = min(timer[0] for timer in self._timers)
        wanted = self.updating.due()
        return soonest if wanted is None else min(soonest, wanted)

    def _due(self) -> None:
        now = time.monotonic()
        for timer in [timer for timer in self._timers if now >= timer[0]]:
            if timer[1] == _ONCE:
                self._timers.remove(timer)
            timer[0] = now + timer[1] * random.uniform(0.9, 1.1)  # noqa: S311
            timer[2]()
        self.updating.tend()

    def _once(self, seconds: float, do: Callable[[], None]) -> None:
        self._timers.append([time.monotonic() + seconds, _ONCE, do])

    def _changed(self, before: State) -> None:
        if self.state.model != before.model:
            self.ledger.forget()
        self._report()

    # ---------------------------------------------------------------------------------- what comes
    def _message(self, topic: str, content: bytes) -> None:
        try:
            if topic == topics.ALL:
                self._once(random.uniform(0, _ALL_S), self._here)  # noqa: S311
            elif topics.kind_of(topic) == "desired":
                self._wish(Desired.read(content))
            elif topics.kind_of(topic) == "command":
                self.commands.take(Command.read(content), self.now())
        except (LittoralError, OSError) as error:
            _log.warning("%s: %s", topic, error)

    def _wish(self, wish: Desired) -> None:
        if wish.time > self.now():
            self._floor, self._floor_at = float(wish.time), time.monotonic()
        known = self.state.v
        self.updating.happen(on.Wish(wish, random.random()))  # noqa: S311
        if self.state.v == known:
            self._report(always=True)  # it was sent again, so the cloud does not know
        elif wish.brokers:
            self.link.use(self._addresses(wish))

    def _addresses(self, wish: Desired | None) -> list[str]:
        named = self._brokers or (wish.brokers if wish else ())
        return list(dict.fromkeys((*named, *(() if self._brokers else self.identity.brokers))))

    def _connected(self, here: bool) -> None:
        _log.info("connected" if here else "not connected")
        self._flying = False
        if here:
            self._report(always=True)
            self._send_telemetry()

    def _here(self) -> None:
        self.link.send("state", b"here")
        self._report(always=True)

    # ---------------------------------------------------------------------------------- commands
    def _do_report(self, _command: Command) -> str:
        self._here()
        return "reported"

    def _do_revert(self, _command: Command) -> str:
        if not self.state.previous:
            raise FleetError("there is no previous model to go back to")
        self.updating.happen(on.Revert())
        return f"{self.state.state}: {self.state.model[:12]} answers"

    def _do_restart(self, _command: Command) -> str:
        self.restart = True
        self._once(1.0, self._end)  # after the result is on its way
        return "it restarts"

    def _do_probe(self, command: Command) -> str | None:
        if not self.state.slot:
            raise FleetError("no model answers that could be probed")
        if self.updating.busy:
            raise FleetError(f"the device is busy: {self.state.state}; ask again later")

        def heard(line: Mapping[str, Any]) -> None:
            failed = "error" in line
            text = line["error"] if failed else json.dumps(line["passed"])
            self.commands.answer(Result(command.id, "failed" if failed else "done", text))

        self.updating.errand(["probe", "check", "--slot", self.state.slot], heard)
        return None

    def _result(self, result: Result) -> None:
        self.link.send("result", result.to_bytes())

    # ---------------------------------------------------------------------------------- what is told
    def _report(self, *, always: bool = False) -> None:
        has = {**self._has, "dropped": self.telemetry.dropped, "federated": self.federating.said}
        now = reporting.reported(self.state, self.updating.trouble, self.settings.target, self._version, has)
        if now == self._said and not always:
            return
        said = self._said
        moves = said is not None and (now.v, now.state) == (said.v, said.state) and now.state not in ENDED
        if moves and not always and time.monotonic() < self._said_at + _PROGRESS_S:
            return
        if self.link.send("reported", now.to_bytes()):
            self._said, self._said_at = now, time.monotonic()

    def _beat(self) -> None:
        self.link.send(
            "beat", reporting.beat(self.store, self.now(), self._began, self.found).to_bytes(), qos=0
        )

    def _look(self) -> None:
        self.ledger.collect()
        lived = self.ledger.lived(self.state.model)
        if lived is not None:
            self.updating.happen(on.Lived(lived.n, lived.errors, lived.unloadable))
        self._report()  # what was held back

    def _stats(self) -> None:
        for each in self.ledger.stats():
            self.telemetry.put("stats", each.to_bytes())
        self._send_telemetry()

    def _send_telemetry(self) -> None:
        if self._flying or (oldest := self.telemetry.take()) is None:
            return
        kind, content = oldest
        self._flying = self.link.send(kind, content, done=lambda: self._calls.put(self._arrived))

    def _arrived(self) -> None:
        if self._flying:
            self._flying = False
            self.telemetry.done()
            self._send_telemetry()

    def _tend(self) -> None:
        self.found = self.conditions(self.federating.pids)
        wish = self.state.desired.federated if self.state.desired else None
        busy = "" if self.state.state in ENDED else "an update is at work"
        before = self.federating.said
        if self.federating.tend(wish, busy or self.found.spare) != before:
            _log.info("federated: %s", self.federating.said)
            self._report()

    def _renew(self) -> None:
        if self.now() < self.identity.renewal or self.updating.busy or not self.identity.ends:
            return

        def heard(line: Mapping[str, Any]) -> None:
            if "error" in line:
                _log.warning("the certificate could not be renewed: %s", line["error"])
                return
            self.identity = credential.load(self.store)
            _log.info("the certificate was renewed")
            self.link.use(self._addresses(self.state.desired))
            self.link.again()

        self.updating.errand(["errand", "renew"], heard, 120)


def _learnt(store: Path) -> float:
    """The latest time that the repository's metadata or the cloud has told, seconds since 1970."""
    try:
        return float(json.loads((store / TRUST / "time.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return 0.0
