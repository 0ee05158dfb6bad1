"""The update as a state machine, pure: `step(state, event, now)` gives the next state and what is to be done.

The states are those of `messages.STATES`. The shell (`agent`) writes the state down before it does what the actions
say, and tells what came of it as the next event; `Booted` finds its place again after a power cut::

    waiting ─► fetching ─► shadow ─► switching ─► probation ─► running
       ▲           │          │          │             │
       └─ wish     └──────────┴──────────┴─► failed    └─► reverted
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edge_runtime.agent.events import (
    Action,
    Booted,
    Broken,
    Check,
    Checked,
    Emptied,
    Evaluate,
    Event,
    Fetch,
    Fetched,
    Install,
    Installed,
    Lived,
    Progress,
    Revert,
    Seeing,
    Shadowed,
    Stop,
    Switch,
    Switched,
    Tick,
    Wish,
)
from edge_runtime.agent.judging import refused
from edge_runtime.agent.standing import State
from edge_runtime.messages import Desired
from edge_runtime.messages.twin import ENDED

BOOTS = 3  # starts without a passed probe between them, after which the old model comes back
RETRY_S = (5.0, 3600.0)  # the first wait after the network broke a fetch, doubled up to the last
LOOK_S = 30.0  # until a window, or a disk that was full, is looked at again
_UNBOUND = 1_000_000_000  # the limit on slowness that is none

Outcome = tuple[State, tuple[Action, ...]]


def step(state: State, event: Event, now: float) -> Outcome:
    """The next state, and what is to be done in this order once it is written down."""
    return _STEPS[type(event)](state, event, now)


def due(state: State) -> float | None:
    """When the next `Tick` is needed, seconds since 1970; None where only an event goes on."""
    if state.busy:
        return None
    if _astray(state) or (state.state in ("waiting", "fetching", "switching", "probation") and state.wanted):
        return state.due
    return None


def _enter(state: State, name: str, now: float, **changes: Any) -> State:
    return replace(state, state=name, since=now, due=now, busy=False, **changes)


def _astray(state: State) -> bool:
    """Whether something answers that has failed, or never passed: the way back was not gone to its end."""
    return (
        bool(state.slot) and state.model not in state.good and state.state not in ("switching", "probation")
    )


# ------------------------------------------------------------------------------------------ wishes
def _wish(state: State, event: Wish, now: float) -> Outcome:
    wish = event.desired
    if wish.v <= max(state.v, state.next.v if state.next else 0):
        return state, ()
    wanted = wish.model.sha256 if wish.model else ""
    if state.state == "probation" and wanted and wanted not in (state.model, state.previous):
        return replace(state, next=wish), ()  # at once, it would overwrite the last good model
    return _begin(state, wish, event.draw, now)


def _begin(state: State, wish: Desired, draw: float, now: float) -> Outcome:
    """Set about a wish."""
    wanted = wish.model.sha256 if wish.model else ""
    known = replace(state, v=wish.v, desired=wish, next=None)
    if _underway(state, wish):
        return known, ()
    fresh = replace(
        known, error="", shadow=None, progress_ppm=0, fetched_bytes=0, tries=0, boots=0, passed=0, busy=False
    )
    if wanted == state.model:  # also nothing, where nothing is wanted
        return _enter(fresh, "running", now), (Stop(),)
    if not wanted:
        return _enter(fresh, "switching", now, good=()), (Stop(), Switch(""))
    if wanted == state.previous:  # it has answered before
        return _enter(fresh, "switching", now, passed=1), (Stop(),)
    waits = _enter(fresh, "waiting", now)
    if wanted != state.held(state.spare):
        waits = replace(waits, due=now + draw * wish.jitter_s)
    return waits, (Stop(),)


def _underway(state: State, wish: Desired) -> bool:
    """Whether the wish is for what is being done already."""
    before = state.desired
    if before is None or before.model is None or wish.model is None:
        return False
    if before.model.sha256 != wish.model.sha256:
        return False
    if state.state == "shadow":
        return before.shadow == wish.shadow
    return state.state in ("waiting", "fetching", "switching", "probation")


# ------------------------------------------------------------------------------------------ time
def _tick(state: State, _event: Tick, now: float) -> Outcome:
    if state.busy or now < state.due:
        return state, ()
    if _astray(state):
        return replace(state, due=now + LOOK_S), (Switch(state.spare if state.previous else ""),)
    wish = state.desired
    if wish is None or wish.model is None:
        return state, ()
    if state.state in ("waiting", "fetching"):
        if state.held(state.spare) == wish.model.sha256:
            return _installed(_enter(state, "fetching", now), Installed(), now)
        return replace(_enter(state, "fetching", now), busy=True), (Fetch(wish.model, wish.max_kbps),)
    if state.state == "switching":
        return _switch(state, wish, now)
    if state.state == "probation":
        if state.passed < wish.probes:
            return replace(state, busy=True), (_check(state, state.slot, state.spare),)
        return _commit(state, now)
    return state, ()


def _switch(state: State, wish: Desired, now: float) -> Outcome:
    """Check what has not been checked, and switch when the window is open; the way back is always open."""
    if not state.passed:
        return replace(state, busy=True), (_check(state, state.spare, state.slot),)
    if not state.previous and not within(wish.window, now):
        return replace(state, due=now + LOOK_S), ()
    return replace(state, due=now + LOOK_S), (Switch(state.spare),)


def _check(state: State, slot: str, beside: str) -> Check:
    limit = state.desired.shadow.max_slower_ppm if state.desired else _UNBOUND
    bound = limit < _UNBOUND and state.held(beside) in state.good
    return Check(slot, beside if bound else "", limit)


def within(window: tuple[str, str] | None, now: float) -> bool:
    """Whether `now`, seconds since 1970, is in a window of two times of day in UTC; one that wraps passes midnight.

    >>> within(("23:00", "01:00"), 86400.0), within(("02:00", "04:00"), 86400.0)
    (True, False)
    """
    if window is None:
        return True
    minute = int(now) % 86_400 // 60
    begin, end = (60 * int(each[:2]) + int(each[3:]) for each in window)
    return begin <= minute < end if begin < end else minute >= begin or minute < end


# ------------------------------------------------------------------------------------------ fetching and the shadow
def _progress(state: State, event: Progress, _now: float) -> Outcome:
    if state.state != "fetching":
        return state, ()
    return replace(state, progress_ppm=min(event.ppm, 1_000_000), fetched_bytes=event.moved), ()


def _emptied(state: State, _event: Emptied, _now: float) -> Outcome:
    lost = state.held(state.spare)
    good = tuple(each for each in state.good if each != lost or each == state.model)
    return replace(state, good=good).holding(state.spare, ""), ()


def _fetched(state: State, event: Fetched, now: float) -> Outcome:
    if state.state != "fetching" or state.wanted is None:
        return state, ()
    empty, _ = _emptied(state, Emptied(), now)  # the installation overwrites what is there
    done = replace(empty, tries=0, progress_ppm=1_000_000, fetched_bytes=event.moved, error="", since=now)
    return done, (Install(state.spare, state.wanted),)


def _installed(state: State, _event: Installed, now: float) -> Outcome:
    if state.state != "fetching" or state.wanted is None or state.desired is None:
        return state, ()
    filled = state.holding(state.spare, state.wanted.sha256)
    limits = state.desired.shadow
    if limits.samples and state.model:
        shadowing = replace(_enter(filled, "shadow", now), busy=True)
        return shadowing, (Evaluate(state.spare, state.slot, limits.samples, limits.seconds),)
    return _enter(filled, "switching", now, passed=0), ()


def _seeing(state: State, event: Seeing, _now: float) -> Outcome:
    return (replace(state, shadow=dict(event.seen)), ()) if state.state == "shadow" else (state, ())


def _shadowed(state: State, event: Shadowed, now: float) -> Outcome:
    if state.state != "shadow" or state.desired is None:
        return state, ()
    seen = replace(state, shadow=dict(event.seen))
    if why := refused(state.desired.shadow, event.seen):
        return _fail(seen, why, now)
    return _enter(seen, "switching", now, passed=1), ()


def _broken(state: State, event: Broken, now: float) -> Outcome:
    if state.state in ENDED or state.state == "probation":
        return state, ()
    moved = replace(state, fetched_bytes=max(state.fetched_bytes, event.moved))
    if event.again and state.state == "fetching":
        wait = min(RETRY_S[0] * 2**state.tries, RETRY_S[1])
        tries = min(state.tries + 1, 20)
        return replace(moved, busy=False, tries=tries, due=now + wait, error=event.error), ()
    return _fail(moved, event.error, now)


def _fail(state: State, why: str, now: float) -> Outcome:
    return _enter(state, "failed", now, error=why, passed=0), ()


# ------------------------------------------------------------------------------------------ the switch and after
def _switched(state: State, event: Switched, now: float) -> Outcome:
    moved = replace(state, slot=event.slot)
    if state.state != "switching":
        return moved, ()
    if state.wanted is None or moved.model in state.good:
        return _enter(moved, "running", now, passed=0), ()
    return _enter(moved, "probation", now, passed=0, boots=0), ()


def _checked(state: State, event: Checked, now: float) -> Outcome:
    wish = state.desired
    if wish is None or not state.busy:
        return state, ()
    free = replace(state, busy=False, due=now)
    if state.state == "switching":
        return _fail(free, event.error, now) if event.error else (replace(free, passed=1), ())
    if state.state != "probation":
        return free, ()
    if event.error:
        return _back(free, event.error, now)
    passed = state.passed + 1
    share = 1.0 if passed >= wish.probes else passed / (wish.probes - 1)  # the last one stands at the end
    again = state.since + wish.probation_s * (share if wish.probes > 1 else 1.0)
    return replace(free, passed=passed, boots=0, due=again), ()


def _lived(state: State, event: Lived, now: float) -> Outcome:
    if state.state != "probation":
        return state, ()
    if event.unloadable:
        return _back(state, f"an application could not load the new model: {event.unloadable}", now)
    if event.errors >= 3 and 10 * event.errors >= event.n:
        why = f"the new model failed in {event.errors} of {event.n} inferences of applications"
        return _back(state, why, now)
    return state, ()


def _commit(state: State, now: float) -> Outcome:
    """The new model has passed; what came meanwhile is next."""
    good = tuple(dict.fromkeys((*state.good, state.model)))
    done = _enter(state, "running", now, good=good, error="", passed=0)
    return _begin(done, done.next, 0.0, now) if done.next else (done, ())


def _back(state: State, why: str, now: float) -> Outcome:
    """To the last good model; where there is none, to no model."""
    there = state.spare if state.previous else ""
    good = tuple(each for each in state.good if each != state.model)
    gone = _enter(state, "reverted", now, error=why, good=good, passed=0)
    if not state.next:
        return gone, (Stop(), Switch(there))
    begun, actions = _begin(replace(gone, slot=there), state.next, 0.0, now)
    return begun, (Stop(), Switch(there), *actions)


def _revert(state: State, _event: Revert, now: float) -> Outcome:
    if not state.previous:
        return state, ()
    return _back(replace(state, next=None), "it was told to go back to the previous model", now)


# ------------------------------------------------------------------------------------------ after a start
def _booted(state: State, event: Booted, now: float) -> Outcome:
    """Believe what is on the disk, and go on from there."""
    sound = {event.a, event.b} - {""}
    found = replace(state, slot=event.slot, a=event.a, b=event.b, busy=False)
    found = replace(found, good=tuple(each for each in state.good if each in sound))
    if event.slot and not found.model:
        return _rescue(found, now)
    if state.desired is None and found.model:  # what was written down is lost
        return replace(_enter(found, "running", now), good=(found.model,)), ()
    step = _BOOTS.get(state.state)
    return step(found, state, now) if step else (replace(found, due=now), ())


def _rescue(state: State, now: float) -> Outcome:
    """What answers is damaged: the other slot, if its model is good; else fetch it again."""
    why = f"slot {state.slot} was damaged on the disk"
    if state.previous:
        said = f"{why}; the previous model answers"
        return _enter(state, "reverted", now, error=said), (Switch(state.spare),)
    name = "waiting" if state.wanted else "failed"
    return _enter(state, name, now, error=f"{why}, and there is no other"), (Switch(""),)


def _boot_waiting(found: State, _was: State, now: float) -> Outcome:
    later = found.due if found.state == "waiting" else now
    # A clock that was set back while it was away must not make it wait for ever.
    jitter = found.desired.jitter_s if found.desired else 0
    return replace(_enter(found, "waiting", now), due=min(max(later, now), now + jitter)), ()


def _boot_switching(found: State, was: State, now: float) -> Outcome:
    if found.wanted is None:
        return (found, (Switch(""),)) if found.slot else _switched(found, Switched(""), now)
    if found.model == found.wanted.sha256:
        return _switched(found, Switched(found.slot), now)
    if found.held(found.spare) != found.wanted.sha256:
        return _boot_waiting(found, was, now)
    return replace(found, due=now), ()


def _boot_probation(found: State, was: State, now: float) -> Outcome:
    if found.wanted is None or found.model != found.wanted.sha256:
        return _boot_waiting(found, was, now)
    boots = was.boots + 1
    if boots >= BOOTS:
        return _back(found, f"the device started {boots} times without passing a probe of the new model", now)
    # The clock may have jumped: the probation is never longer than it was meant to be from here on.
    since = min(found.since, now)
    return replace(
        found, boots=boots, since=since, due=now if found.passed < _probes(found) else found.due
    ), ()


def _probes(state: State) -> int:
    return state.desired.probes if state.desired else 0


_BOOTS: dict[str, Callable[[State, State, float], Outcome]] = {
    "waiting": _boot_waiting,
    "fetching": _boot_waiting,
    "shadow": _boot_waiting,
    "switching": _boot_switching,
    "probation": _boot_probation,
}
_STEPS: dict[type, Callable[[State, Any, float], Outcome]] = {
    Booted: _booted,
    Wish: _wish,
    Tick: _tick,
    Progress: _progress,
    Emptied: _emptied,
    Fetched: _fetched,
    Installed: _installed,
    Broken: _broken,
    Seeing: _seeing,
    Shadowed: _shadowed,
    Checked: _checked,
    Switched: _switched,
    Lived: _lived,
    Revert: _revert,
}
