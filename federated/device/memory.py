"""Giving memory back between two pieces of work: what was freed, and the code that only loading needed.

Most of what a small device spends on onnxruntime is its library's own pages, of which loading a graph touches far more
than a training step. They are clean and come back from the file when they are touched, so nothing is lost by letting
go of them. Linux alone knows how; elsewhere nothing happens.
"""

import ctypes
import mmap
import re
from functools import cache
from pathlib import Path

from edge_runtime.training.heap import give_back

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # M_... of malloc.h
_LARGE = 64 << 10
_MAPS = Path("/proc/self/smaps")
_DONT_NEED = getattr(mmap, "MADV_DONTNEED", None)
_READ_ONLY = ("r--p", "r-xp")
_PRIVATE = re.compile(r"^Anonymous:\s+([1-9])", re.MULTILINE)
_HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ ([1-9]\d*)\s+\S*\.so\S*$", re.MULTILINE)


def prepare() -> None:
    """From now on let the C library return blocks that are freed at once, and use one heap for all threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_ARENA_MAX, 1)


def settle() -> None:
    """Return to the system what is not in use."""
    give_back()
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if _DONT_NEED is None or advise is None or not _MAPS.is_file():
        return
    for first, end in _clean_code_here():
        advise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _DONT_NEED)


@cache
def _clean_code_here() -> list[tuple[int, int]]:
    return clean_code(_MAPS.read_text("utf-8", "replace"))


def clean_code(maps: str) -> list[tuple[int, int]]:
    """Where shared libraries lie that cannot be written and never were: all of their pages are the file's.

    Relocated tables look the same but for a few pages of their own ("Anonymous"), which must stay.
    """
    found = []
    heads = list(_HEAD.finditer(maps))
    for head in heads:
        entry = maps[head.end() : maps.find("VmFlags", head.end())]
        if head[3] in _READ_ONLY and not _PRIVATE.search(entry):
            found.append((int(head[1], 16), int(head[2], 16)))
    return found
