"""The shell of the state machine (`update`): it writes a state down, does what that says, and tells what came of it.

A state is written down before anything is done about it; what cannot be written down is not done, but for the way back.
What is heavy, or may crash, a child does, one at a time (`worker`).
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_runtime.agent import durable, update
from edge_runtime.agent import events as on
from edge_runtime.agent.errand import INCOMING
from edge_runtime.agent.slots import Slots
from edge_runtime.agent.standing import State
from edge_runtime.agent.worker import Child
from edge_runtime.errors import FleetError

STATE = "state.json"
_log = logging.getLogger(__name__)
_STUCK_S = 30.0  # until what could not be written down is tried again
_MARGIN = 16 << 20  # bytes of disk that a fetch leaves free
_MODULE = "edge_runtime.agent"
_AGAIN = on.Wish | on.Tick | on.Progress | on.Seeing | on.Lived  # what comes again by itself


class Updating:
    """The update of one device. Every method is called from one thread; `call` brings others' calls there.

    Args:
        store: the agent's folder.
        probe_s: seconds that a probe may take.
        now: the time, seconds since 1970.
        call: puts a call into the queue of that thread.
        changed: told after each step, with the state before it.
    """

    def __init__(
        self,
        store: Path,
        probe_s: float,
        now: Callable[[], float],
        call: Callable[[Callable[[], None]], None],
        changed: Callable[[State], None],
    ) -> None:
        self.store, self._probe_s, self._now, self._call, self._changed = store, probe_s, now, call, changed
        self.slots, self.state, self.trouble = Slots(store), State(), ""
        self._child: Child | None = None
        self._child_ends = 0.0
        self._answered = False
        self._stuck: tuple[float, list[on.Event]] | None = None

    @property
    def busy(self) -> bool:
        """Whether a child is at work."""
        return self._child is not None and not self._answered

    def boot(self) -> None:
        """Find the place again."""
        try:
            self.state = State.from_json(json.loads((self.store / STATE).read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, FleetError) as error:
            _log.warning(
                "what was written down is damaged, and is made anew of what the slots hold: %s", error
            )
        self.happen(on.Booted(self.slots.current(), *(self.slots.sound(slot) for slot in ("a", "b"))))

    def due(self) -> float | None:
        """When `tend` is to be called next, by the monotonic clock; None if nothing is to be waited for."""
        now, wanted = time.monotonic(), update.due(self.state)
        times = [self._child_ends] if self._child_ends else []
        if self._stuck:
            times.append(self._stuck[0])
        elif wanted is not None:
            times.append(now + max(wanted - self._now(), 0.0))
        return min(times) if times else None

    def tend(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self._child is not None and self._child_ends and now >= self._child_ends:
            self._child_ends = 0.0
            self._child.expire()
        if self._stuck:
            if now >= self._stuck[0]:
                _, events = self._stuck
                self._stuck = None
                for event in events:
                    self.happen(event)
            return
        wanted = update.due(self.state)
        if wanted is not None and self._now() >= wanted:
            self.happen(on.Tick())

    def happen(self, event: on.Event) -> None:
        """Tell the state machine, write down where that leads, and do what it says."""
        if self._stuck:
            if not isinstance(event, _AGAIN):
                self._stuck[1].append(event)
            return
        before = self.state
        state, actions = update.step(before, event, self._now())
        written = state == before or isinstance(event, on.Progress | on.Seeing) or self._keep(state)
        # The way back, which a start may be too, does not wait for room on the disk.
        if not written and state.state != "reverted" and not isinstance(event, on.Booted):
            self._stuck = (time.monotonic() + _STUCK_S, [event])
            self._changed(before)
            return
        if state.state != before.state:
            _log.info("%s%s", state.state, f": {state.error}" if state.error else "")
        self.state = state
        for action in actions:
            self._do(action)
        self._changed(before)

    def end(self) -> None:
        """End the child."""
        self._stop_child()

    def errand(
        self, words: list[str], heard: Callable[[Mapping[str, Any]], None], seconds: float = 0.0
    ) -> None:
        """Have a child do something beside the update, when none is `busy`; `heard` gets its one line."""

        def once(line: Mapping[str, Any]) -> None:
            self._answered = True
            heard(line)

        self._begin(words, once, seconds or self._probe_s)

    def _keep(self, state: State) -> bool:
        try:
            durable.write(self.store / STATE, json.dumps(state.to_json()).encode())
        except OSError as error:
            self.trouble = (
                f"nothing can be written down: {error.strerror}; an update waits until there is room"
            )
            _log.warning("%s", self.trouble)
            return False
        self.trouble = ""
        return True

    def _do(self, action: on.Action) -> None:
        if isinstance(action, on.Stop):
            self._stop_child()
        elif isinstance(action, on.Fetch):
            release = action.release
            self._make_room(release.bytes)
            words = ["errand", "fetch", "--path", release.path, "--sha256", release.sha256]
            words += (
                ["--key", release.key] if release.key else []
            )  # wrapped: no secret without the device's own
            self._begin(
                [*words, "--max-kbps", str(action.max_kbps), "--time", str(self._now())], self._fetching
            )
        elif isinstance(action, on.Install):
            self._install(action)
        elif isinstance(action, on.Evaluate):
            words = ["probe", "shadow", "--slot", action.new, "--beside", action.old]
            words += ["--samples", str(action.samples), "--seconds", str(action.seconds)]
            self._begin(words, self._shadowing, action.seconds + self._probe_s)
        elif isinstance(action, on.Check):
            words = ["probe", "check", "--slot", action.slot, "--max-slower-ppm", str(action.max_slower_ppm)]
            words += ["--beside", action.beside] if action.beside else []
            self._begin(words, self._checking, self._probe_s)
        else:
            self._switch(action.slot)

    def _make_room(self, length: int) -> None:
        """Give up the previous model where the disk has no room for a third one; what answers stays."""
        spare = self.state.spare
        try:
            if not self.state.held(spare) or shutil.disk_usage(self.store).free >= length + _MARGIN:
                return
            self.slots.empty(spare)
        except OSError as error:
            _log.warning("slot %s could not be emptied: %s", spare, error)
            return
        _log.info("slot %s was emptied, for the disk has no room for three bundles", spare)
        self.happen(on.Emptied())

    def _install(self, action: on.Install) -> None:
        sha256 = action.release.sha256
        try:
            self.slots.install(
                action.slot, self.store / INCOMING / sha256 / f"{sha256}.bundle", action.release
            )
        except (OSError, FleetError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self.happen(on.Broken(f"the bundle could not be put into slot {action.slot}: {why}"))
            return
        shutil.rmtree(self.store / INCOMING, ignore_errors=True)
        self.happen(on.Installed())

    def _switch(self, slot: str) -> None:
        try:
            self.slots.switch(slot)
        except OSError as error:
            self.happen(on.Broken(f"the switch to slot {slot or 'none'} failed: {error.strerror}"))
            return
        self.happen(on.Switched(slot))

    # ---------------------------------------------------------------------------------- children
    def _begin(
        self, words: list[str], heard: Callable[[Mapping[str, Any]], None], seconds: float = 0.0
    ) -> None:
        """Have a child do it; `heard` is told each of its lines, and ``{"error": ...}`` if it ends otherwise."""
        self._stop_child()
        module, *rest = words

        def call(line: Mapping[str, Any]) -> None:
            self._call(lambda: heard(line) if self._child is child else None)

        def ended(why: str) -> None:
            self._call(lambda: self._child_ended(heard, why) if self._child is child else None)

        self._answered = False
        child = Child([f"{_MODULE}.{module}", *rest, "--store", str(self.store)], call, ended)
        self._child, self._child_ends = child, time.monotonic() + seconds if seconds else 0.0

    def _child_ended(self, heard: Callable[[Mapping[str, Any]], None], why: str) -> None:
        answered, self._child, self._child_ends = self._answered, None, 0.0
        if not answered:
            heard({"error": why or "its process said nothing", "again": True})

    def _stop_child(self) -> None:
        child, self._child, self._child_ends = self._child, None, 0.0
        if child is not None:
            child.stop()

    def _fetching(self, line: Mapping[str, Any]) -> None:
        if "error" in line:
            self._answered = True
            error = f"the bundle could not be fetched: {line['error']}"
            self.happen(on.Broken(error, bool(line.get("again")), self.state.fetched_bytes))
        elif "path" in line:
            self._answered = True
            self.happen(on.Fetched(int(line["moved"])))
        elif "ppm" in line:
            self.happen(on.Progress(int(line["moved"]), int(line["ppm"])))

    def _shadowing(self, line: Mapping[str, Any]) -> None:
        if "seeing" in line:
            self.happen(on.Seeing(line["seeing"]))
            return
        self._answered = True
        if "seen" in line:
            self.happen(on.Shadowed(line["seen"]))
        else:
            self.happen(on.Broken(f"the new model did not pass the shadow: {line.get('error')}"))

    def _checking(self, line: Mapping[str, Any]) -> None:
        self._answered = True
        self.happen(on.Checked(f"the health probe failed: {line['error']}" if "error" in line else ""))
