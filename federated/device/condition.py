"""Whether a device charges, is idle and has a link that costs nothing: what it says of itself before a round.

Whoever looks after the device may say it in a file, which is read again whenever it changes::

    {"charging": true, "idle": true, "unmetered": false}

What the file leaves out, Linux is asked for: mains or a charging battery, and a processor that others leave alone. Who
pays for the link it does not know; what is not known is not said, and counts as ready.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.files import existing

_NAMES = ("charging", "idle", "unmetered")
_POWER, _PROCESSOR = Path("/sys/class/power_supply"), Path("/proc/stat")
_WINDOW_S = 10.0  # over which the processor is watched
_BUSY = 0.5  # share of all processors that others may use while the device is idle


class Conditions:
    """What the device says now: call it."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Watch the file, if one is given, and the system.

        Raises:
            InputError: there is no such file, or it cannot be read.
        """
        self._path = None if path is None else existing(path, 'a file such as {"charging": true}')
        self._changed, self._said = 0, {}  # type: int, dict[str, bool]
        self._others: bool | None = None
        self._mark = (time.monotonic(), *_processor())
        if self._path:
            self._read(self._path)

    def __call__(self) -> dict[str, bool]:
        """The conditions that are known; a file that is damaged or gone leaves what was said before."""
        if self._path:
            with suppress(InputError):
                self._read(self._path)
        found = {"charging": charging(), "idle": self._idle()} | self._said
        return {name: value for name, value in found.items() if value is not None}

    def _read(self, path: Path) -> None:
        try:
            changed = path.stat().st_mtime_ns
            if changed == self._changed:
                return
            found = dict(json.loads(path.read_text("utf-8")).items())
            said = {name: found[name] for name in _NAMES if name in found}
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: cannot be read as conditions: {error}") from error
        if not all(isinstance(each, bool) for each in said.values()):
            raise InputError(f"{path}: expected true or false for {', '.join(_NAMES)}")
        self._changed, self._said = changed, said

    def _idle(self) -> bool | None:
        """Whether others than this process used little of the processors in the last seconds; None: not known yet."""
        then, busy, everything, own = self._mark
        if time.monotonic() - then >= _WINDOW_S:
            now = _processor()
            spent = now[1] - everything
            if spent > 0:
                self._others = (now[0] - busy - (now[2] - own)) / spent < _BUSY
            self._mark = (time.monotonic(), *now)
        return self._others


def charging(folder: Path = _POWER) -> bool | None:
    """Whether mains power or a charging battery feeds the device; a machine without battery is fed; None: not known."""
    if not folder.is_dir():
        return None
    kinds = [
        (_text(each / "type"), _text(each / "online"), _text(each / "status")) for each in folder.iterdir()
    ]
    if any(online == "1" for kind, online, _ in kinds if kind != "Battery"):
        return True
    batteries = [status for kind, _, status in kinds if kind == "Battery"]
    return not batteries or any(status in ("Charging", "Full", "Not charging") for status in batteries)


def _processor() -> tuple[float, float, float]:
    """Seconds that all processors were busy, that they had, and that this process used."""
    times = os.times()
    own = times.user + times.system
    try:
        ticks = [int(each) for each in _PROCESSOR.read_text("ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0.0, 0.0, own
    second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / second, sum(ticks) / second, own


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""
