"""The state machine on a device of dictionaries: what the shell does, without a disk, a network or a model."""

import hashlib
from dataclasses import dataclass, field

from edge_runtime.agent import events as on
from edge_runtime.agent import update
from edge_runtime.agent.standing import State
from edge_runtime.messages import Desired, Release, Shadow


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()


def release(name):
    return Release("kws", 1, f"kws/1/{name}.bundle", digest(name), 100)


def wish(v, name, **more):
    return Desired(v, None if name is None else release(name), **more)


@dataclass
class Device:
    """`bad` are models that fail their probes once they answer, `wrong` those that the shadow refuses."""

    bad: frozenset = frozenset()
    wrong: frozenset = frozenset()
    unfit: frozenset = frozenset()  # fail before the switch already
    online: bool = True
    tight: bool = False  # no room for three bundles
    now: float = 1e9
    state: State = field(default_factory=State)
    slots: dict = field(default_factory=lambda: {"a": "", "b": ""})
    link: str = ""
    kept: dict = field(default_factory=lambda: State().to_json())
    pending: object = None
    answered: list = field(default_factory=list)  # every model that ever answered

    def boot(self):
        self.pending = None
        self.state = State.from_json(self.kept)
        self.happen(on.Booted(self.link, self.slots["a"], self.slots["b"]))

    def happen(self, event):
        self.state, actions = update.step(self.state, event, self.now)
        self.kept = self.state.to_json()
        for action in actions:
            self.do(action)

    def do(self, action):
        if isinstance(action, on.Stop):
            self.pending = None
        elif isinstance(action, on.Install):
            assert action.slot != self.link, "a slot that answers is never written to"
            self.slots[action.slot] = action.release.sha256
            self.happen(on.Installed())
        elif isinstance(action, on.Switch):
            assert not action.slot or self.slots[action.slot], "it switches to something"
            self.link = action.slot
            self.answered.append(self.slots.get(action.slot, ""))
            self.happen(on.Switched(action.slot))
        else:
            if isinstance(action, on.Fetch) and self.tight:
                self.slots[self.state.spare] = ""
                self.happen(on.Emptied())
            assert self.pending is None
            self.pending = action

    def answer(self):
        """What the child at work would say."""
        action, self.pending = self.pending, None
        if isinstance(action, on.Fetch):
            self.happen(on.Fetched(100) if self.online else on.Broken("the network is away", again=True))
        elif isinstance(action, on.Evaluate):
            name = self.slots[action.new]
            right = 0 if name in self.wrong else 90
            seen = {"n": 100, "agree_ppm": 10_000 * right, "unlabelled": 0, "labelled": 100, "correct": right}
            self.happen(
                on.Shadowed({**seen, "old_correct": 90, "p95_us": 100, "old_p95_us": 100, "errors": 0})
            )
        elif isinstance(action, on.Check):
            name = self.slots[action.slot]
            fails = name in self.unfit or (name in self.bad and action.slot == self.link)
            self.happen(on.Checked("it is not healthy" if fails else ""))

    def advance(self):
        """One thing that happens next, if anything does."""
        if self.pending is not None:
            self.answer()
            return True
        when = update.due(self.state)
        if when is None:
            return False
        self.now = max(self.now, when)
        self.happen(on.Tick())
        return True

    def settle(self, most=200):
        for _ in range(most):
            if not self.advance():
                return self.state.state
        raise AssertionError(f"it never comes to an end: {self.state}")

    def model(self):
        return self.slots.get(self.link, "")


SHADOW = Shadow(samples=100, seconds=60, max_drop_ppm=20_000)
