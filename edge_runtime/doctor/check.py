"""What every part of the doctor gives: checks."""

import importlib.util
import sys
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for: `what` it is, its `state` in words, and a line to run as `remedy`."""

    section: str
    what: str
    state: str
    remedy: str = ""


def version(package: str) -> str:
    """The installed version; where only the files are there, as on the emulated device, "found"; else empty."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "found" if package in sys.modules or importlib.util.find_spec(package) else ""
