"""Looks at devices' stores from outside while their agents are killed: is there always a model that works?

The kernel tells of each rename of the link `current` (inotify(7)), so that no switch is missed; between these, each
slot that answers is opened in turn and its content compared with its SHA-256.
"""

import ctypes
import hashlib
import json
import os
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

_libc = ctypes.CDLL(None, use_errno=True)
_MOVED_FROM, _MOVED_TO, _DELETE, _NONBLOCK = 0x40, 0x80, 0x200, 0o4000
_WANTED = (
    _MOVED_FROM | _MOVED_TO | _DELETE
)  # the first because the kernel makes one of two that are equal in a row
_EVENT = struct.Struct("iIII")
_LOOK_S = 0.05


class Witness:
    """Watches the stores of devices, by name.

    `switches` counts how often each device's link was changed since `clear`; `stranded` holds a sentence for each
    time that a device had no model that works. Only devices that had one before are asked for it.
    """

    def __init__(self, stores: Mapping[str, Path]) -> None:
        self._stores, self.switches, self.stranded = dict(stores), Counter[str](), list[str]()
        self.looks = 0
        self.good: set[str] = set()  # SHA-256 of models that work; a device runs one of these
        self._had: set[str] = set()
        self._handle = _libc.inotify_init1(_NONBLOCK)
        if self._handle < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._names: dict[int, str] = {}
        for name, store in self._stores.items():
            watch = _libc.inotify_add_watch(self._handle, os.fsencode(store), _WANTED)
            self._names[watch] = name
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()
        os.close(self._handle)

    def clear(self) -> None:
        """Forget the switches until now."""
        with self._lock:
            self._hear()
            self.switches.clear()

    def counted(self) -> Counter[str]:
        """The switches until now."""
        with self._lock:
            self._hear()
            return Counter(self.switches)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            with self._lock:
                self._hear()
            for name, store in self._stores.items():
                self.looks += 1
                if working(store) in self.good:
                    self._had.add(name)
                elif name in self._had and (found := working(store)) not in self.good:
                    self.stranded.append(f"{name}: {found or 'no model that works'}")

    def _hear(self) -> None:
        content = b""
        with suppress(BlockingIOError):
            content = os.read(self._handle, 1 << 20)
        at = 0
        while at < len(content):
            watch, mask, _, length = _EVENT.unpack_from(content, at)
            at += _EVENT.size
            called = content[at : at + length].rstrip(b"\0")
            at += length
            if called == b"current":
                self.switches[self._names[watch]] += 1
                if mask & _DELETE:
                    self.stranded.append(f"{self._names[watch]}: the link was removed")


def working(store: Path) -> str:
    """SHA-256 of the model that answers, if its slot holds just that; else "". A switch in between is asked again."""
    for _ in range(20):
        link = ""
        with suppress(OSError, ValueError, KeyError):
            link = str((store / "current").readlink())
            told = str(json.loads((store / link / "release.json").read_bytes())["sha256"])
            if hashlib.sha256((store / link / "model.bundle").read_bytes()).hexdigest() == told:
                return told
        again = ""
        with suppress(OSError):
            again = str((store / "current").readlink())
        if again == link:
            return ""
    return ""
