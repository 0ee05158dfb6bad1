"""What a device tells without being asked: that it lives (`Beat`), and how its model does (`Stats`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_runtime.messages.fields import Fields, dump
from edge_runtime.messages.twin import POWER


@dataclass(frozen=True, slots=True)
class Beat:
    """That the device lives.

    Args:
        time: its clock, seconds since 1970.
        up_s: seconds since the agent began.
        power: one of "mains", "charging", "battery", "unknown".
        idle: whether nothing else needs the processor; None where it does not know.
        metered: whether bytes cost money; None where it does not know.
        free_mb: free disk in megabytes.
        temperature_c: of the processor; None where it cannot be read.
    """

    time: int
    up_s: int
    power: str = "unknown"
    idle: bool | None = None
    metered: bool | None = None
    free_mb: int = 0
    temperature_c: float | None = None

    def to_bytes(self) -> bytes:
        """The message."""
        return dump(self)

    @classmethod
    def read(cls, content: bytes | Mapping[str, Any]) -> "Beat":
        """From the message; raises FleetError."""
        get = Fields(content, "a beat")
        return cls(
            get.number("time"),
            get.number("up_s", default=0),
            get.one_of("power", POWER, default="unknown"),
            get.flag("idle"),
            get.flag("metered"),
            get.number("free_mb", default=0),
            get.real("temperature_c"),
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """How a model did between two times, seconds since 1970.

    Args:
        model: SHA-256 of its bundle.
        begin: from when.
        end: until when.
        n: inferences.
        errors: how many of them failed.
        p50_us: median of the latency, microseconds.
        p95_us: 95th percentile.
        p99_us: 99th percentile.
        labelled: inputs whose true answer the device learnt.
        correct: how many of those the model had right.
        drift_ppm: how far the inputs and answers moved from the calibration data's, in millionths (0: not at all,
            1,000,000: nothing in common); None where there is nothing to compare with.
    """

    model: str
    begin: int
    end: int
    n: int
    errors: int = 0
    p50_us: int = 0
    p95_us: int = 0
    p99_us: int = 0
    labelled: int = 0
    correct: int = 0
    drift_ppm: int | None = None

    def to_bytes(self) -> bytes:
        """The message."""
        return dump(self)

    @classmethod
    def read(cls, content: bytes | Mapping[str, Any]) -> "Stats":
        """From the message; raises FleetError."""
        get = Fields(content, "stats")
        counts = ("n", "errors", "p50_us", "p95_us", "p99_us", "labelled", "correct")
        return cls(
            model=get.digest("model"),
            begin=get.number("begin"),
            end=get.number("end"),
            drift_ppm=None if get.value.get("drift_ppm") is None else get.number("drift_ppm", most=1_000_000),
            **{name: get.number(name, default=0) for name in counts},
        )


def batch(messages: Iterable[tuple[str, str, bytes]]) -> bytes:
    """Many messages of a site's devices as one: (device, kind, message), zlib over JSON lines.

    Each line is ``["pi-1","beat",{...}]``; the state's word is a text.
    """
    import json
    import zlib

    lines = (
        f'["{device}","{kind}",{json.dumps(body.decode()) if kind == "state" else body.decode()}]\n'
        for device, kind, body in messages
    )
    return zlib.compress("".join(lines).encode(), 6)


def unbatch(content: bytes, *, most: int = 8 << 20) -> list[tuple[str, str, bytes]]:
    """What `batch` joined, checked only as far as its own form goes.

    Raises:
        FleetError: it is not what `batch` makes, or is longer than `most` bytes when unpacked.
    """
    import json
    import zlib

    from edge_runtime.errors import FleetError
    from edge_runtime.messages.topics import UP

    found: list[tuple[str, str, bytes]] = []
    try:
        unpack = zlib.decompressobj()
        text = unpack.decompress(content, most)
        if unpack.unconsumed_tail:
            raise FleetError(f"a site's batch has more than {most} bytes")
        if not unpack.eof or unpack.unused_data:
            raise FleetError("a site's batch is cut short or has something behind it")
        for line in text.splitlines():
            device, kind, body = json.loads(line)
            if kind not in UP or not isinstance(device, str):
                raise FleetError(
                    f"a site's batch has a message of kind {kind!r:.40}; known are {', '.join(UP)}"
                )
            found.append((device, kind, body.encode() if kind == "state" else dump(body)))
    except (zlib.error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FleetError(f"a site's batch is damaged: {error}") from error
    return found
