"""Runs the device side as on another processor, under QEMU's user mode."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import edge_runtime
from edge_runtime import child
from edge_runtime.emulator import limit
from edge_runtime.emulator.counter import Count, CountError, compile_counter, parse_counts
from edge_runtime.emulator.device import write_device
from edge_runtime.emulator.needs import complaint, require
from edge_runtime.emulator.userland import PYTHON, userland
from edge_runtime.errors import EmulatorError
from edge_runtime.files import cache_dir, existing
from edge_runtime.profile import EMULATED_VARIABLE, MARKS_VARIABLE
from edge_runtime.target import Target

_FOREIGN = ("PYTHON", "LD_", "QEMU_", "VIRTUAL_ENV")  # of the host, and wrong on the device


@dataclass(frozen=True, slots=True)
class Emulated:
    """What a command on the emulated device did. `stdout` and `stderr` are empty unless captured.

    `peak_bytes` is the most memory that the device's process was seen to have, without QEMU's own.
    """

    returncode: int
    stdout: str = ""
    stderr: str = ""
    counts: tuple[Count, ...] = ()
    peak_bytes: int = 0


def run(target: Target | str, args: Sequence[str], *, count: bool = False, capture: bool = False) -> Emulated:
    """Run a `littoral` command of the device side on an emulated device.

    Args:
        target: which device.
        args: the command and its arguments, such as ``["bench", "m.bundle"]``.
        count: count the instructions of the command's inferences, one `Count` a session.
        capture: collect stdout and stderr instead of passing them through.

    Raises:
        TargetError: there is no such target.
        EmulatorError: a tool is missing, the device cannot be built, the process took more than its memory or died
            from a signal, or its counts disagree.
    """
    return _emulate(Target.load(target), ["edge_runtime", *args], count=count, capture=capture)


def count(target: Target | str, models: Sequence[str | os.PathLike[str]]) -> list[Count]:
    """Exact instructions per inference of each of several models, with random inputs, in one emulated process.

    Args:
        target: which device.
        models: paths of bundles or .onnx files.

    Raises:
        InputError: there is nothing at one of the paths.
        TargetError: there is no such target.
        EmulatorError: as in `run`, or the device refused a model.
    """
    device = Target.load(target)
    paths = [str(existing(model, "a bundle or an .onnx file").absolute()) for model in models]
    module = ["edge_runtime.emulator.guest", *paths]
    compiled = _bytecode()
    done = _counted(device, module)
    if _bytecode() != compiled:  # Python compiled modules on the way, which moved its heap
        done = _counted(device, module)
    if done.returncode or len(done.counts) != len(paths):
        raise EmulatorError(f"{device.name}: {complaint(done.stderr)}")
    return list(done.counts)


def _counted(device: Target, module: Sequence[str]) -> Emulated:
    """Count in a process of its own; once more where something else ran between two marks, which is rare."""
    try:
        return _emulate(device, module, count=True, capture=True, alone=True)
    except CountError:
        return _emulate(device, module, count=True, capture=True, alone=True)


def _emulate(
    target: Target, module: Sequence[str], *, count: bool, capture: bool, alone: bool = False
) -> Emulated:
    """Run a module of the guest's Python.

    `alone` hides the user's environment and working folder: the length of a variable moves the stack, and with it
    the count by a few instructions.
    """
    if not target.emulator_cpu:
        raise EmulatorError(
            f"target '{target.name}' names no emulator_cpu; run it on the device itself, with littoral run"
        )
    qemu = f"qemu-{target.arch}"
    require(qemu)
    with tempfile.TemporaryDirectory(prefix="littoral-") as scratch:
        device = Path(scratch, "device")
        # One core while counting, or idle threads would spin and be counted; never more than the host can pin to.
        write_device(device, target, 1 if count else min(target.cores, os.cpu_count() or 1))
        _show_packages(device / "littoral")
        python, path = _arm_python(device) if target.arch == "aarch64" else _own_python()
        log = Path(scratch, "counts.jsonl")
        plugin = ["-plugin", _plugin(compile_counter(Path(scratch)), log)] if count else []
        pipe = subprocess.PIPE if capture else None
        start = ["-L", str(device), "-cpu", target.emulator_cpu, *map(str, python), "-P"]
        environment = _environment({} if alone else os.environ, path, count)
        if not count:  # a variable's length moves the stack
            environment[child.VARIABLE] = json.dumps([shutil.which(qemu), *start])
        done = limit.call(
            [qemu, *plugin, *start, "-m", *module],
            target.name,
            target.ram_mib,
            env=environment,
            cwd="/" if alone else None,
            stdout=pipe,
            stderr=pipe,
            preexec_fn=_no_core_file,
        )
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            raise EmulatorError(
                f"{target.name}: the emulated process died from {name}: {complaint(done.stderr)}"
            )
        if count and not log.exists():
            raise EmulatorError(
                f"{qemu} did not load the instruction counter, which is made for QEMU 6.0 to 8.2"
            )
        counts = parse_counts(log.read_text(encoding="ascii")) if count and not done.returncode else ()
    return Emulated(done.returncode, done.stdout, done.stderr, counts, done.peak_bytes)


def _show_packages(folder: Path) -> None:
    """What the device side is made of: the runtime and, where it is here, its part in federated runs."""
    folder.mkdir()
    ours = Path(edge_runtime.__file__).resolve().parent
    for package in (ours, ours.with_name("federated")):
        if package.is_dir():
            (folder / package.name).symlink_to(package)


def _plugin(library: Path, log: Path) -> str:
    file, out = (str(path).replace(",", ",,") for path in (library, log))  # QEMU's escape for a comma
    return f"file={file},out={out}"


def _arm_python(device: Path) -> tuple[list[str | Path], str]:
    """Debian's arm64 Python, which believes that it stands in /usr/bin, and its path."""
    home = userland()
    for name in ("usr", "lib", "etc"):
        (device / name).symlink_to(home / "root" / name)
    (device / "wheels").symlink_to(home / "wheels")
    # -S: Debian's site module would add folders of the host to the path
    return ["-0", f"/{PYTHON}", home / "root" / PYTHON, "-S"], "/littoral:/wheels"


def _own_python() -> tuple[list[str | Path], str]:
    """This machine's interpreter and packages, which an emulated x86-64 can run as they are."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise EmulatorError(
            f"x86-64 is emulated only on an x86-64 machine, and this one is {platform.machine()}"
        )
    return [sys.executable], "/littoral"


def _bytecode_folder() -> Path:
    """Where guests keep compiled modules; with them they start in a third of the time."""
    return cache_dir().absolute() / "emulator" / "pycache"


def _bytecode() -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in _bytecode_folder().rglob("*.pyc")}


def _environment(inherited: Mapping[str, str], path: str, count: bool) -> dict[str, str]:
    kept = {name: value for name, value in inherited.items() if not name.startswith(_FOREIGN)}
    python = {"PATH": path, "HASHSEED": "0", "UTF8": "1", "NOUSERSITE": "1"}
    given = {f"PYTHON{name}": value for name, value in python.items()}
    given |= {"PYTHONPYCACHEPREFIX": str(_bytecode_folder()), "OPENBLAS_NUM_THREADS": "1"}
    return kept | given | {MARKS_VARIABLE if count else EMULATED_VARIABLE: "1"}


def _no_core_file() -> None:
    """QEMU would leave a core file of the guest in the user's folder."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
