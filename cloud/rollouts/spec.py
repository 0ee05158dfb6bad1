"""What a rollout shall do: which release, to whom, in which phases, behind which gates.

A `Spec` is written in TOML or JSON; what is left out has a default that a careful operator would take::

    name = "kws-3"
    release = "kws"
    version = 3
    selector = "room=kitchen"
    phases = ["1 %", "10 %", { share = "50 %", soak_s = 3600 }, "100 %"]
    window = ["02:00", "04:00"]
    [gates]
    min_success = 0.98
    [shadow]
    samples = 200
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_runtime.errors import FleetError, InputError, hint
from edge_runtime.files import existing
from edge_runtime.messages.twin import Shadow

MILLION = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d{1,4})?)\s*%\s*")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_SOAK_S = 600


@dataclass(frozen=True, slots=True)
class Phase:
    """How many devices may have the release by the end of a phase, those of the phases before included.

    Args:
        share_ppm: of a million devices of each target, rounded up; 0 where `count` says it.
        count: devices over all targets, but at least one of each target.
        soak_s: seconds that nothing may go wrong, once all are done, before the next phase begins.
    """

    share_ppm: int = 0
    count: int = 0
    soak_s: int = _SOAK_S

    def __post_init__(self) -> None:
        if bool(self.share_ppm) == bool(self.count) or not 0 <= self.share_ppm <= MILLION or self.count < 0:
            raise InputError('a phase is a share above 0 % up to "100 %", or a count of devices such as 5')
        if not 0 <= self.soak_s <= 30 * 86_400:
            raise InputError(f"a phase's soak_s is {self.soak_s}; expected 0 to 2,592,000 seconds")

    @classmethod
    def read(cls, value: object, soak_s: int = _SOAK_S) -> "Phase":
        """From "10 %", 5, "5", or an object with `share` or `count`, and `soak_s`.

        >>> Phase.read("2.5 %").share_ppm, Phase.read(5).count
        (25000, 5)

        Raises:
            InputError: it is none of these.
        """
        if isinstance(value, Mapping):
            known(value, ("share", "share_ppm", "count", "soak_s"), "a phase")
            own = whole(value.get("soak_s", soak_s), "a phase's soak_s", 0, 30 * 86_400)
            if "share_ppm" in value:
                return (
                    cls(whole(value["share_ppm"], "a phase's share_ppm", 0, MILLION), 0, own)
                    if value["share_ppm"]
                    else cls(0, whole(value.get("count"), "a phase's count", 1), own)
                )
            return cls.read(value.get("share", value.get("count")), own)
        if type(value) is int and value > 0:
            return cls(count=value, soak_s=soak_s)
        if isinstance(value, str):
            if value.strip().isdigit() and int(value) > 0:
                return cls(count=int(value), soak_s=soak_s)
            percent = _PERCENT.fullmatch(value)
            if percent and 0 < float(percent[1]) <= 100:
                return cls(share_ppm=round(float(percent[1]) * 10_000), soak_s=soak_s)
        raise InputError(f'the phase {value!r}: expected a share such as "10 %" or a count such as 5')

    def __str__(self) -> str:
        if self.count:
            return f"{self.count} device{'s' if self.count > 1 else ''}"
        return f"{self.share_ppm / 10_000:g} %"

    def allowed(self, devices: Mapping[str, int]) -> dict[str, int]:
        """How many of each target may have the release, of so many devices of each.

        >>> Phase(share_ppm=10_000).allowed({"rpi4": 250, "x86-64": 3})
        {'rpi4': 3, 'x86-64': 1}
        >>> Phase(count=5).allowed({"rpi4": 300, "x86-64": 100, "esp": 1})
        {'esp': 1, 'rpi4': 3, 'x86-64': 1}
        """
        if self.count:
            return spread(self.count, devices)
        return {target: -(-n * self.share_ppm // MILLION) for target, n in sorted(devices.items())}


def spread(count: int, devices: Mapping[str, int]) -> dict[str, int]:
    """Share `count` among targets in proportion to their devices: at least one each, none more than it has.

    The largest remainder gets what is over, ties go by name, so that equal input gives an equal answer.
    """
    given = {target: min(n, 1) for target, n in sorted(devices.items())}
    left = min(count, sum(devices.values())) - sum(given.values())
    while left > 0:
        room = {
            target: devices[target] - given[target] for target in given if devices[target] > given[target]
        }
        total = sum(room.values())
        whole_part = {target: left * n // total for target, n in room.items()}
        if not any(whole_part.values()):
            for target in sorted(room, key=lambda each: (-room[each], each))[:left]:
                given[target] += 1
            break
        for target, more in whole_part.items():
            given[target] += more
            left -= more
    return given


@dataclass(frozen=True, slots=True)
class Gates:
    """What must hold, in the phase and over all devices told, for each target apart where it is measured.

    Args:
        min_success: share of devices that end with the new model running, from 0 to 1.
        max_failed: devices that may go back or fail; None for no count beside the share.
        min_agree: share of answers in the shadow that are the old model's.
        max_drop: how much accuracy may fall, from 0 to 1, where devices learn labels: in the shadow on the same
            inputs, and after the switch against the old model's labelled inputs.
        max_slower: 95th percentile of the latency against the old model's on the same devices, as a ratio.
        max_errors: share of inferences that may fail.
        max_drift: how far inputs and answers may be from the calibration data's, from 0 to 1.
        samples: with fewer samples than these a measured gate says nothing.
        needed: samples of shadow or labels that each phase must have before it ends; 0 asks for none.
    """

    min_success: float = 0.95
    max_failed: int | None = None
    min_agree: float = 0.8
    max_drop: float = 0.02
    max_slower: float = 1.5
    max_errors: float = 0.01
    max_drift: float = 1.0
    samples: int = 50
    needed: int = 0

    def __post_init__(self) -> None:
        for name in ("min_success", "min_agree", "max_drop", "max_errors", "max_drift"):
            if not 0 <= _real(getattr(self, name), f"gates.{name}") <= 1:
                raise InputError(f"gates.{name} is {getattr(self, name)!r}; expected a share from 0 to 1")
        if not 0 < _real(self.max_slower, "gates.max_slower") <= 1e6:
            raise InputError(f"gates.max_slower is {self.max_slower!r}; expected a ratio such as 1.5")
        if self.max_failed is not None:
            whole(self.max_failed, "gates.max_failed")
        whole(self.samples, "gates.samples", 1)
        whole(self.needed, "gates.needed")


_SHADOW = Shadow(
    samples=100, seconds=600, min_agree_ppm=800_000, max_drop_ppm=20_000, max_slower_ppm=1_000_000
)
_PHASES = tuple(Phase(share_ppm=share * 10_000) for share in (1, 10, 50, 100))


@dataclass(frozen=True, slots=True)
class Spec:
    """A rollout.

    Args:
        name: of the rollout.
        release: the model's name in the repository.
        version: which version of it.
        selector: which devices, as `cloud.fleet.selector` reads it; "" for all.
        phases: how it widens.
        gates: what must hold.
        shadow: what a device must see before it switches.
        quorum: share of a phase's reachable devices that must have ended, once `patience_s` is over.
        patience_s: seconds after the last device of a phase was told, after which it does not wait for all.
        window: times of day in UTC between which devices may switch; fetching is free.
        jitter_s: up to how long each device waits before it fetches.
        max_kbps: kilobits a second that fetching may take on each device; 0 for no limit.
        max_concurrent: devices that may be under way at one time; 0 for no limit.
        probation_s: seconds after the switch in which a failing probe brings the old model back.
        probes: how often the probe runs within the probation.
        automatic: whether a breach takes the release back by itself; else it pauses.
        follow: whether the rollout stays open after its last phase, for devices that come later.
        downgrade: whether devices with a later version of the release are taken too.
    """

    name: str
    release: str
    version: int
    selector: str = ""
    phases: tuple[Phase, ...] = _PHASES
    gates: Gates = field(default_factory=Gates)
    shadow: Shadow = _SHADOW
    quorum: float = 0.9
    patience_s: int = 3600
    window: tuple[str, str] | None = None
    jitter_s: int = 60
    max_kbps: int = 0
    max_concurrent: int = 0
    probation_s: int = 60
    probes: int = 3
    automatic: bool = True
    follow: bool = False
    downgrade: bool = False

    def __post_init__(self) -> None:
        for name in ("name", "release"):
            if not isinstance(getattr(self, name), str) or not _NAME.fullmatch(getattr(self, name)):
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; expected letters, digits, '.', '_' and '-', at most 64"
                )
        whole(self.version, "version", 1)
        if not self.phases:
            raise InputError('phases is empty; expected such as ["1 %", "100 %"]')
        shares = [phase.share_ppm for phase in self.phases if phase.share_ppm]
        counts = [phase.count for phase in self.phases if phase.count]
        if shares != sorted(shares) or counts != sorted(counts):
            raise InputError(
                f"phases are {', '.join(map(str, self.phases))}; each must be wider than the one before"
            )
        if not 0 < _real(self.quorum, "quorum") <= 1:
            raise InputError(f"quorum is {self.quorum!r}; expected a share above 0 up to 1")
        if self.window is not None and not (
            len(self.window) == 2
            and all(isinstance(each, str) and _TIME.fullmatch(each) for each in self.window)
        ):
            raise InputError('window: expected two times of day in UTC such as ["02:00", "04:00"]')
        for name, most in (("jitter_s", 604_800), ("probation_s", 604_800), ("patience_s", 365 * 86_400)):
            whole(getattr(self, name), name, 0, most)
        for name in ("max_kbps", "max_concurrent"):
            whole(getattr(self, name), name)
        whole(self.probes, "probes", 1, 1000)
        for name in ("automatic", "follow", "downgrade"):
            if type(getattr(self, name)) is not bool:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected true or false")
        if not isinstance(self.selector, str):
            raise InputError(f"selector is {self.selector!r}; expected such as 'target=rpi4,room=kitchen'")

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Spec":
        """From an object, as TOML and JSON give it.

        Raises:
            InputError: a key is unknown or missing, or a value is not what it should be.
        """
        known(value, [each.name for each in fields(cls)] + ["soak_s"], "a rollout")
        missing = [name for name in ("name", "release", "version") if name not in value]
        if missing:
            raise InputError(f"a rollout needs {' and '.join(missing)}")
        taken = {name: item for name, item in value.items() if name != "soak_s"}
        soak_s = whole(value.get("soak_s", _SOAK_S), "soak_s", 0, 30 * 86_400)
        phases = value.get("phases", [asdict(phase) | {"soak_s": soak_s} for phase in _PHASES])
        if not isinstance(phases, list | tuple):
            raise InputError('phases: expected a list such as ["1 %", "100 %"]')
        taken["phases"] = tuple(Phase.read(each, soak_s) for each in phases)
        if "gates" in value:
            known(_object(value["gates"], "gates"), [each.name for each in fields(Gates)], "gates")
            taken["gates"] = Gates(**value["gates"])
        if "shadow" in value:
            known(_object(value["shadow"], "shadow"), list(asdict(_SHADOW)), "shadow")
            try:
                taken["shadow"] = Shadow.read(asdict(_SHADOW) | dict(value["shadow"]))
            except FleetError as error:
                raise InputError(f"shadow: {error}") from error
        if value.get("window") is not None:
            if not isinstance(value["window"], list | tuple):
                raise InputError('window: expected two times of day in UTC such as ["02:00", "04:00"]')
            taken["window"] = tuple(value["window"])
        return cls(**taken)

    @classmethod
    def load(cls, path: str | Path) -> "Spec":
        """From a file, TOML or (by its suffix) JSON.

        Raises:
            InputError: it is not there, cannot be read, or is no rollout.
        """
        file = existing(path, "a rollout in TOML or JSON")
        try:
            content = file.read_text("utf-8")
            value = json.loads(content) if file.suffix == ".json" else tomllib.loads(content)
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: {error}") from error
        if not isinstance(value, dict):
            raise InputError(f"{file}: expected an object")
        return cls.read(value)

    def to_json(self) -> dict[str, Any]:
        """As an object that `read` takes."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


def known(value: Mapping[str, Any], names: "list[str] | tuple[str, ...]", what: str) -> None:
    """Raise InputError for a key that is not among the names."""
    for key in value:
        if key not in names:
            raise InputError(f"{what} has no {key!r}{hint(str(key), names)}; known are {', '.join(names)}")


def whole(value: object, name: str, least: int = 0, most: int = 1 << 53) -> int:
    """The value, if it is a whole number within the bounds; else InputError."""
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{name} is {value!r}; expected a whole number from {least} to {most}")
    return value


def _real(value: object, name: str) -> float:
    if type(value) not in (int, float):
        raise InputError(f"{name} is {value!r}; expected a number")
    return float(value)  # type: ignore[arg-type]


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name}: expected an object")
    return value
