"""Opening a slot's model: with its content key where it is sealed, and with what its live data is compared with."""

import json
from contextlib import suppress
from pathlib import Path

from edge_runtime.agent import drift, durable
from edge_runtime.agent.slots import Slots
from edge_runtime.bundle import Bundle
from edge_runtime.errors import BackendError, LittoralError
from edge_runtime.session import Session

_KEPT = 8  # references


def opened(store: Path, slot: str, *, threads: int = 0) -> Session:
    """A session on the slot's bundle.

    Raises:
        BackendError: the slot is empty.
        LittoralError: it cannot be opened.
    """
    slots = Slots(store)
    release = slots.release(slot)
    if release is None:
        raise BackendError(f"{store}: " + (f"slot {slot} is empty" if slot else "no model answers here yet"))
    key = None
    if release.key:
        from edge_runtime.agent.credential import content_key

        key = content_key(store, release.key)
    bundle = Bundle.open(slots.bundle(slot), key, whole=False)
    # A simulator gives an accelerator's answers, and takes a hundred times as long.
    return Session(bundle, threads=threads, accelerators="hardware")


def own_reference(store: Path, model: str, session: Session) -> drift.Reference | None:
    """The model's reference: of its bundle, or as the device made it; None if there is none yet."""
    known = drift.load(store, model)
    if known is None and session.bundle is not None and drift.FILE in session.bundle:
        with suppress(LittoralError, ValueError, TypeError, KeyError, AttributeError):
            keep_reference(store, model, json.loads(session.bundle.read(drift.FILE)))
            known = drift.load(store, model)
    return known


def keep_reference(store: Path, model: str, known: drift.Reference) -> None:
    """Keep a model's reference, where the agent finds it; those of the last models stay."""
    folder = store / drift.FOLDER
    with suppress(OSError):
        durable.write(folder / f"{model}.json", json.dumps(known).encode())
        for old in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            old.unlink()
