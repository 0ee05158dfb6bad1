"""The `littoral` command: finds every package's commands and turns errors into one sentence and exit code 2.

`python -m edge_runtime` is the same where no script is installed, as on an emulated device.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from edge_runtime.command import Command
from edge_runtime.errors import BackendError, LittoralError, hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_OWN = {
    "accelerate": "accelerators.cli:ACCELERATE",
    "agent": "agent.cli:AGENT",
    "bench": "bench.cli:BENCH",
    "doctor": "doctor.cli:DOCTOR",
    "emulate": "emulator.cli:EMULATE",
    "export": "web.cli:EXPORT",
    "pack": "packing_cli:PACK",
    "run": "cli:RUN",
    "seal": "sealing_cli:SEAL",
    "serve": "serving.cli:SERVE",
    "targets": "cli:TARGETS",
    "train": "training.cli:TRAIN",
    "tune": "tuning.cli:TUNE",
}
"""The device's own commands, and where each is: one is imported without the others, for they take memory and time."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise LittoralError(f"{message}; see {self.prog} --help")


def commands() -> dict[str, Callable[[], Command]]:
    """Every command's loader by name: the device's own, then what the installed packages bring."""
    from importlib import metadata  # here, because a server holds for good what it has imported

    found: dict[str, Callable[[], Command]] = {}
    for entry in metadata.entry_points(group="littoral.commands"):
        found[entry.name] = lambda entry=entry: _load(entry)  # type: ignore[misc]
    for name in _OWN:
        found[name] = lambda name=name: _own(name)  # type: ignore[misc]
    return dict(sorted(found.items()))


def _own(name: str) -> Command:
    module, _, what = _OWN[name].partition(":")
    command: Command = getattr(import_module(f"edge_runtime.{module}"), what)
    return command


def _load(entry: "EntryPoint") -> Command:
    try:
        loaded: Command = entry.load()
    except ImportError as error:
        extra = f"[{','.join(entry.extras)}]" if entry.extras else ""
        raise BackendError(
            f"'littoral {entry.name}' needs {error.name or error}, which is missing: pip install 'littoral{extra}'"
        ) from error
    return loaded


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is 0, 2 for what the user can mend, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except LittoralError as error:
        sys.stderr.write(f"littoral: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("littoral: interrupted; nothing half-written was left\n")
        return 130
    except BrokenPipeError:
        return 0


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in _OWN:
        _perform(_own(arguments[0]), arguments)
        return 0
    known = commands()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview(known))
        return 0
    if arguments[0] == "--version":
        print(f"littoral {_version()}")
        return 0
    name = arguments[0]
    if name not in known:
        raise LittoralError(f"no command '{name}'{hint(name, known)}; see littoral --help")
    _perform(known[name](), arguments)
    return 0


def _perform(command: Command, arguments: Sequence[str]) -> None:
    """Parse what follows a command's name, and run it."""
    name, given = arguments[0], list(arguments[1:])
    part = next((each for each in command.parts if given[:1] == [each.name]), None)
    if part is not None:
        command, name, given = part, f"{name} {part.name}", given[1:]
    more = "".join(f"\n  littoral {name} {each.name:10} {each.summary}" for each in command.parts)
    parser = _Parser(
        prog=f"littoral {name}",
        description=command.summary,
        epilog=f"example:\n  {command.example}"
        + (f"\n\nand, each with its own --help:{more}" if more else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.arguments(parser)
    command.run(parser.parse_args(given))


def _overview(known: dict[str, Callable[[], Command]]) -> str:
    lines = [
        "usage: littoral COMMAND ...",
        "",
        "Models for devices: compress, deliver, run, learn.",
        "",
        "commands:",
    ]
    for name, load in known.items():
        try:
            summary = load().summary
        except BackendError as error:
            summary = f"(not installed: {str(error).rpartition(': ')[2]})"
        lines.append(f"  {name:<10} {summary}")
    return "\n".join([*lines, "", "littoral COMMAND --help shows a command's arguments and an example."])


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("littoral")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
