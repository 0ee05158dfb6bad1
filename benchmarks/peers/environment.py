"""A peer's own Python environment: pinned packages in the cache, made on first use, whole or not at all."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.console import say
from edge_runtime.files import atomic, cache_dir

_RECORD = "packages.txt"
_LIMIT_S = 1800  # a toolkit of 1.5 GB takes ten minutes where others use the machine


class InstallError(Exception):
    """The packages cannot be installed; the text is the installer's."""


def interpreter(name: str, packages: Sequence[str]) -> Path:
    """The Python of the environment that holds exactly `packages`; made if it is not there, or holds others.

    Args:
        name: of the environment.
        packages: `package==version`, each of them: nothing is added for their dependencies, which would bring a
            gigabyte of PyTorch with a converter that does not need it. None is this Python itself.

    Raises:
        InstallError: the installer refused.
    """
    if not packages:
        return Path(sys.executable)
    home = cache_dir().absolute() / "peers" / name
    wanted = "\n".join(packages) + "\n"
    if not (home / _RECORD).is_file() or (home / _RECORD).read_text("utf-8") != wanted:
        say(f"make an environment for {name}")
        with atomic(home) as partial:  # the record is written last, and the folder appears with it
            _call([sys.executable, "-m", "venv", "--without-pip", str(partial)])
            pip = [sys.executable, "-m", "pip", "--python", str(partial / "bin/python"), "install", "--quiet"]
            # onnx2tf declares a Python that its code does not need
            _call([*pip, "--no-deps", "--ignore-requires-python", "--only-binary=:all:", *packages])
            (partial / _RECORD).write_text(wanted, "utf-8")
    return home / "bin/python"


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"the installation took more than {_LIMIT_S} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise InstallError((lines or done.stderr.strip().splitlines() or ["unknown error"])[-1])
