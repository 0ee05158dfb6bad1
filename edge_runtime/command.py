"""What a command of the command line is; each package's `cli.py` holds its own."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command: how it is called, what it is for, an example, and the two functions that make it.

    `parts` are commands behind its name: ``littoral federate join`` is the part "join" of "federate".
    """

    name: str
    summary: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    parts: "tuple[Command, ...]" = ()
