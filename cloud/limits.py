"""How often something may happen: so much at once, and so much a second."""

import time
from collections.abc import Callable


class Limiter:
    """A bucket of `burst` tokens that fills at `rate` tokens a second; `refused` counts who came in vain."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._held, self._at = burst, clock()
        self.refused = 0

    def allow(self) -> bool:
        """Whether it may happen now."""
        now = self._clock()
        self._held = min(self._burst, self._held + (now - self._at) * self._rate)
        self._at = now
        if self._held < 1:
            self.refused += 1
            return False
        self._held -= 1
        return True
