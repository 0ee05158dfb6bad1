"""The tools that the emulator takes from the machine, and how to install those that are missing."""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EmulatorError


@dataclass(frozen=True, slots=True)
class Need:
    """A tool, what it is for, and the Debian packages that bring it."""

    tool: str
    purpose: str
    packages: str

    @property
    def present(self) -> bool:
        """Whether the machine has it."""
        if self.tool == "pip":
            return importlib.util.find_spec("pip") is not None
        return shutil.which(self.tool) is not None


NEEDS = (
    Need("qemu-aarch64", "runs Arm programs", "qemu-user"),
    Need("qemu-x86_64", "runs x86-64 programs", "qemu-user"),
    Need("cc", "compiles the instruction counter", "gcc libc6-dev"),
    Need("apt-get", "fetches the Arm userland", "apt"),
    Need("dpkg-deb", "unpacks the Arm userland", "dpkg"),
    Need("pip", "fetches the Arm wheels", "python3-pip"),
)


def missing() -> list[Need]:
    """What this machine lacks to emulate devices."""
    return [need for need in NEEDS if not need.present]


def available() -> bool:
    """Whether this machine can emulate devices."""
    return not missing()


def install_line(needs: Sequence[Need]) -> str:
    """``apt-get install -y qemu-user gcc libc6-dev``."""
    packages = dict.fromkeys(package for need in needs for package in need.packages.split())
    return f"apt-get install -y {' '.join(packages)}"


def require(*tools: str) -> None:
    """Do nothing if the machine has every one of the tools.

    Raises:
        EmulatorError: it does not; the sentence says what to install.
    """
    lacking = [need for need in missing() if need.tool in tools]
    if lacking:
        named = " and ".join(f"{need.tool} ({need.purpose})" for need in lacking)
        raise EmulatorError(f"the emulator needs {named}: {install_line(lacking)}")


def call(command: Sequence[str | Path], what: str, cwd: Path | None = None) -> None:
    """Run a tool to its end.

    Raises:
        EmulatorError: the tool failed; the sentence starts with `what` and ends with the tool's own complaint.
    """
    done = attempt(command, cwd)
    if done.returncode:
        raise EmulatorError(f"{what}: {complaint(done.stderr)}")


def attempt(command: Sequence[str | Path], cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a tool to its end, whatever it comes to."""
    return subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=cwd, check=False)


def complaint(stderr: str) -> str:
    """The line of a tool's stderr that says what is wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    marked = [
        line
        for line in lines
        if line.startswith(("E:", "W: Failed", "ERROR", "littoral:")) or "error:" in line
    ]
    return (marked or lines or ["nothing"])[-1].removeprefix("littoral: ")
