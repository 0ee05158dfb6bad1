"""A race of settings: sessions timed in turn with an untuned one, and the check that they answer the same.

Successive halving (Jamieson and Talwalkar, "Non-stochastic best arm identification", 2016): every setting gets a few
turns, the better half twice as many, and so on. What counts is the median of the ratios to the reference within a turn,
so that what else runs on the device meets both.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_runtime import tensors
from edge_runtime.engines import Engine
from edge_runtime.errors import LittoralError
from edge_runtime.tensors import Array
from edge_runtime.tuning.setting import Setting
from edge_runtime.tuning.source import Source
from edge_runtime.tuning.store import Choice, Row

TOLERANCE = 1e-4
"""Largest difference from what the graph says that a setting's outputs may have, relative to the largest value of each.

What it says is computed in floats, so that kernels of integers, each of which rounds in its own way, all have their
distance from it: a setting of a quantised model may be `COARSER` times as far from it as an untuned session is."""
COARSER = 1.5
GAIN = 0.99
"""A setting is taken if it needs at most this share of an untuned session's time; less is not worth a change."""
_TOGETHER = 3  # sessions open at a time, beside the reference
_LEAST_S = 0.002  # a turn is as many calls as take that long
_FIRST, _FINAL = 5, 30  # turns in the first round, and in the last
_INPUTS = 3  # random inputs whose outputs are compared


@dataclass
class _Seen:
    """What is known of a setting: ratios to the reference, seconds a call, and why it is out."""

    setting: Setting
    ratios: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    difference: float | None = None
    why: str = ""

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios) if self.ratios and not self.why else math.inf

    def row(self, why: str) -> Row:
        ratio = statistics.median(self.ratios) if self.ratios else None
        ms = 1e3 * statistics.median(self.seconds) if self.seconds else None
        return Row(str(self.setting), ratio, ms, self.difference, self.why or why)


class Race:
    """The reference, what every setting must answer, and what was measured so far."""

    def __init__(
        self, source: Source, reference: Setting, budget_s: float, exact_int8: bool, seed: int
    ) -> None:
        self._source, self._reference, self._exact = source, reference, exact_int8
        self._ends = time.monotonic() + budget_s
        self._clock: Callable[[], float] = time.process_time if reference.threads == 1 else time.perf_counter
        self._engine = reference.open(source, exact_int8=exact_int8)
        self._feeds = [tensors.example(self._engine.inputs, seed + k) for k in range(_INPUTS)]
        self._wanted = self._meant()
        own = self._difference(self._engine)
        self._allowed = max(TOLERANCE, COARSER * own)
        self._base = _Seen(reference, [1.0], [], own)
        self._seen = {str(reference): self._base}
        self._calls = max(1, math.ceil(_LEAST_S / max(self._turn(self._engine, 3), 1e-7)))

    def ratio(self, setting: Setting) -> float:
        """Time of a call over the reference's; infinite if the setting is out, or was not timed."""
        return self._of(setting).ratio

    def halved(self, settings: Sequence[Setting]) -> list[Setting]:
        """The settings that were left at the end, best first."""
        left, turns = list(settings), _FIRST
        while left:
            for k in range(0, len(left), _TOGETHER):
                if self._over() and any(self.ratio(each) < math.inf for each in left):
                    break
                self._time(left[k : k + _TOGETHER], turns)
            left = [each for each in sorted(left, key=self.ratio) if self.ratio(each) < math.inf]
            if len(left) <= 2 or self._over():
                break
            left, turns = left[: math.ceil(len(left) / 2)], 2 * turns
        return left

    def choice(self, finalists: Sequence[Setting]) -> Choice:
        """The best of the finalists after a last round; an untuned session where none is better by enough."""
        ranked = sorted({str(each): each for each in finalists}.values(), key=self.ratio)
        last = [each for each in ranked if self._of(each) is not self._base and not self._of(each).why]
        if not self._over():
            for each in last:
                self._of(each).ratios.clear()
            for k in range(0, len(last), _TOGETHER):
                self._time(last[k : k + _TOGETHER], _FINAL)
        best = min(ranked, key=self.ratio, default=self._reference)
        taken = best if self.ratio(best) <= GAIN else self._reference
        rows = []
        for seen in sorted(self._seen.values(), key=lambda each: each.ratio):
            why = "no better than untuned" if seen.ratio > GAIN else "another is faster"
            rows.append(seen.row("taken" if str(seen.setting) == str(taken) else why))
        return Choice(taken, self.ratio(taken), tuple(rows))

    def _over(self) -> bool:
        return time.monotonic() > self._ends

    def _of(self, setting: Setting) -> _Seen:
        return self._seen.setdefault(str(setting), _Seen(setting))

    def _time(self, settings: Sequence[Setting], turns: int) -> None:
        """Time settings in turn with the reference; one that cannot be opened or answers otherwise is out."""
        opened = list(self._opened(settings))
        if not opened:
            return
        entries = [(self._base, self._engine), *opened]
        for turn in range(turns):
            for seen, engine in entries if turn % 2 else reversed(entries):
                self._turn(engine, 1)  # the one before has left its own weights in the processor's caches
                seen.seconds.append(self._turn(engine, self._calls))
            for seen, _ in opened:
                seen.ratios.append(seen.seconds[-1] / max(self._base.seconds[-1], 1e-9))

    def _opened(self, settings: Sequence[Setting]) -> Iterator[tuple[_Seen, Engine]]:
        for setting in settings:
            seen = self._of(setting)
            if seen.why or seen is self._base:
                continue
            try:
                engine = setting.open(self._source, exact_int8=self._exact)
                seen.difference = self._difference(engine)
            except LittoralError as error:
                seen.why = f"refused: {error}"
                continue
            if seen.difference > self._allowed:
                seen.why = f"other outputs (allowed: {self._allowed:.1e})"
                continue
            yield seen, engine

    def _meant(self) -> list[dict[str, Array]]:
        """What the graph says, a quantised one in floats; without an ONNX form, what an untuned session says."""
        engine = self._engine
        if "onnxruntime" in self._source.engines():
            plain = {"config": {"session.disable_quant_qdq": "1"}}
            engine = Setting("onnxruntime", self._reference.threads, "", plain).open(self._source)
        return [engine.run(feed) for feed in self._feeds]

    def _difference(self, engine: Engine) -> float:
        pairs = zip(self._wanted, self._feeds, strict=True)
        return max(difference(wanted, engine.run(feed)) for wanted, feed in pairs)

    def _turn(self, engine: Engine, calls: int) -> float:
        began = self._clock()
        for _ in range(calls):
            engine.run(self._feeds[0])
        return (self._clock() - began) / calls


def difference(wanted: Mapping[str, Array], got: Mapping[str, Array]) -> float:
    """The largest difference of an output, relative to the largest value of that output; infinite if one is missing.

    >>> difference({"y": np.array([2.0, 4.0])}, {"y": np.array([2.0, 5.0])})
    0.25
    """
    worst = 0.0
    for name, expected in wanted.items():
        array = got.get(name)
        if array is None or array.shape != expected.shape:
            return math.inf
        if not expected.size:
            continue
        a, b = expected.astype(np.float64), array.astype(np.float64)
        gap = float(np.abs(a - b).max() / max(float(np.abs(a).max()), 1e-9))
        worst = max(worst, gap if math.isfinite(gap) else math.inf)
    return worst
