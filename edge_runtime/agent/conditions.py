"""What the device has to spare: mains or battery, whether others need the processor, whether bytes cost money.

Linux says the first two (``/sys/class/power_supply``, ``/proc/stat``); who pays for the link NetworkManager knows, or a
command that the settings name. What nobody knows is None, and does not keep the device from learning. Whoever looks
after the device may say it in a file, ``conditions.json`` in the agent's folder, which counts for more::

    {"charging": true, "idle": true, "unmetered": false}

It is read again whenever somebody asks; one that is damaged leaves what was said before.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import InputError

_POWER, _PROC = Path("sys/class/power_supply"), Path("proc")
FILE = "conditions.json"
_NAMES = ("charging", "idle", "unmetered")
_WINDOW_S = 10.0  # over which the processor is watched
_BUSY = 0.5  # share of all processors that others may use while the device is idle
_METERED_S = 300.0  # between questions about the link
_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Now:
    """What is known now; `power` is one of "mains", "charging", "battery", "unknown"."""

    power: str
    idle: bool | None
    metered: bool | None

    @property
    def spare(self) -> str:
        """Why the device should not learn now; "" if it may."""
        if self.power == "battery":
            return "it runs on its battery"
        if self.idle is False:
            return "others need the processor"
        return "its link is metered" if self.metered else ""

    @property
    def known(self) -> dict[str, bool]:
        """What is known, by the names that the file has."""
        power = None if self.power == "unknown" else self.power != "battery"
        unmetered = None if self.metered is None else not self.metered
        found = dict(zip(_NAMES, (power, self.idle, unmetered), strict=True))
        return {name: value for name, value in found.items() if value is not None}


class Conditions:
    """Asks for what is known: call it. The processor is judged over the time since the call before.

    Args:
        command: says whether the link is metered: it prints yes or no; none: NetworkManager is asked.
        said: the file in which somebody may say it.
        root: where /sys and /proc are.
    """

    def __init__(self, command: Sequence[str] = (), said: Path | None = None, root: Path = Path("/")) -> None:
        self._command, self._said, self._root = tuple(command), said, root
        self._last: dict[str, bool] = {}
        self._idle: bool | None = None
        self._metered: bool | None = None
        self._asked = -_METERED_S
        self._mark: tuple[float, float, float, float] | None = None

    def __call__(self, own: Sequence[int] = ()) -> Now:
        """What is known now; `own` are processes of the agent's, which do not count as others."""
        now = time.monotonic()
        if now - self._asked >= _METERED_S:
            self._metered, self._asked = metered(self._command), now
        self._watch(now, own)
        said = self._read()
        fed = said.get("charging")
        return Now(
            power(self._root / _POWER) if fed is None else ("charging" if fed else "battery"),
            said.get("idle", self._idle),
            not said["unmetered"] if "unmetered" in said else self._metered,
        )

    def _read(self) -> dict[str, bool]:
        with suppress(InputError):
            self._last = read(self._said) if self._said and self._said.exists() else {}
        return self._last

    def _watch(self, now: float, own: Sequence[int]) -> None:
        if self._mark is not None and now - self._mark[0] < _WINDOW_S:
            return
        busy, total = _processor(self._root / _PROC / "stat")
        mine = sum(_used(self._root / _PROC / str(pid) / "stat") for pid in (os.getpid(), *own))
        if self._mark is not None and total > self._mark[2]:
            others = busy - self._mark[1] - max(mine - self._mark[3], 0.0)
            self._idle = others / (total - self._mark[2]) < _BUSY
        self._mark = (now, busy, total, mine)


def read(path: Path) -> dict[str, bool]:
    """What the file says of "charging", "idle" and "unmetered".

    Raises:
        InputError: it cannot be read.
    """
    try:
        found = dict(json.loads(path.read_text("utf-8")).items())
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as conditions: {error}") from error
    said = {name: found[name] for name in _NAMES if name in found}
    if not all(isinstance(each, bool) for each in said.values()):
        raise InputError(f"{path}: expected true or false for {', '.join(_NAMES)}")
    return said


def power(folder: Path = Path("/") / _POWER) -> str:
    """What feeds the device: "mains", "charging", "battery" or "unknown"; a device without a battery is on mains."""
    try:
        found = [
            (_text(each / "type"), _text(each / "online"), _text(each / "status"))
            for each in folder.iterdir()
        ]
    except OSError:
        return "unknown"
    batteries = [status for kind, _, status in found if kind == "Battery"]
    fed = any(online == "1" for kind, online, _ in found if kind != "Battery")
    if not batteries:
        return "mains"
    if fed or any(status in ("Charging", "Full", "Not charging") for status in batteries):
        return "charging"
    return "battery"


def metered(command: Sequence[str] = ()) -> bool | None:
    """Whether bytes cost money; None where nobody knows."""
    if not command and not shutil.which("nmcli"):
        return None
    asked = list(command) or ["nmcli", "--terse", "--get-values", "GENERAL.METERED", "device", "show"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = [line.split()[0].lower() for line in done.stdout.splitlines() if line.split()]
    known = [_WORDS[word] for word in words if word in _WORDS]
    return any(known) if known and not done.returncode else None


def temperature(root: Path = Path("/")) -> float | None:
    """Of the hottest sensor, degrees Celsius; None where there is none."""
    found = [_text(each) for each in (root / "sys/class/thermal").glob("thermal_zone*/temp")]
    values = [int(each) / 1000 for each in found if each.lstrip("-").isdigit()]
    return max(values) if values else None


def _processor(path: Path) -> tuple[float, float]:
    """Seconds that all processors were busy, and that they had."""
    ticks = [int(each) for each in _text(path).split("\n", 1)[0].split()[1:9] if each.isdigit()]
    if len(ticks) < 5:
        return 0.0, 0.0
    second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / second, sum(ticks) / second


def _used(path: Path) -> float:
    """Seconds of processor that a process has used, with what its ended children used."""
    fields = _text(path).rpartition(")")[2].split()
    if len(fields) < 15:
        return 0.0
    return sum(int(each) for each in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
