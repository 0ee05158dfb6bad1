"""Telemetry that waits on the disk until the cloud has it: a ring of files, the oldest dropped, and counted, when full.

One line a message, ``["stats", {...}]``; a file is deleted when all its lines have been acknowledged, so after a power
cut some are said twice, and none is lost but the last ones that the system had not put on the disk.
"""

import json
from contextlib import suppress
from pathlib import Path

from edge_runtime.agent import durable

_FILES = 16  # into which the ring is divided: what is dropped at once is a sixteenth


class Telemetry:
    """The queue of one device.

    Args:
        folder: where it is.
        max_bytes: what it may take of the disk.
    """

    def __init__(self, folder: Path, max_bytes: int = 4 << 20) -> None:
        self._folder, self._file_bytes = folder, max(max_bytes // _FILES, 1 << 10)
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: list[str] = []  # of the oldest file, not yet acknowledged
        self._open = 0  # the number of that file
        self.dropped = 0
        with suppress(OSError, ValueError):
            self.dropped = int((folder / "dropped").read_text("ascii"))

    def put(self, kind: str, content: bytes) -> bool:
        """Keep a message; whether there was room on the disk for it."""
        line = f'["{kind}",{content.decode()}]\n'
        files = self._files()
        last = files[-1] if files else 0
        try:
            if (
                not last
                or self._path(last).stat().st_size + len(line) > self._file_bytes
                or last == self._open
            ):
                last += 1
            with self._path(last).open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError:
            self._count(1)
            return False
        for number in self._files()[:-_FILES]:
            self._drop(number)
        return True

    def take(self) -> tuple[str, bytes] | None:
        """The oldest message, which stays until `done`; None if nothing waits."""
        while True:
            if self._lines:
                try:
                    kind, body = json.loads(self._lines[0])
                    return str(kind), json.dumps(body, separators=(",", ":")).encode()
                except (ValueError, TypeError):  # a line that a power cut has cut
                    self._lines.pop(0)
                    continue
            if self._open:
                with suppress(OSError):
                    self._path(self._open).unlink(missing_ok=True)
            files = self._files()
            if not files:
                self._open = 0
                return None
            self._open = files[0]
            with suppress(OSError):
                self._lines = self._path(self._open).read_text("utf-8", "replace").splitlines()

    def done(self) -> None:
        """The oldest message has arrived."""
        if self._lines:
            self._lines.pop(0)

    def _drop(self, number: int) -> None:
        lost = len(self._lines)
        with suppress(OSError):
            if number != self._open:
                lost = self._path(number).read_bytes().count(b"\n")
            self._path(number).unlink()
        if number == self._open:
            self._lines, self._open = [], 0
        self._count(lost)

    def _count(self, lost: int) -> None:
        self.dropped += lost
        with suppress(OSError):
            durable.write(self._folder / "dropped", str(self.dropped).encode())

    def _files(self) -> list[int]:
        return sorted(int(each.stem) for each in self._folder.glob("*.jsonl") if each.stem.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.jsonl"
