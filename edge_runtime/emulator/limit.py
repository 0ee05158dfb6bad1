"""The emulated device's memory: a process that takes more than there is dies, as it would there.

QEMU's user mode sets no limit, and the kernel's own would count QEMU with the guest: its translated code and
its tables. So the mappings of the process are looked at while it runs, twenty times a second, and those that
belong to the guest are added up. QEMU puts the guest below itself and its libraries.
"""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_runtime.errors import EmulatorError

_INTERVAL = 0.05  # seconds; an emulated process writes a few megabytes in that time
_GUEST_ENDS = 0x5000_0000_0000
_PAGE_KIB = 4


def call(
    command: Sequence[Any], name: str, ram_mib: int, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run an emulated process, as `subprocess.run` would, and stop it when it takes more than the memory.

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
            stdout, stderr = child.communicate()
        except BaseException:
            child.kill()
            raise
        finally:
            watch.finish()
    if watch.taken_mib:
        raise EmulatorError(
            f"{name}: out of memory: the process took {watch.taken_mib} MiB, and the device has {ram_mib}; give it "
            "less to do: a smaller batch, or a bundle made with --max-memory"
        )
    return subprocess.CompletedProcess(command, child.returncode, stdout, stderr)


class _Watch(threading.Thread):
    """Looks after one process; `taken_mib` is what it had when it was stopped, or 0."""

    def __init__(self, child: "subprocess.Popen[str]", ram_mib: int) -> None:
        super().__init__(daemon=True)
        self.taken_mib = 0
        self._child, self._limit_kib = child, ram_mib * 1024
        self._done = threading.Event()

    def run(self) -> None:
        """Look until the process ends."""
        folder = Path("/proc", str(self._child.pid))
        while not self._done.wait(_INTERVAL):
            try:
                resident = int((folder / "statm").read_text(encoding="ascii").split()[1]) * _PAGE_KIB
                if resident <= self._limit_kib:  # QEMU included; reading all mappings takes longer
                    continue
                guest = guest_kib((folder / "smaps").read_text(encoding="utf-8", errors="replace"))
            except (OSError, IndexError):
                return  # it has ended
            if guest > self._limit_kib:
                self.taken_mib = -(-guest // 1024)
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
