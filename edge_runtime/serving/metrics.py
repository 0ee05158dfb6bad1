"""Counters and histograms in the text format of Prometheus, https://prometheus.io/docs/instrumenting/exposition_formats."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Histogram:
    """How often a value fell below each bound, and the sum of all."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        """As Prometheus reads it."""
        found, total = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            found.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
        return [*found, f"{name}_sum{{{labels}}} {self._sum:.6f}", f"{name}_count{{{labels}}} {total}"]


class Metrics:
    """What a server counts."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.seconds: defaultdict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(_SECONDS))
        self.rows: defaultdict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(_ROWS))
        self.swaps = 0

    def text(self, waiting: Callable[[], dict[tuple[str, str], int]]) -> str:
        """Everything, with the requests that wait now."""
        lines = [
            "# HELP littoral_requests_total Inference requests.",
            "# TYPE littoral_requests_total counter",
        ]
        for (model, version, code), count in sorted(self.requests.items()):
            lines.append(f'littoral_requests_total{{{_labels(model, version)},code="{code}"}} {count}')
        for name, about, kept in (
            ("littoral_request_seconds", "Time from a request's arrival to its answer.", self.seconds),
            ("littoral_batch_rows", "Samples that were run together.", self.rows),
        ):
            lines += [f"# HELP {name} {about}", f"# TYPE {name} histogram"]
            for (model, version), histogram in sorted(kept.items()):
                lines += histogram.lines(name, _labels(model, version))
        lines += ["# HELP littoral_waiting Requests in the queue.", "# TYPE littoral_waiting gauge"]
        lines += [f"littoral_waiting{{{_labels(*key)}}} {count}" for key, count in sorted(waiting().items())]
        lines += ["# HELP littoral_swaps_total Models replaced.", "# TYPE littoral_swaps_total counter"]
        return "\n".join([*lines, f"littoral_swaps_total {self.swaps}", ""])


def _labels(model: str, version: str) -> str:
    name, number = (
        text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for text in (model, version)
    )
    return f'model="{name}",version="{number}"'
