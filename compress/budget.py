"""Budgets: what a compressed model may cost and how much worse it may be."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from edge_runtime.errors import InputError

LIMITS: Mapping[str, tuple[str, str]] = {
    "max_drop": ("drop", ""),
    "max_latency_ms": ("latency_ms", " ms"),
    "max_size_mb": ("size_mb", " MB"),
}
"""Each limit, the figure that it bounds, and that figure's unit."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits; None leaves a figure free.

    `max_drop`: share of the samples, 0 to 1: accuracy lost where there are labels, else answers that differ from the
    original's. `max_latency_ms`: of one inference on one core of the target. `max_size_mb`: of the stored graph,
    in 10^6 bytes.
    """

    max_drop: float | None = None
    max_latency_ms: float | None = None
    max_size_mb: float | None = None

    def __post_init__(self) -> None:
        """Check the limits.

        Raises:
            InputError: a limit that nothing could meet, or that is not a number.
        """
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and not (limit >= 0 if field.name == "max_drop" else limit > 0):
                raise InputError(f"{_flag(field.name)} {limit}: expected a number above 0")
        if self.max_drop is not None and self.max_drop > 1:
            raise InputError(
                f"--max-drop {self.max_drop}: expected a share between 0 and 1; 0.01 is one point"
            )

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def excess(self, figures: Mapping[str, float]) -> dict[str, float]:
        """By how much figures (``drop``, ``latency_ms``, ``size_mb``) exceed the limits: a share of each limit.

        A drop is compared with at least one point, so that a limit of 0 has a scale.
        """
        found = {}
        for name, (figure, _) in LIMITS.items():
            limit = getattr(self, name)
            if limit is not None and figure in figures and figures[figure] > limit:
                found[name] = (figures[figure] - limit) / max(limit, 0.01)
        return found

    def complaint(self, figures: Mapping[str, float]) -> str:
        """Which limits these figures miss, in words: ``size 5.1 MB (--max-size-mb 3)``."""
        parts = []
        for name in self.excess(figures):
            figure, unit = LIMITS[name]
            word = figure.partition("_")[0]
            parts.append(f"{word} {figures[figure]:.4g}{unit} ({_flag(name)} {getattr(self, name):g})")
        return ", ".join(parts)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
