"""What happens to an update (`Event`), and what is to be done about it (`Action`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.messages import Desired, Release


@dataclass(frozen=True, slots=True)
class Booted:
    """The agent has started: which slot answers, and what is sound in each (SHA-256, or "")."""

    slot: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Wish:
    """The cloud's wish came; `draw`, from 0 to 1, is the share of the jitter that this device waits."""

    desired: Desired
    draw: float = 0.0


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The fetch goes on: bytes moved so far, and millionths of the whole."""

    moved: int
    ppm: int


@dataclass(frozen=True, slots=True)
class Emptied:
    """The spare slot was emptied, for the disk has no room for three bundles."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bundle lies there, checked; `moved` bytes came over the network."""

    moved: int


@dataclass(frozen=True, slots=True)
class Installed:
    """The bundle is in the spare slot."""


@dataclass(frozen=True, slots=True)
class Broken:
    """What was asked for could not be done; `again` says whether it may work later, as when the network is away."""

    error: str
    again: bool = False
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The new model ran beside the old one: what was seen, as `Reported.shadow` has it."""

    seen: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seeing:
    """What the shadow has seen so far."""

    seen: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """A health probe has ended: `error` is "" if it was passed."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class Switched:
    """The link points to this slot now."""

    slot: str


@dataclass(frozen=True, slots=True)
class Lived:
    """What applications saw of the model that answers, since it does: inferences, and how many failed."""

    n: int
    errors: int
    unloadable: str = ""


@dataclass(frozen=True, slots=True)
class Revert:
    """Somebody wants the previous model back."""


Event = (
    Booted
    | Wish
    | Tick
    | Progress
    | Emptied
    | Fetched
    | Installed
    | Broken
    | Seeing
    | Shadowed
    | Checked
    | Switched
    | Lived
    | Revert
)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch the release."""

    release: Release
    max_kbps: int


@dataclass(frozen=True, slots=True)
class Install:
    """Put what was fetched into the slot."""

    slot: str
    release: Release


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Run the new slot's model beside the old one's."""

    new: str
    old: str
    samples: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Check:
    """Probe the slot's model; `beside` names another whose latency bounds it, "" for none."""

    slot: str
    beside: str
    max_slower_ppm: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Let the slot answer; "" lets none."""

    slot: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End what is being fetched, evaluated or checked."""


Action = Fetch | Install | Evaluate | Check | Switch | Stop
