"""Where the device stands, as it is written down before each step of an update."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edge_runtime.errors import FleetError
from edge_runtime.messages import STATES, Desired, Release
from edge_runtime.messages.fields import Fields

_NUMBERS = ("v", "tries", "boots", "passed", "fetched_bytes", "progress_ppm")


@dataclass(frozen=True, slots=True)
class State:
    """Where the device stands.

    Args:
        v: the version of the wish that is carried out.
        desired: that wish.
        next: one that came in the probation, which is ended first.
        state: one of `STATES`.
        slot: which one answers, "a", "b" or "".
        a: SHA-256 of what slot a holds, "" for nothing.
        b: of what slot b holds.
        good: of those that have passed their probation.
        since: when the state began, seconds since 1970.
        due: when something is to be done next.
        tries: fetches in a row that the network broke.
        boots: starts in the probation since the last passed probe.
        passed: probes passed in this probation, or, before the switch, 1 when the new model has been checked.
        busy: whether a check is running.
        error: why it failed or went back.
        progress_ppm: how much is fetched, in millionths.
        fetched_bytes: how much this update moved over the network.
        shadow: what the shadow saw.
    """

    v: int = 0
    desired: Desired | None = None
    next: Desired | None = None
    state: str = "waiting"
    slot: str = ""
    a: str = ""
    b: str = ""
    good: tuple[str, ...] = ()
    since: float = 0.0
    due: float = 0.0
    tries: int = 0
    boots: int = 0
    passed: int = 0
    busy: bool = False
    error: str = ""
    progress_ppm: int = 0
    fetched_bytes: int = 0
    shadow: Mapping[str, Any] | None = None

    @property
    def model(self) -> str:
        """SHA-256 of the model that answers; "" for none."""
        return self.held(self.slot)

    @property
    def spare(self) -> str:
        """The slot that does not answer."""
        return "b" if self.slot == "a" else "a"

    @property
    def previous(self) -> str:
        """SHA-256 of the model that it would go back to; "" for none."""
        other = self.held(self.spare)
        return other if other in self.good else ""

    @property
    def wanted(self) -> Release | None:
        """The model that the wish names."""
        return self.desired.model if self.desired else None

    def held(self, slot: str) -> str:
        """SHA-256 of what a slot holds."""
        return self.a if slot == "a" else self.b if slot == "b" else ""

    def holding(self, slot: str, sha256: str) -> "State":
        """The same with something else in the slot."""
        return replace(self, a=sha256) if slot == "a" else replace(self, b=sha256)

    def to_json(self) -> dict[str, Any]:
        """The form in which it is kept."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "State":
        """From that form.

        Raises:
            FleetError: it is not one.
        """
        if not isinstance(value, Mapping):
            raise FleetError("the agent's state is damaged: it is no object")
        get = Fields(value, "the agent's state")
        desired, later = get.object("desired"), get.object("next")
        try:
            numbers: dict[str, Any] = {name: get.number(name) for name in _NUMBERS}
            return cls(
                **numbers,
                desired=None if desired is None else Desired.read(desired),
                next=None if later is None else Desired.read(later),
                a=get.digest("a", optional=True),
                b=get.digest("b", optional=True),
                state=get.one_of("state", STATES),
                slot=get.one_of("slot", ("", "a", "b")),
                good=get.names("good"),
                since=float(value["since"]),
                due=float(value["due"]),
                error=get.text("error", most=4096),
                shadow=get.object("shadow"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FleetError(f"the agent's state is damaged: {error!r}") from error
