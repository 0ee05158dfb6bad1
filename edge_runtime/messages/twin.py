"""The twin: what a device shall be (`Desired`), what it says it is (`Reported`), and commands beside it.

After the habit of AWS's device shadow: `Desired.v` only rises; a device ignores what is older than what it knows and
puts the `v` that it has carried out into what it reports; the cloud sends `Desired` again until both agree. So a
message that is lost, or comes twice, does no harm.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_runtime.messages.fields import Fields, dump

# The agent's states, in the order of an update; the last three are where it ends.
STATES = ("waiting", "fetching", "shadow", "switching", "probation", "running", "reverted", "failed")
ENDED = STATES[-3:]
POWER = ("mains", "charging", "battery", "unknown")


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a model for one target, as the signed metadata of the repository names it.

    `path` is the target path in the metadata, such as "kws/3/rpi4.bundle"; what is signed there decides, `sha256` and
    `bytes` only say which. `key` is the content key of a sealed bundle, wrapped for this device, in base64.
    """

    name: str
    version: int
    path: str
    sha256: str
    bytes: int
    key: str = ""

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Release":
        """From its object; raises FleetError."""
        get = Fields(value, "a release")
        return cls(
            get.name("name"),
            get.number("version", least=1),
            get.text("path", most=256),
            get.digest("sha256"),
            get.number("bytes", least=1),
            get.text("key", default=""),
        )


@dataclass(frozen=True, slots=True)
class Shadow:
    """When a new model may take over: run beside the old one on the device's own inputs, its output unused.

    Args:
        samples: how many inputs both see; 0 for no shadow.
        seconds: after which it ends with what there is, if `samples` have not come.
        min_agree_ppm: of a million answers, how many must be the old model's, where no label is known.
        max_drop_ppm: how much accuracy may fall, in millionths, on inputs whose label the device learns.
        max_slower_ppm: how much slower the new model's 95th percentile may be, in millionths of the old one's.
    """

    samples: int = 0
    seconds: int = 3600
    min_agree_ppm: int = 0
    max_drop_ppm: int = 1_000_000
    max_slower_ppm: int = 1_000_000_000

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Shadow":
        """From its object; raises FleetError."""
        get = Fields(value, "a shadow's limits")
        return cls(**{name: get.number(name, default=default) for name, default in asdict(cls()).items()})


@dataclass(frozen=True, slots=True)
class Desired:
    """What a device shall be.

    Args:
        v: the version of this wish; it only rises.
        model: what it shall run; None for nothing.
        rollout: which rollout wants it; "" for none.
        phase: the rollout's phase that the device is in.
        window: times of day in UTC between which it may switch; fetching is free.
        jitter_s: up to how many seconds, drawn at random, it waits before it fetches.
        max_kbps: kilobits a second that fetching may take; 0 for no limit.
        shadow: what the new model must show beside the old one before it takes over.
        probation_s: seconds after the switch in which a failing probe brings the old model back.
        probes: how often the health probe runs within the probation.
        federated: the federated run that it takes part in; None for none. "broker" (a URL, "" for the one of its
            site's gateway), "key" (the device's for the run) and "threads"; for a gateway also "devices", the keys
            of its site's, and "deadline_s".
        brokers: where to connect from now on, URLs; empty for no change.
        time: the cloud's clock, seconds since 1970; a device without one takes it as a lower bound.
    """

    v: int
    model: Release | None = None
    rollout: str = ""
    phase: int = 0
    window: tuple[str, str] | None = None
    jitter_s: int = 0
    max_kbps: int = 0
    shadow: Shadow = field(default_factory=Shadow)
    probation_s: int = 60
    probes: int = 3
    federated: Mapping[str, Any] | None = None
    brokers: tuple[str, ...] = ()
    time: int = 0

    def to_bytes(self) -> bytes:
        """The message."""
        return dump(self)

    @classmethod
    def read(cls, content: bytes | Mapping[str, Any]) -> "Desired":
        """From the message.

        Raises:
            FleetError: it is not one.
        """
        get = Fields(content, "desired")
        model, shadow = get.object("model"), get.object("shadow")
        return cls(
            v=get.number("v", least=1),
            model=None if model is None else Release.read(model),
            rollout=get.name("rollout", default=""),
            phase=get.number("phase", default=0),
            window=get.window("window"),
            jitter_s=get.number("jitter_s", default=0, most=604_800),
            max_kbps=get.number("max_kbps", default=0),
            shadow=Shadow() if shadow is None else Shadow.read(shadow),
            probation_s=get.number("probation_s", default=60, most=604_800),
            probes=get.number("probes", default=3, least=1, most=1000),
            federated=get.object("federated"),
            brokers=get.names("brokers"),
            time=get.number("time", default=0),
        )


@dataclass(frozen=True, slots=True)
class Reported:
    """What a device says it is.

    Args:
        v: the `Desired.v` that this answers; 0 before the first.
        state: one of `STATES`.
        model: SHA-256 of the bundle that answers now; "" for none.
        previous: SHA-256 of the one that it would go back to; "" for none.
        slot: "a" or "b", which of the two holds `model`; "" for none.
        error: why it failed or went back, one sentence; "" for nothing.
        progress_ppm: how much of the fetch is done, in millionths.
        fetched_bytes: bytes that this update moved over the network.
        target: the device's target, such as "rpi4".
        agent: version of the agent.
        capabilities: what the device has: cores, memory, engines, execution providers.
        shadow: what the shadow saw: n, agree_ppm, labelled, correct, old_correct, p95_us, old_p95_us; None for none.
    """

    v: int
    state: str
    model: str = ""
    previous: str = ""
    slot: str = ""
    error: str = ""
    progress_ppm: int = 0
    fetched_bytes: int = 0
    target: str = ""
    agent: str = ""
    capabilities: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """The message."""
        return dump(self)

    @classmethod
    def read(cls, content: bytes | Mapping[str, Any]) -> "Reported":
        """From the message.

        Raises:
            FleetError: it is not one.
        """
        get = Fields(content, "reported")
        return cls(
            v=get.number("v"),
            state=get.one_of("state", STATES),
            model=get.digest("model", optional=True),
            previous=get.digest("previous", optional=True),
            slot=get.one_of("slot", ("", "a", "b"), default=""),
            error=get.text("error", default=""),
            progress_ppm=get.number("progress_ppm", default=0, most=1_000_000),
            fetched_bytes=get.number("fetched_bytes", default=0),
            target=get.name("target", default=""),
            agent=get.text("agent", default="", most=64),
            capabilities=get.object("capabilities"),
            shadow=get.object("shadow"),
        )


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do now: `op` with `arguments`, not after `expires` (seconds since 1970).

    The ops: "report" (say everything again), "probe" (run the health probe), "revert" (back to the previous model),
    "logs" (the last lines), "restart" (the agent). A device does an `id` once, and answers again with what it kept.
    """

    id: str
    op: str
    expires: int
    arguments: Mapping[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """The message."""
        return dump(self)

    @classmethod
    def read(cls, content: bytes | Mapping[str, Any]) -> "Command":
        """From the message; raises FleetError."""
        get = Fields(content, "a command")
        return cls(get.name("id"), get.name("op"), get.number("expires"), get.object("arguments"))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command: `status` is "done", "failed", "expired" or "unknown", `text` what there is to read."""

    id: str
    status: str
    text: str = ""

    def to_bytes(self) -> bytes:
        """The message."""
        return dump(self)

    @classmethod
    def read(cls, content: bytes | Mapping[str, Any]) -> "Result":
        """From the message; raises FleetError."""
        get = Fields(content, "a result")
        status = get.one_of("status", ("done", "failed", "expired", "unknown"))
        return cls(get.name("id"), status, get.text("text", default="", most=32_768))
