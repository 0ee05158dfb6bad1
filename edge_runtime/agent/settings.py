"""The agent's settings: ``agent.toml`` in its folder, which need not be there.

::

    target = "rpi4"
    beat_s = 60
    metered = ["/usr/local/bin/is-metered"]

    [federated]
    data = "/var/lib/littoral/mine.npz"
"""

import platform
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_runtime.errors import InputError, hint

FILE = "agent.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What whoever looks after the device may say.

    Args:
        target: the device's target; "": as far as the device says itself.
        beat_s: seconds between beats.
        stats_s: seconds between statistics of the model.
        telemetry_bytes: what statistics that wait for the cloud may take of the disk.
        probe_s: seconds that a probe may take.
        metered: a command that prints yes if bytes cost money, else no.
        federated: the device's own part of a federated run: `data`, its samples (a file), and `key`.
    """

    target: str = ""
    beat_s: float = 60.0
    stats_s: float = 300.0
    telemetry_bytes: int = 4 << 20
    probe_s: float = 300.0
    metered: tuple[str, ...] = ()
    federated: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, store: Path) -> "Settings":
        """Of the store.

        Raises:
            InputError: the file has a mistake.
        """
        path = store / FILE
        if not path.exists():
            return cls(target=guessed())
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as TOML: {error}") from error
        kinds = {each.name: type(each.default) for each in fields(cls)}
        for name, value in found.items():
            if name not in kinds:
                raise InputError(
                    f"{path}: unknown key '{name}'{hint(name, kinds)}; known: {', '.join(kinds)}"
                )
            if name == "metered" and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
                raise InputError(f"{path}: metered is {value!r}; expected a list of words, a command")
            if name == "federated" and not isinstance(value, dict):
                raise InputError(f"{path}: federated is {value!r}; expected a table")
            if name.endswith(("_s", "_bytes")) and not (type(value) in (int, float) and value > 0):
                raise InputError(f"{path}: {name} is {value!r}; expected a number above 0")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
        }
        return cls(**({"target": guessed()} | values))


def guessed(root: Path = Path("/")) -> str:
    """The target that the device says it is; "" if it is none that is known."""
    try:
        model = (root / "proc/device-tree/model").read_text("utf-8", "replace")
    except OSError:
        model = ""
    for words, target in (("Pi Zero 2", "rpi-zero2"), ("Pi 3", "rpi3"), ("Pi 4", "rpi4"), ("Pi 5", "rpi5")):
        if words in model:
            return target if (Path(__file__).parents[1] / "targets" / f"{target}.toml").exists() else ""
    return {"x86_64": "x86-64", "AMD64": "x86-64"}.get(platform.machine(), "")
