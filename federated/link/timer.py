"""One thread a process that calls every second, however many ends of the link the process holds."""

import threading
from collections.abc import Callable

Call = Callable[[], None]


class Timer:
    """Calls what was added once a second; its thread runs while there is something to call."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self._interval_s = interval_s
        self._calls: list[Call] = []
        self._lock = threading.Lock()
        self._running = False

    def add(self, call: Call) -> None:
        """Call this from now on."""
        with self._lock:
            self._calls.append(call)
            start, self._running = not self._running, True
        if start:
            threading.Thread(target=self._run, daemon=True, name="link timer").start()

    def remove(self, call: Call) -> None:
        """Do not call this any more."""
        with self._lock:
            if call in self._calls:
                self._calls.remove(call)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._interval_s)
            with self._lock:
                calls = list(self._calls)
                if not calls:
                    self._running = False
                    return
            for call in calls:
                call()


TIMER = Timer()
