"""The shadow: a new model beside the old one on what applications ran and run; its answers are compared, not used."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.agent.samples import WANTED, Sample, Samples
from edge_runtime.errors import LittoralError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_LOOK_S = 0.2
_NEAR = 0.05  # relative distance of two outputs that are no scores of classes, up to which they agree
_WARM = 2  # runs of each whose time does not count


@dataclass(slots=True)
class Seen:
    """What the shadow has seen so far; times in microseconds."""

    n: int = 0
    agreed: int = 0
    unlabelled: int = 0
    labelled: int = 0
    correct: int = 0
    old_correct: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)
    old_times: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `Reported.shadow` has it."""
        return {
            "n": self.n,
            "agree_ppm": 1_000_000 * self.agreed // self.unlabelled if self.unlabelled else 1_000_000,
            "unlabelled": self.unlabelled,
            "labelled": self.labelled,
            "correct": self.correct,
            "old_correct": self.old_correct,
            "errors": self.errors,
            "p95_us": _p95(self.times),
            "old_p95_us": _p95(self.old_times),
        }

    def compare(self, sample: Sample, new: Session, old: Session) -> None:
        """Run both on a sample, in turns first, and count."""
        try:
            was, spent_old = _timed(old, sample.inputs)
        except LittoralError:  # no input of this model's, an older one left it
            return
        try:
            found, spent = _timed(new, sample.inputs)
        except LittoralError:
            self.n, self.errors = self.n + 1, self.errors + 1
            return
        self.n += 1
        self.times.append(spent)
        self.old_times.append(spent_old)
        label = sample.label
        mine, others = _class(found), _class(was)
        if label is not None and mine is not None and others is not None:
            self.labelled += 1
            self.correct += mine == label
            self.old_correct += others == label
        else:
            self.unlabelled += 1
            self.agreed += agree(found, was)


def watch(
    store: Path,
    new: Session,
    old: Session,
    samples: int,
    seconds: float,
    tell: Callable[[Mapping[str, Any]], None] = lambda _seen: None,
) -> dict[str, Any]:
    """Compare two models on the recorded inputs, the newest first, and on those that come.

    Args:
        store: the agent's folder.
        new: the model that wants to take over.
        old: the one that answers.
        samples: how many inputs are compared.
        seconds: after which it ends with what there is.
        tell: told now and then what was seen so far.

    Returns:
        What was seen, as `judging.refused` takes it.
    """
    seen, ends, told = Seen(), time.monotonic() + seconds, time.monotonic()
    marker = store / WANTED
    with suppress(OSError):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    try:
        warm = False
        for sample in _coming(Samples(store), ends, samples):
            if not warm:
                for _ in range(_WARM):
                    Seen().compare(sample, new, old)
                warm = True
            seen.compare(sample, new, old)
            if seen.n >= samples:
                break
            if time.monotonic() > told + 2:
                tell(seen.to_json())
                told = time.monotonic()
    finally:
        with suppress(OSError):
            marker.unlink()
    return seen.to_json()


def _coming(held: Samples, ends: float, most: int) -> Iterator[Sample]:
    known: set[str] = set()
    while True:
        names = [name for name in held.names() if name not in known]
        for name in names[-most:][::-1] if not known else names:
            if time.monotonic() > ends:
                return
            sample = held.read(name)
            if sample is not None:
                yield sample
        known.update(names)
        if time.monotonic() > ends:
            return
        if not names:
            time.sleep(_LOOK_S)


def agree(found: Mapping[str, Array], was: Mapping[str, Array]) -> bool:
    """Whether two models answer the same: the best class of each sample; where outputs are no scores, nearly so."""
    if found.keys() != was.keys() and len(found) != len(was):
        return False
    for mine, other in zip(found.values(), was.values(), strict=True):
        if mine.shape != other.shape:
            return False
        if mine.ndim == 2 and mine.shape[1] > 1:
            if not np.array_equal(mine.argmax(axis=1), other.argmax(axis=1)):
                return False
        elif mine.dtype.kind == "f":
            far = float(np.linalg.norm(mine.astype(np.float64) - other))
            if not far <= _NEAR * max(float(np.linalg.norm(other.astype(np.float64))), 1e-12):
                return False
        elif not np.array_equal(mine, other):
            return False
    return True


def _class(outputs: Mapping[str, Array]) -> int | None:
    scores = next(iter(outputs.values()), None)
    if scores is None or scores.ndim != 2 or scores.shape[0] != 1 or scores.shape[1] < 2:
        return None
    return int(scores.argmax())


def _timed(session: Session, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
    began = time.perf_counter()
    found = session.run(inputs)
    return found, 1e6 * (time.perf_counter() - began)


def _p95(times: list[float]) -> int:
    return round(float(np.quantile(times, 0.95))) if times else 0
