"""The two slots of models: one answers, into the other the next one is put; a link says which is which.

::

    slots/a/model.bundle     a bundle, as the repository has it
    slots/a/release.json     which one it is; without it the slot is empty, whatever else lies there
    slots/b/...
    current -> slots/a       what answers

A slot that answers is never written to. The link changes by one rename, so there is always one that answers.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edge_runtime.agent import durable
from edge_runtime.errors import FleetError, LittoralError
from edge_runtime.files import sha256
from edge_runtime.messages import Release

NAMES = ("a", "b")
BUNDLE, RELEASE, CURRENT = "model.bundle", "release.json", "current"


class Slots:
    """The slots of a store."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def current(self) -> str:
        """The slot that answers; "" if none does."""
        with suppress(OSError):
            name = (self._store / CURRENT).readlink().name
            return name if name in NAMES else ""
        return ""

    def bundle(self, slot: str) -> Path:
        """Where the slot's bundle lies, or would."""
        return self._store / "slots" / slot / BUNDLE

    def release(self, slot: str) -> Release | None:
        """What the slot holds; None if it is empty."""
        return release_in(self._store / "slots" / slot)

    def sound(self, slot: str) -> str:
        """SHA-256 of what the slot holds, if its bundle is still that one; else ""."""
        held = self.release(slot) if slot else None
        with suppress(OSError):
            if held and sha256(self.bundle(slot)) == held.sha256:
                return held.sha256
        return ""

    def install(self, slot: str, bundle: Path, release: Release) -> None:
        """Move a bundle, checked already, into a slot that does not answer.

        Raises:
            OSError: the disk is full; the slot is empty then.
        """
        if slot == self.current():
            raise FleetError(f"slot {slot} answers; a model is put into the other one")
        home = self._store / "slots" / slot
        home.mkdir(parents=True, exist_ok=True)
        durable.remove(home / RELEASE)
        durable.move(bundle, home / BUNDLE)
        durable.write(home / RELEASE, json.dumps(asdict(release)).encode())

    def empty(self, slot: str) -> None:
        """Forget what a slot that does not answer holds, to have its room."""
        home = self._store / "slots" / slot
        if slot != self.current() and home.is_dir():
            durable.remove(home / RELEASE)
            durable.remove(home / BUNDLE)

    def switch(self, slot: str) -> None:
        """Let this slot answer; "" lets none.

        Raises:
            OSError: the disk may not be written; the other one answers then.
        """
        if slot:
            durable.link(self._store / CURRENT, f"slots/{slot}")
        else:
            durable.remove(self._store / CURRENT)


def release_in(folder: Path) -> Release | None:
    """What a slot's folder holds; None if it is empty or cannot be read."""
    try:
        return Release.read(json.loads((folder / RELEASE).read_bytes()))
    except (OSError, ValueError, LittoralError):
        return None
