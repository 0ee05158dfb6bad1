"""Energy, where the platform reports it: Linux's power capping interface (RAPL of Intel and AMD).

https://docs.kernel.org/power/powercap/powercap.html: `energy_uj` counts microjoules and begins again at
`max_energy_range_uj`. The counter is of a whole package, whatever else runs on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class Energy:
    """Millijoules a call, of all packages together, and the watts meanwhile; idle power is in both."""

    millijoules: float
    watts: float


def measure(
    calls: Callable[[], None], count: int, clock: Callable[[], float], folder: Path = FOLDER
) -> Energy | None:
    """What `calls`, which makes `count` calls, takes; None where no counter can be read.

    Args:
        calls: the work.
        count: how many calls it makes.
        clock: seconds.
        folder: of the counters.
    """
    packages = _packages(folder)
    before = [_read(package / "energy_uj") for package in packages]
    if not packages or None in before:
        return None  # and nothing is run for it
    began = clock()
    calls()
    seconds = clock() - began
    spent = 0.0
    for package, start in zip(packages, before, strict=True):
        end, most = _read(package / "energy_uj"), _read(package / "max_energy_range_uj")
        if start is None or end is None:
            return None
        spent += end - start if end >= start else end - start + (most or 0)
    if spent <= 0 or seconds <= 0:
        return None
    return Energy(spent / 1000 / count, spent / 1e6 / seconds)


def _packages(folder: Path) -> list[Path]:
    """The zones that are whole packages: their parts, such as the cores, have another number behind a colon."""
    if not folder.is_dir():
        return []
    return sorted(
        each for each in folder.iterdir() if each.name.count(":") == 1 and (each / "energy_uj").exists()
    )


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):  # only root may read it on most systems
        return None
