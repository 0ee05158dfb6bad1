"""What an application on the device runs its model by: it changes with the slot, and writes down how the model does.

::

    live = Live("/var/lib/littoral")
    scores = live.run({"x": x})["logits"]
    live.label(7)                           # where the application learns what was right

A new version is loaded beside the old one and takes its place between two calls. If it cannot be loaded the old one
goes on, and the agent is told.
"""

import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from edge_runtime.agent import drift
from edge_runtime.agent.samples import WANTED, Samples
from edge_runtime.agent.slots import CURRENT, RELEASE, Slots, release_in
from edge_runtime.agent.windows import FOLDER as WINDOWS
from edge_runtime.agent.windows import Window, prune
from edge_runtime.errors import BackendError, LittoralError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_LOOK_S = 0.2  # between looks at the slot
_FLUSH_S = 5.0
_SAMPLE_S = 2.0  # between kept samples, unless a shadow wants all
_LABEL_S = 0.5  # between kept samples with a label, likewise
_FEATURES_S = 0.02  # between calls whose numbers are counted for drift
_REMEMBERED = 64  # calls whose inputs wait for a label
_QUEUE = 64

Stamp = tuple[int, int, int]


class Live:
    """The model that answers on this device. `run` may be called from several threads.

    Args:
        store: the agent's folder.
        threads: within an operator; 0 for the engine's choice.
        max_sample_bytes: what recorded inputs may take of the disk; 0 records none.

    Raises:
        BackendError: no model answers on this device yet.
        LittoralError: the model cannot be loaded.
    """

    def __init__(
        self, store: str | os.PathLike[str], *, threads: int = 0, max_sample_bytes: int = 16 << 20
    ) -> None:
        self._store, self._threads = Path(store), threads
        self._samples = Samples(self._store, max_bytes=max_sample_bytes) if max_sample_bytes else None
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, tuple[str, Mapping[str, Array], int, bool]] = OrderedDict()
        self._last = threading.local()
        self._count = self._serial = 0
        self._labels_come = self._all_wanted = False
        self._next_sample = self._next_features = self._next_label = 0.0
        self._own: dict[str, list[Array]] = {}  # numbers that become the model's reference
        self._kept: queue.Queue[tuple[Mapping[str, Array], int | None]] = queue.Queue(_QUEUE)
        self._stamp = self._look()
        if self._stamp is None:
            raise BackendError(
                f"{store}: no model answers here yet; the agent fetches one when the fleet wishes it"
            )
        self._refused: Stamp | None = None
        self._window = Window("", time.time())
        self._take(*self._open(self._stamp))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="live", daemon=True)
        self._thread.start()

    @property
    def model(self) -> str:
        """SHA-256 of the bundle that answers."""
        return self._answering[0]

    @property
    def session(self) -> Session:
        """The session that answers now; the next call may have another."""
        return self._answering[1]

    @property
    def answering(self) -> tuple[str, Session]:
        """The model that answers now and its session, which belong together."""
        return self._answering

    @property
    def last(self) -> int:
        """The number of this thread's last call, by which a label may come late."""
        return int(getattr(self._last, "number", 0))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model that answers; see `Session.run`."""
        model, session = self._answering
        began = time.perf_counter()
        try:
            outputs = session.run(inputs)
        except LittoralError:
            self.note(model, inputs, None)
            raise
        self.note(model, inputs, outputs, time.perf_counter() - began)
        return outputs

    def note(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array] | None,
        seconds: float = 0.0,
    ) -> None:
        """Write down a call that another one made, such as a server that runs several together.

        Args:
            model: what answered, of `answering`.
            inputs: what was asked.
            outputs: what it gave; None if it failed.
            seconds: how long that took.
        """
        if outputs is not None:
            self._note(model, inputs, outputs, seconds, time.perf_counter())
            return
        with self._lock:
            if self._window.model == model:
                self._window.n += 1
                self._window.errors += 1

    def label(self, label: int, call: int | None = None) -> None:
        """What was right: the index of the class, for this thread's last call or one of the last ones by its number.

        The call must have been of one sample. Until the first label came, only recorded inputs are kept for labels.
        """
        self._labels_come = True
        with self._lock:
            model, inputs, answer, _ = self._recent.pop(call or self.last, ("", {}, -1, False))
            if answer < 0:
                return
            if self._window.model == model:
                self._window.labelled += 1
                self._window.correct += answer == label
            now = time.perf_counter()
            due, self._next_label = now >= self._next_label, max(self._next_label, now + _LABEL_S)
        if due or self._all_wanted:
            self._keep(inputs, int(label))

    def close(self) -> None:
        """Write down what is still in memory."""
        self._ended.set()
        self._thread.join(5)
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------------------------- what is noted of a call
    def _note(
        self, model: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array], spent: float, now: float
    ) -> None:
        sampled = self._samples is not None and (self._all_wanted or now >= self._next_sample)
        numbers: Mapping[str, Array] = {}
        if now >= self._next_features:
            self._next_features = now + _FEATURES_S
            with suppress(TypeError, ValueError, AttributeError):  # what is no array of numbers has none
                numbers = drift.features(inputs, outputs)
        copied = None
        if sampled or self._labels_come:
            with suppress(TypeError, ValueError):
                copied = {name: np.array(value) for name, value in inputs.items()}
        with self._lock:
            self._count += 1
            self._last.number = self._count
            if self._window.model == model:
                self._window.n += 1
                self._window.took(spent)
                self._learn(numbers)
            if copied is not None:
                self._recent[self._count] = (model, copied, _answer(outputs), sampled)
                if len(self._recent) > _REMEMBERED:
                    _, (_, old, _, wanted) = self._recent.popitem(last=False)
                    if wanted and self._labels_come:  # no label came for it
                        self._keep(old, None)
        if sampled and copied is not None:
            self._next_sample = now + _SAMPLE_S
            if not self._labels_come:  # else it is kept once its label has come
                self._keep(copied, None)

    def _learn(self, numbers: Mapping[str, Array]) -> None:
        """Count for drift, or gather what the model will be compared with."""
        if self._reference is None:
            for name, values in numbers.items():
                self._own.setdefault(name, []).append(values)
            return
        for name, values in numbers.items():
            known = self._reference.get(name)
            if known is None:
                continue
            found = drift.counts(known, values[np.isfinite(values)])
            held = self._window.features.get(name)
            self._window.features[name] = (
                found if held is None else [a + b for a, b in zip(held, found, strict=True)]
            )

    def _keep(self, inputs: Mapping[str, Array], label: int | None) -> None:
        if self._samples is not None:
            with suppress(queue.Full):
                self._kept.put_nowait((inputs, label))

    # ---------------------------------------------------------------------------------- beside the calls
    def _tend(self) -> None:
        flush = time.monotonic() + _FLUSH_S
        while not self._ended.wait(_LOOK_S):
            stamp = self._look()
            if stamp is not None and stamp not in (self._stamp, self._refused):
                self._change(stamp)
            self._all_wanted = (self._store / WANTED).exists()
            self._write_samples()
            urgent = self._window.errors and self._window.n < 100
            if time.monotonic() >= flush or urgent:
                self._flush()
                flush = time.monotonic() + _FLUSH_S

    def _look(self) -> Stamp | None:
        """What changes when another model answers."""
        try:
            found = (self._store / CURRENT / RELEASE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _open(self, stamp: Stamp) -> tuple[Stamp, str, Session, drift.Reference | None]:
        """The model of the slot that answers, loaded and run once."""
        from edge_runtime.agent.opening import opened, own_reference

        slot = Slots(self._store).current()
        release = release_in(self._store / "slots" / slot) if slot else None
        if release is None:
            raise BackendError(f"{self._store}: no model answers here")
        session = opened(self._store, slot, threads=self._threads)
        return stamp, release.sha256, session, own_reference(self._store, release.sha256, session)

    def _change(self, stamp: Stamp) -> None:
        try:
            found = self._open(stamp)
        except (LittoralError, OSError) as error:
            self._refused = stamp
            release = release_in(self._store / CURRENT)
            self._serial += 1
            told = Window(
                release.sha256 if release else "", time.time(), time.time(), unloadable=str(error)[:300]
            )
            told.write(self._store, self._serial)
            return
        self._flush()
        self._take(*found)

    def _take(self, stamp: Stamp, model: str, session: Session, known: drift.Reference | None) -> None:
        with self._lock:
            self._stamp, self._answering, self._reference = stamp, (model, session), known
            self._window, self._own = Window(model, time.time()), {}

    def _write_samples(self) -> None:
        while self._samples is not None:
            try:
                inputs, label = self._kept.get_nowait()
            except queue.Empty:
                return
            self._samples.put(inputs, label)

    def _flush(self) -> None:
        from edge_runtime.agent.opening import keep_reference

        self._write_samples()
        with self._lock:
            window, self._window = self._window, Window(self._window.model, time.time())
            own = {name: np.concatenate(values) for name, values in self._own.items()}
            if own and min(map(len, own.values())) >= drift.OWN:
                self._reference, self._own = drift.reference(own), {}
                keep_reference(self._store, window.model, self._reference)
        if window.n or window.labelled:
            window.end = time.time()
            self._serial += 1
            window.write(self._store, self._serial)
            if self._serial % 64 == 0:
                prune((self._store / WINDOWS).glob("*.json"))


def _answer(outputs: Mapping[str, Array]) -> int:
    """The class that was answered, of a call of one sample; -1 if there is none."""
    scores = next(iter(outputs.values()), None)
    one = scores is not None and scores.ndim == 2 and scores.shape[0] == 1 and scores.shape[1] > 1
    return int(scores.argmax()) if one and scores is not None else -1
