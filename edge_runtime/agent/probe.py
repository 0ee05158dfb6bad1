"""Probes of a model, in a process of their own: ``python -m edge_runtime.agent.probe check | shadow``.

``check`` opens a slot's bundle, compares it with the bundle's own self-test vectors, and times it. ``shadow`` runs a
new model beside the old one (`shadow`).
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_runtime import profile
from edge_runtime.accelerators import selftest
from edge_runtime.agent import opening, shadow, worker
from edge_runtime.agent.judging import slow
from edge_runtime.errors import BackendError, LittoralError, ModelError
from edge_runtime.session import Session

SIMILAR = 0.99  # cosine similarity to the self-test's outputs, as accelerators have to reach
_ROUNDS, _WARM = 30, 3
_SECONDS = 5.0  # of timing at most


def check(store: Path, slot: str, beside: str = "", max_slower_ppm: int = 0) -> dict[str, int | float]:
    """Probe the model of a slot.

    Args:
        store: the agent's folder.
        slot: which one.
        beside: another slot, in turns with which it is timed; "" for none.
        max_slower_ppm: how much slower its median may be than that one's, in millionths; of so few calls the 95th
            percentile says more of the device's other work than of the model.

    Returns:
        p50_us, p95_us, and similarity to the self-test's outputs (1 where the bundle has none).

    Raises:
        LittoralError: it cannot be opened, gives other outputs than its self-test, or is too slow.
    """
    try:
        session = opening.opened(store, slot, threads=1)
    except LittoralError as error:
        raise ModelError(f"the model cannot be opened: {error}") from error
    similar = _tested(session)
    given = selftest.inputs(session.inputs)
    calls: list[Callable[[], object]] = [lambda: session.run(given)]
    if beside:
        other = opening.opened(store, beside, threads=1)
        its = selftest.inputs(other.inputs)
        calls.append(lambda: other.run(its))
    began = time.perf_counter()
    for call in calls:
        call()
    rounds = max(5, min(_ROUNDS, int(_SECONDS / max(time.perf_counter() - began, 1e-6))))
    found = profile.interleaved(calls, rounds, _WARM)
    median, high = (round(1000 * each) for each in (found[0].median_ms, found[0].p95_ms))
    if beside and (why := slow(median, round(1000 * found[1].median_ms), max_slower_ppm)):
        raise ModelError(why)
    return {"p50_us": median, "p95_us": high, "similarity": similar}


def _tested(session: Session) -> float:
    bundle = session.bundle
    if bundle is not None and selftest.FILE in bundle:
        test = selftest.stored(session.inputs, bundle.read(selftest.FILE))
        try:
            return test.check(session.run(test.inputs), SIMILAR)
        except BackendError as error:
            raise ModelError(f"the model does not give what its bundle says: {error}") from error
    for name, value in session.run(selftest.inputs(session.inputs)).items():
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ModelError(f"the model gives no number in its output '{name}'")
    return 1.0


def watch(store: Path, new: str, old: str, samples: int, seconds: float) -> None:
    """Probe the new model, then run it beside the old one."""
    check(store, new)
    sessions = (opening.opened(store, new, threads=1), opening.opened(store, old, threads=1))
    seen = shadow.watch(store, *sessions, samples, seconds, lambda now: worker.say(seeing=now))
    worker.say(seen=seen)


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="edge_runtime.agent.probe")
    parser.add_argument("what", choices=("check", "shadow"))
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--slot", required=True)
    parser.add_argument("--beside", default="")
    parser.add_argument("--max-slower-ppm", type=int, default=0)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    args = parser.parse_args()
    if args.what == "check":
        worker.say(passed=check(args.store, args.slot, args.beside, args.max_slower_ppm))
    else:
        watch(args.store, args.slot, args.beside, args.samples, args.seconds)


if __name__ == "__main__":
    worker.serve(main)
