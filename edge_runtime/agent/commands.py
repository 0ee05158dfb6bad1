"""Commands: each id is done once, whatever comes how often, and answered again with what was kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from edge_runtime.agent import durable
from edge_runtime.errors import FleetError
from edge_runtime.messages import Command, Result

_KEPT = 256  # ids that are remembered, the newest; a command lives for hours, and this for far longer
_BEGUN = Result("", "failed", "the agent ended while it did this, and does it no second time")

Do = Callable[[Command], str | None]
"""Does a command and gives the text of its result; None: the result comes later, by `Commands.answer`."""


class Commands:
    """The commands of one device.

    Args:
        path: where the answers are kept.
        operations: what does each op.
        send: takes a result to the cloud.
    """

    def __init__(self, path: Path, operations: Mapping[str, Do], send: Callable[[Result], None]) -> None:
        self._path, self._operations, self._send = path, operations, send
        self._answers: dict[str, Result] = {}
        try:
            for line in json.loads(path.read_bytes()):
                found = Result.read(line)
                self._answers[found.id] = found
        except (OSError, ValueError, TypeError, FleetError):
            self._answers = {}

    def take(self, command: Command, now: float) -> None:
        """Do the command, or say again what became of it."""
        known = self._answers.get(command.id)
        if known is not None:
            self._send(known)
            return
        if now > command.expires:
            self.answer(Result(command.id, "expired", f"it expired {int(now - command.expires)} s ago"))
            return
        do = self._operations.get(command.op)
        if do is None:
            text = f"no operation '{command.op}'; there are {', '.join(self._operations)}"
            self.answer(Result(command.id, "unknown", text))
            return
        self._keep(
            Result(command.id, _BEGUN.status, _BEGUN.text)
        )  # before it is begun, so that it is done once
        try:
            text_or_later = do(command)
        except FleetError as error:
            self.answer(Result(command.id, "failed", str(error)))
            return
        if text_or_later is not None:
            self.answer(Result(command.id, "done", text_or_later))

    def answer(self, result: Result) -> None:
        """Keep and send a result."""
        self._keep(result)
        self._send(result)

    def _keep(self, result: Result) -> None:
        self._answers[result.id] = result
        while len(self._answers) > _KEPT:
            self._answers.pop(next(iter(self._answers)))
        durable.write(self._path, json.dumps([asdict(each) for each in self._answers.values()]).encode())
