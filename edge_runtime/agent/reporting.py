"""What the agent tells the cloud: what the device is, that it lives, and how its model does."""

import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.agent import drift, windows
from edge_runtime.agent.conditions import Now, temperature
from edge_runtime.agent.standing import State
from edge_runtime.agent.windows import Window
from edge_runtime.messages import Beat, Reported, Stats

_ENGINES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert"}


def capabilities() -> dict[str, Any]:
    """What the device has; engines are looked for, not loaded."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    except (OSError, ValueError):
        memory = 0
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mb": memory,
        "engines": [name for name, module in _ENGINES.items() if importlib.util.find_spec(module)],
    }


def version() -> str:
    """Of the agent."""
    from importlib import metadata

    try:
        return metadata.version("littoral")
    except metadata.PackageNotFoundError:
        return ""


def reported(state: State, trouble: str, target: str, agent: str, has: Mapping[str, Any]) -> Reported:
    """The twin's half that the device says."""
    return Reported(
        *(state.v, state.state, state.model, state.previous, state.slot, (trouble or state.error)[:1024]),
        *(state.progress_ppm, state.fetched_bytes, target, agent[:64], dict(has), state.shadow),
    )


def beat(store: Path, now: float, began: float, found: Now) -> Beat:
    """That the device lives; `began` is when the agent did, by the monotonic clock."""
    try:
        free = shutil.disk_usage(store).free // 1_000_000
    except OSError:
        free = 0
    up = int(time.monotonic() - began)
    return Beat(int(now), up, found.power, found.idle, found.metered, free, temperature())


class Ledger:
    """Sums up what applications write down: for the statistics, for drift, and for the probation."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._windows: dict[str, Window] = {}
        self._moving: dict[str, dict[str, list[int]]] = {}  # counts for drift, until there are enough
        self._since: dict[str, Window] = {}

    def collect(self) -> None:
        """Take what was written down since."""
        for window in windows.collect(self._store):
            for kept in (self._windows, self._since):
                if window.model in kept:
                    kept[window.model].add(window)
                else:
                    kept[window.model] = Window(window.model, window.begin)
                    kept[window.model].add(window)

    def forget(self) -> None:
        """Begin anew for the probation: another model answers."""
        self._since.clear()

    def lived(self, model: str) -> Window | None:
        """What was seen of the model since `forget`."""
        return self._since.get(model)

    def stats(self) -> list[Stats]:
        """The statistics since they were last asked for, one a model that answered."""
        found, self._windows = list(self._windows.values()), {}
        return [
            self._stats(window)
            for window in found
            if len(window.model) == 64 and (window.n or window.labelled)
        ]

    def _stats(self, window: Window) -> Stats:
        return Stats(
            *(window.model, int(window.begin), int(window.end), window.n, window.errors),
            *(window.quantile_us(0.5), window.quantile_us(0.95), window.quantile_us(0.99)),
            *(window.labelled, window.correct, self._drift(window)),
        )

    def _drift(self, window: Window) -> int | None:
        moving = Window(window.model, window.begin, features=self._moving.get(window.model, {}))
        moving.add(window)
        known = drift.load(self._store, window.model)
        found = drift.distance_ppm(known, moving.features) if known else None
        self._moving = {window.model: moving.features} if found is None else {}
        return found
