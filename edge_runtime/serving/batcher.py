"""Dynamic batching: requests that wait while a model runs are run together next.

Nothing is delayed on purpose: a request that finds the model idle runs at once, alone. Under load the queue that
builds up meanwhile becomes the next batch, up to a limit, so the batch grows with the load by itself.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from edge_runtime.errors import BackendError, InputError, LittoralError
from edge_runtime.session import Session
from edge_runtime.tensors import Array, check_inputs

Noted = Callable[[Mapping[str, Array], Mapping[str, Array] | None, float], None]
"""Told of each request: its inputs, its outputs or None if it failed, and the seconds that its batch ran."""


class BusyError(BackendError):
    """The queue is full; the request may be sent again later."""


@dataclass(frozen=True, slots=True)
class _Job:
    inputs: Mapping[str, Array]
    rows: int
    kind: tuple[object, ...]
    done: "asyncio.Future[dict[str, Array]]"


class Batcher:
    """One session and its queue. Its methods are called on the event loop's thread; the session runs on another."""

    def __init__(
        self,
        session: Session,
        *,
        max_batch: int = 32,
        max_queue: int = 256,
        on_batch: Callable[[int], None] = lambda _: None,
        noted: Noted = lambda *_: None,
    ) -> None:
        """Begin, idle.

        Args:
            session: the model.
            max_batch: rows that are run together at most; 1 runs each request by itself.
            max_queue: requests that may wait; more are refused.
            on_batch: told the rows of each batch.
            noted: told how each request did; on the session's thread, or, where it does not fit, the loop's.
        """
        self.session = session
        self._most = max_batch if batchable(session) else 1
        self._max_queue = max_queue
        self._on_batch, self._noted = on_batch, noted
        self._waiting: deque[_Job] = deque()
        self._running = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(1, "inference")

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    async def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs.

        Raises:
            InputError: the inputs do not fit.
            BusyError: too many requests wait.
            ModelError: the engine failed.
        """
        try:
            check_inputs(self.session.inputs, inputs)
        except InputError:
            self._noted(inputs, None, 0.0)
            raise
        if len(self._waiting) >= self._max_queue:
            raise BusyError(f"{len(self._waiting)} requests wait already; try again later")
        shapes = [(name, array.shape[1:]) for name, array in inputs.items()]
        rows = {len(array) for array in inputs.values() if array.ndim}
        alone = self._most == 1 or len(rows) != 1
        kind: tuple[object, ...] = (object(),) if alone else tuple(sorted(shapes))
        done: asyncio.Future[dict[str, Array]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(inputs, 1 if alone else rows.pop(), kind, done))
        if not self._running:
            self._next()
        return await done

    async def close(self) -> None:
        """Wait until every request is answered, then let the session go."""
        await self._idle.wait()
        self._thread.shutdown(wait=False)

    def _next(self) -> None:
        """Start the next batch, if a request waits."""
        jobs = self._take()
        self._running = bool(jobs)
        if not jobs:
            self._idle.set()
            return
        self._idle.clear()
        self._on_batch(sum(job.rows for job in jobs))
        loop = asyncio.get_running_loop()
        work = self._thread.submit(_run, self.session, [job.inputs for job in jobs], self._noted)
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, jobs, done))

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if jobs and (job.kind != jobs[0].kind or rows + job.rows > self._most):
                break
            self._waiting.popleft()
            if not job.done.cancelled():  # its client has gone
                jobs.append(job)
                rows += job.rows
        return jobs

    def _finish(self, jobs: Sequence[_Job], work: Future[list[dict[str, Array]]]) -> None:
        self._next()
        error = work.exception()
        for k, job in enumerate(jobs):
            if job.done.cancelled():
                continue
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(work.result()[k])


def batchable(session: Session) -> bool:
    """Whether rows of several requests may be stacked: every input and output begins with a length that may vary."""
    firsts = {spec.shape[0] if spec.shape else 0 for spec in (*session.inputs, *session.outputs)}
    return all(isinstance(first, str) for first in firsts)


def _run(session: Session, parts: Sequence[Mapping[str, Array]], noted: Noted) -> list[dict[str, Array]]:
    began = time.perf_counter()
    try:
        answers = _answers(session, parts)
    except LittoralError:
        for part in parts:
            noted(part, None, 0.0)
        raise
    spent = time.perf_counter() - began
    for part, answer in zip(parts, answers, strict=True):
        noted(part, answer, spent)
    return answers


def _answers(session: Session, parts: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """The outputs of each part, which were run as one."""
    if len(parts) == 1:
        return [session.run(parts[0])]
    outputs = session.run({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    ends = list(accumulate((len(next(iter(part.values()))) for part in parts), initial=0))
    for name, out in outputs.items():
        if len(out) != ends[-1]:
            raise InputError(
                f"{session.name}: output '{name}' has {len(out)} rows for {ends[-1]}; "
                "serve it with --max-batch 1"
            )
    return [{name: out[start:end] for name, out in outputs.items()} for start, end in pairwise(ends)]
