"""What a rollout sees of the fleet: counts by target and phase, and what its devices measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Count:
    """Devices that were told in one phase.

    Args:
        told: all of them, as far as nobody else has told them something since.
        done: they run the release.
        failed: they went back, failed, or run something else although they answered.
        away: of the others, those that are not connected.
    """

    told: int = 0
    done: int = 0
    failed: int = 0
    away: int = 0

    @property
    def pending(self) -> int:
        """Neither done nor failed, whether connected or not."""
        return self.told - self.done - self.failed

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.told + other.told, self.done + other.done, self.failed + other.failed, self.away + other.away
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the devices of one target measured; a share is None where nothing was.

    Args:
        shadow: inputs that old and new model both saw.
        agree: share of those where they agreed.
        labelled: inputs whose label was learnt, in the shadow or after the switch.
        drop: by how much accuracy fell, from -1 to 1.
        slower: 95th percentile of the latency, as a ratio to the old model's.
        inferences: after the switch.
        errors: share of those that failed.
        drift: from 0 to 1.
    """

    shadow: int = 0
    agree: float | None = None
    labelled: int = 0
    drop: float | None = None
    slower: float | None = None
    inferences: int = 0
    errors: float | None = None
    drift: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A moment of the fleet.

    Args:
        waiting: by target, devices that are selected, have a variant, and were not told yet.
        told: by target and phase.
        evidence: by target.
        held: devices that it is for, but that a rollout which was made earlier has not finished with.
        last_told: when the last device was told, seconds since 1970; 0 for never.
        gone: why the release must not be given out any more, one sentence; "" for no reason.
    """

    waiting: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[str, Mapping[int, Count]] = field(default_factory=dict)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    held: int = 0
    last_told: float = 0.0
    gone: str = ""

    def devices(self) -> dict[str, int]:
        """By target, all whom the rollout is for: told or waiting."""
        targets = sorted({*self.waiting, *self.told})
        return {target: self.waiting.get(target, 0) + self.of_target(target).told for target in targets}

    def of_target(self, target: str) -> Count:
        """A target's devices over all phases."""
        return sum(self.told.get(target, {}).values(), Count())

    def of_phase(self, phase: int) -> Count:
        """A phase's devices over all targets."""
        return sum((phases.get(phase, Count()) for phases in self.told.values()), Count())

    def all(self) -> Count:
        """All that were told."""
        return sum((self.of_target(target) for target in self.told), Count())
