"""How a model did in a span of time, as applications write it down and the agent sums it up: counts that add up.

Times are counted in buckets whose bounds grow by 5 %, so a percentile is right to 2.5 %. The standard library alone,
for the agent holds no arrays.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = "live/windows"
_GROWTH = math.log(1.05)
_MOST = 2048  # files that wait for the agent; the oldest go first


@dataclass(slots=True)
class Window:
    """What happened to one model; times in seconds since 1970.

    `latency` counts calls by bucket, `features` counts samples by feature and bin (`drift`); `unloadable` is why an
    application could not load the model, "" if it could.
    """

    model: str
    begin: float
    end: float = 0.0
    n: int = 0
    errors: int = 0
    labelled: int = 0
    correct: int = 0
    unloadable: str = ""
    latency: dict[str, int] = field(default_factory=dict)
    features: dict[str, list[int]] = field(default_factory=dict)

    def took(self, seconds: float) -> None:
        """Count a call."""
        bucket = str(round(math.log(max(seconds * 1e6, 1.0)) / _GROWTH))
        self.latency[bucket] = self.latency.get(bucket, 0) + 1

    def quantile_us(self, share: float) -> int:
        """The latency that this share of the calls stays below, microseconds; 0 without calls."""
        counts = sorted((int(bucket), count) for bucket, count in self.latency.items())
        left = share * sum(count for _, count in counts)
        for bucket, count in counts:
            left -= count
            if left <= 1e-9:
                return round(math.exp(bucket * _GROWTH))
        return 0

    def add(self, other: "Window") -> None:
        """Join what another one counted of the same model."""
        self.begin, self.end = min(self.begin, other.begin), max(self.end, other.end)
        self.n, self.errors = self.n + other.n, self.errors + other.errors
        self.labelled, self.correct = self.labelled + other.labelled, self.correct + other.correct
        self.unloadable = other.unloadable or self.unloadable
        for bucket, count in other.latency.items():
            self.latency[bucket] = self.latency.get(bucket, 0) + count
        for name, counts in other.features.items():
            mine = self.features.setdefault(name, [0] * len(counts))
            if len(mine) == len(counts):
                self.features[name] = [a + b for a, b in zip(mine, counts, strict=True)]

    def write(self, store: Path, serial: int) -> None:
        """Leave it for the agent; if the disk is full, it is lost."""
        folder = store / FOLDER
        name = f"{int(self.end * 1000):015}-{os.getpid()}-{serial}"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            beside = folder / f".{name}"
            beside.write_text(json.dumps(asdict(self)), "utf-8")
            beside.replace(folder / f"{name}.json")

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Window":
        """From its object.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is not one.
        """
        counts = {name: int(value[name]) for name in ("n", "errors", "labelled", "correct")}
        return cls(
            str(value["model"]),
            float(value["begin"]),
            float(value["end"]),
            **counts,
            unloadable=str(value["unloadable"])[:300],
            latency={str(int(bucket)): int(count) for bucket, count in value["latency"].items()},
            features={str(name): [int(c) for c in each] for name, each in value["features"].items()},
        )


def collect(store: Path) -> list[Window]:
    """Take what applications have left, joined by model; what cannot be read is thrown away."""
    found: dict[str, Window] = {}
    files = sorted((store / FOLDER).glob("*.json"))
    for path in files:
        try:
            window = Window.read(json.loads(path.read_bytes()))
            if window.model in found:
                found[window.model].add(window)
            else:
                found[window.model] = window
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        with suppress(OSError):
            path.unlink()
    return list(found.values())


def prune(paths: Iterable[Path], most: int = _MOST) -> None:
    """Delete the oldest of these files, by their names, until no more than `most` are left."""
    files = sorted(paths)
    for path in files[: max(len(files) - most, 0)]:
        with suppress(OSError):
            path.unlink()
