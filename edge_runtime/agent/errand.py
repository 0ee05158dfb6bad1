"""Errands to the fleet, in a process of their own: ``python -m edge_runtime.agent.errand fetch | renew``.

What they import (TUF's metadata, cryptography, arrays for patches) does not stay in the agent's memory, and a fetch
that is not wanted any more is simply ended: the next one goes on from where it was.
"""

import argparse
import shutil
from pathlib import Path

from edge_runtime.agent import credential, worker
from edge_runtime.agent.credential import FOLDER, ROOT
from edge_runtime.agent.slots import NAMES, Slots
from edge_runtime.errors import FleetError, TransferError

INCOMING, TRUST = "incoming", "trust"


def fetch(store: Path, path: str, sha256: str, max_kbps: int, at_least: float, wrapped: str = "") -> None:
    """Fetch a bundle into ``incoming/SHA256/`` and say where it lies and how many bytes moved.

    With the wrapped content key of a sealed one a patch will do, too.

    Raises:
        FleetError: what is signed is another bundle, or nothing is signed.
        TransferError: the repository cannot be reached, or the disk is full.
    """
    from edge_runtime.agent.fetch import fetch as bring
    from edge_runtime.agent.trust import Trust, UnlistedError

    identity = credential.load(store)
    tls = credential.context(store) if identity.repository.startswith("https") else None
    root = (store / FOLDER / ROOT).read_bytes()
    trust = Trust(store / TRUST, identity.repository, root, context=tls)
    trust.learn_time(at_least)
    try:
        signed = trust.release(path)
    except (
        UnlistedError
    ) as error:  # a gateway that has lost the cloud answers with what it knew before the wish
        raise TransferError(f"{error}; it is asked for again") from error
    if signed.sha256 != sha256:
        raise FleetError(
            f"{path} is signed with SHA-256 {signed.sha256[:12]}…, the wish says {sha256[:12]}…; refused"
        )
    slots, into = Slots(store), store / INCOMING / sha256
    if into.parent.is_dir():
        for other in into.parent.iterdir():
            if other != into:
                shutil.rmtree(other, ignore_errors=True)
    have = {held.sha256: slots.bundle(slot) for slot in NAMES if (held := slots.release(slot)) is not None}
    moved = 0

    def progress(done: int, total: int, bytes_moved: int, /) -> None:
        nonlocal moved
        moved = bytes_moved
        worker.say(moved=moved, ppm=1_000_000 * done // max(total, 1))

    key = credential.content_key(store, wrapped) if wrapped else None
    found = bring(signed, have, into, max_kbps=max_kbps, progress=progress, context=tls, key=key)
    worker.say(path=str(found), moved=moved)


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="edge_runtime.agent.errand")
    parser.add_argument("what", choices=("fetch", "renew"))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--path", default="")
    parser.add_argument("--sha256", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--max-kbps", type=int, default=0)
    parser.add_argument("--time", type=float, default=0)
    args = parser.parse_args()
    if args.what == "fetch":
        fetch(args.store, args.path, args.sha256, args.max_kbps, args.time, args.key)
    else:
        worker.say(ends=credential.renew(args.store).ends)


if __name__ == "__main__":
    worker.serve(main)
