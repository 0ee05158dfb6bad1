"""What the C library keeps of memory that was freed; only the GNU C library does, and can be told not to."""

import ctypes
from typing import Any

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE = 1 << 20


def give_back() -> None:
    """Return to the system what was freed and is kept."""
    _call("malloc_trim", 0)


def keep_little() -> None:
    """From now on return blocks of a megabyte and more at once, for as long as the process lives.

    Else the library learns from the first large block that is freed to keep such ones, up to 32 MB each, for
    the next of the same size: weights that were read once stay in the way of those that are written.
    """
    _call("mallopt", _MMAP_THRESHOLD, _LARGE)


def _call(name: str, *arguments: int) -> None:
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
