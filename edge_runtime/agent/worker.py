"""What both ends of a child process share: it is told what to do by its arguments, and answers in lines of JSON.

The agent has what is heavy or may crash done by children: a model that ends its process ends only the child. A child
ends when its standard input closes, that is with the agent.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from edge_runtime.child import python
from edge_runtime.errors import LittoralError, TransferError

_LAST_LINES = 2000  # characters of what a child wrote on stderr


class Child:
    """A child process at work. `on_line` gets each of its lines, `on_end` is called once, with "" or why it failed.

    Both are called from a thread of the child's.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        on_line: Callable[[Mapping[str, Any]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._on_line, self._on_end = on_line, on_end
        self._stopped = False
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            [*python(), "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self._said = b""
        self._errors = threading.Thread(target=self._hear, daemon=True)
        self._errors.start()
        threading.Thread(target=self._read, name="child", daemon=True).start()

    def stop(self) -> None:
        """End it; nothing is told of it any more."""
        self._stopped = True
        self.process.kill()

    def expire(self) -> None:
        """End it, because it takes too long."""
        self._said = b"it took too long"
        self.process.kill()

    def _hear(self) -> None:
        assert self.process.stderr is not None  # noqa: S101
        while block := self.process.stderr.read1(4096):  # type: ignore[attr-defined]
            self._said = (self._said + block)[-_LAST_LINES:]

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101
        for line in self.process.stdout:
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and not self._stopped:
                    self._on_line(found)
        code = self.process.wait()
        self._errors.join(1)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                with suppress(OSError):
                    stream.close()
        if not self._stopped:
            self._on_end("" if code == 0 else _why(code, self._said))


def _why(code: int, said: bytes) -> str:
    if said == b"it took too long":
        return said.decode()
    last = said.decode("utf-8", "replace").strip().splitlines()
    if code < 0:
        return f"its process was ended by signal {-code}"
    return f"its process ended with {code}{': ' + last[-1][:300] if last else ''}"


def say(**line: Any) -> None:
    """Answer with a line; for the child."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def serve(work: Callable[[], None]) -> None:
    """Do a child's work; an error of ours is one line, ``{"error": ..., "again": whether the network broke}``."""
    threading.Thread(target=_until_left, daemon=True).start()
    with suppress(OSError):
        os.nice(10)
    try:
        work()
    except LittoralError as error:
        say(error=str(error), again=isinstance(error, TransferError))
    except OSError as error:
        say(error=f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", again=False)
    except MemoryError:
        say(error="there is not enough memory for it", again=False)


def _until_left() -> None:
    with suppress(OSError):
        while os.read(
            0, 4096
        ):  # not sys.stdin, whose lock the interpreter's end cannot take from this thread
            pass
    os._exit(1)
