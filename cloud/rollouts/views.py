"""What there is to see of a rollout: itself, its plan before it begins, and its progress."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cloud.rollouts.picture import Picture
from cloud.rollouts.spec import Spec


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout as the database has it; times are seconds since 1970.

    `state` is "draft", "running", "paused", "finished", "aborted" or "rolled-back"; `ended` is set when nothing is
    left to do: with the last two, when every device has been given back what it had. `phase` counts from 0.
    """

    name: str
    spec: Spec
    state: str
    phase: int
    phase_began: float
    settled: float | None
    reason: str
    created: float
    ended: float | None

    def to_json(self) -> dict[str, Any]:
        """As an object."""
        return asdict(self) | {
            "spec": self.spec.to_json(),
            "phases": [str(each) for each in self.spec.phases],
        }


@dataclass(frozen=True, slots=True)
class PlannedPhase:
    """A phase before it begins: how many devices have the release at its end, by target and in all."""

    text: str
    targets: Mapping[str, int]
    devices: int
    soak_s: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rollout would do.

    Args:
        spec: the rollout.
        targets: devices that it is for, by target.
        phases: how it would widen.
        canaries: who would be told first, by target.
        left_out: targets that the release has no bundle for: how many devices, and the first's name.
        paths: of the bundle that each target gets.
        bytes: what all devices fetch together where no patch applies.
    """

    spec: Spec
    targets: Mapping[str, int]
    phases: tuple[PlannedPhase, ...]
    canaries: Mapping[str, list[str]]
    left_out: Mapping[str, tuple[int, str]]
    paths: Mapping[str, str]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """As an object."""
        return {
            "spec": self.spec.to_json(),
            "devices": sum(self.targets.values()),
            "targets": dict(self.targets),
            "phases": [asdict(phase) for phase in self.phases],
            "canaries": dict(self.canaries),
            "left_out": left_out(self.left_out),
            "paths": dict(self.paths),
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout is.

    Args:
        rollout: itself.
        picture: the fleet as it sees it.
        allowed: how many devices of each target may have the release in this phase.
        left_out: as in `Plan`.
        returned: devices that were given back what they had, or told something else since.
        answered: those of them that say they have done it.
    """

    rollout: Rollout
    picture: Picture
    allowed: Mapping[str, int]
    left_out: Mapping[str, tuple[int, str]]
    returned: int = 0
    answered: int = 0

    def to_json(self) -> dict[str, Any]:
        """As an object; `devices`, `told`, `done`, `failed`, `pending`, `away` are sums of those by target."""
        devices = self.picture.devices()
        total = self.picture.all()
        targets = {
            target: {"devices": n, "allowed": self.allowed.get(target, 0)}
            | count_json(self.picture.of_target(target))
            for target, n in devices.items()
        }
        phases = [
            {"phase": number, "text": str(phase), "soak_s": phase.soak_s}
            | count_json(self.picture.of_phase(number))
            for number, phase in enumerate(self.rollout.spec.phases)
        ]
        return self.rollout.to_json() | {
            "devices": sum(devices.values()),
            **count_json(total),
            "allowed": sum(self.allowed.values()),
            "returned": self.returned,
            "answered": self.answered,
            "targets": targets,
            "by_phase": phases,
            "evidence": {target: asdict(found) for target, found in self.picture.evidence.items()},
            "left_out": left_out(self.left_out),
        }


def count_json(count: Any) -> dict[str, int]:
    """A count as an object."""
    return {"told": count.told, "done": count.done, "failed": count.failed, "pending": count.pending,
            "away": count.away}  # fmt: skip


def left_out(found: Mapping[str, tuple[int, str]]) -> dict[str, dict[str, Any]]:
    """Devices without a bundle, as an object."""
    return {target: {"devices": n, "first": name} for target, (n, name) in found.items()}
