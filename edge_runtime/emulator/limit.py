"""The emulated device's memory: a process that takes more than there is dies, as it would there.

QEMU's user mode sets no limit, and the kernel's own would count QEMU with the guest: its translated code and
its tables. So the mappings of the process are looked at while it runs, twenty times a second, and those that
belong to the guest are added up: its code and libraries as far as they are in memory, its heap and its stacks.
QEMU puts the guest below itself and its own libraries.
"""

import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import EmulatorError

_INTERVAL = 0.05  # seconds; an emulated process writes a few megabytes in that time
_GUEST_ENDS = 0x5000_0000_0000
_PAGE_KIB = 4
_STEP_KIB = (
    512  # reading all mappings takes longer than reading their sum, so it waits for a change of that much
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended. `peak_bytes` is the most memory that it was seen to have."""

    returncode: int
    stdout: str
    stderr: str
    peak_bytes: int


def call(command: Sequence[Any], name: str, ram_mib: int, **options: Any) -> Ended:
    """Run an emulated process, as `subprocess.run` would, and stop it when it takes more than the memory.

    A SIGTERM to this process is the emulated one's: it may take leave, and ends this call.

    Args:
        command: QEMU and what it shall run.
        name: the target's, for the error.
        ram_mib: the device's memory, all of which the process may have.
        options: of `subprocess.Popen`.

    Raises:
        EmulatorError: the process took more.
    """
    with subprocess.Popen(command, text=True, errors="replace", **options) as child:
        watch = _Watch(child, ram_mib)
        watch.start()
        try:
            with _passed_on(child):
                stdout, stderr = child.communicate()
        except BaseException:
            child.kill()
            raise
        finally:
            watch.finish()
    if watch.stopped:
        taken = -(-watch.most_kib // 1024)
        raise EmulatorError(
            f"{name}: out of memory: the process took {taken} MiB, and the device has {ram_mib}; give it "
            "less to do: a smaller batch, or a bundle made with --max-memory"
        )
    return Ended(child.returncode, stdout or "", stderr or "", watch.most_kib * 1024)


@contextmanager
def _passed_on(child: "subprocess.Popen[str]") -> Iterator[None]:
    """Pass SIGTERM on while the block runs; where this is not the main thread, which alone may, do not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Watch(threading.Thread):
    """Looks after one process: the most that it had, and whether it was stopped."""

    def __init__(self, child: "subprocess.Popen[str]", ram_mib: int) -> None:
        super().__init__(daemon=True)
        self.most_kib = 0
        self.stopped = False
        self._child, self._limit_kib = child, ram_mib * 1024
        self._done = threading.Event()

    def run(self) -> None:
        """Look until the process ends."""
        folder = Path("/proc", str(self._child.pid))
        seen = 0
        while not self._done.wait(_INTERVAL):
            try:
                resident = int((folder / "statm").read_text(encoding="ascii").split()[1]) * _PAGE_KIB
                if abs(resident - seen) < _STEP_KIB:  # QEMU included
                    continue
                seen = resident
                guest = guest_kib((folder / "smaps").read_text(encoding="utf-8", errors="replace"))
            except (OSError, IndexError):
                return  # it has ended
            self.most_kib = max(self.most_kib, guest)
            if guest > self._limit_kib:
                self.stopped = True
                self._child.kill()
                return

    def finish(self) -> None:
        """Stop looking."""
        self._done.set()
        self.join()


def guest_kib(smaps: str) -> int:
    """Resident memory of the guest's mappings, in KiB, from the text of /proc/PID/smaps."""
    total, guest = 0, False
    for line in smaps.splitlines():
        first, _, rest = line.partition(" ")
        if first == "Rss:":
            total += int(rest.split()[0]) if guest else 0
        elif not first.endswith(":"):
            start = int(first.partition("-")[0], 16)
            guest = start < _GUEST_ENDS
    return total
