"""What `littoral bench` measures of several models: in turn where weather matters, one by one where memory does."""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_runtime import console, profile
from edge_runtime.bench import energy, operators, start
from edge_runtime.errors import BackendError
from edge_runtime.session import Session
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Measured:
    """One model: None is what was not asked for or cannot be measured here."""

    model: str
    bytes: int
    batch: int
    engine: str
    latency: profile.Latency
    energy: energy.Energy | None
    start: start.Start | None
    operators: operators.Profile | None

    @property
    def per_second(self) -> float:
        """Samples a second of one caller that never waits."""
        return 1000 * self.batch / self.latency.mean_ms

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {
            "model": self.model,
            "bytes": self.bytes,
            "engine": self.engine,
            "batch": self.batch,
            **self.latency.to_json(),
            "samples_per_second": self.per_second,
            "energy": asdict(self.energy) if self.energy else None,
            "cold_start": self.start.to_json() if self.start else None,
            **({"operators": self.operators.to_json()} if self.operators else {}),
        }


def measure(
    paths: Sequence[str],
    sessions: Sequence[Session],
    feeds: Sequence[Mapping[str, Array]],
    args: argparse.Namespace,
) -> list[Measured]:
    """Measure the models.

    Args:
        paths: where they are.
        sessions: loaded from there.
        feeds: an input for each.
        args: rounds, threads, batch, starts, engine and operators, as on the command line.

    Raises:
        ModelError: one cannot be run.
    """
    calls = [partial(session.run, feed) for session, feed in zip(sessions, feeds, strict=True)]
    latencies = profile.interleaved(calls, args.rounds)
    # A fresh process would not run on an emulated device, but on the machine that emulates it.
    emulated = any(os.environ.get(each) for each in (profile.MARKS_VARIABLE, profile.EMULATED_VARIABLE))
    found = []
    for path, session, feed, latency in zip(paths, sessions, feeds, latencies, strict=True):
        spent = energy.measure(partial(_repeat, session, feed, args.rounds), args.rounds, time.perf_counter)
        parts = _operators(session, path, feed, args) if args.operators else None
        varies = any(isinstance(spec.shape[0], str) for spec in session.inputs if spec.shape)
        begun = None if emulated or not args.starts else _start(path, session.engine, args)
        size = session.bundle.size if session.bundle else Path(path).stat().st_size
        found.append(
            Measured(path, size, args.batch if varies else 1, session.engine, latency, spent, begun, parts)
        )
    return found


def _repeat(session: Session, feed: Mapping[str, Array], count: int) -> None:
    for _ in range(count):
        session.run(feed)


def _operators(
    session: Session, path: str, feed: Mapping[str, Array], args: argparse.Namespace
) -> operators.Profile | None:
    try:
        return operators.profile(session, path, feed, threads=args.threads, runs=min(args.rounds, 30))
    except BackendError as error:
        console.say(f"{path}: operators not measured: {error}")
        return None


def _start(path: str, engine: str, args: argparse.Namespace) -> start.Start | None:
    try:
        return start.cold(
            path,
            engine,
            asked=args.engine is not None,
            threads=args.threads,
            free=args.batch,
            starts=args.starts,
        )
    except BackendError as error:
        console.say(f"{path}: cold start not measured: {error}")
        return None
