"""Dynamic batching: requests that wait while a model runs are run together next.

Nothing is delayed on purpose: a request that finds the model idle runs at once, alone. Under load the queue that
builds up meanwhile becomes the next batch, up to a limit, so the batch grows with the load by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BackendError, InputError
from edge_runtime.session import Session
from edge_runtime.tensors import Array, check_inputs


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
    ) -> None:
        """Begin, idle.

        Args:
            session: the model.
            max_batch: rows that are run together at most; 1 runs each request by itself.
            max_queue: requests that may wait; more are refused.
            on_batch: told the rows of each batch.
        """
        self.session = session
        self._most = max_batch if batchable(session) else 1
        self._max_queue = max_queue
        self._on_batch = on_batch
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
        check_inputs(self.session.inputs, inputs)
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
        work = self._thread.submit(_run, self.session, [job.inputs for job in jobs])
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

    def _finish(self, jobs: Sequence[_Job], work: Future[dict[str, Array]]) -> None:
        self._next()
        error = work.exception()
        start = 0
        for job in jobs:
            if job.done.cancelled():
                pass
            elif error is not None:
                job.done.set_exception(error)
            elif len(jobs) == 1:
                job.done.set_result(work.result())
            else:
                part = slice(start, start + job.rows)
                job.done.set_result({name: out[part] for name, out in work.result().items()})
            start += job.rows


def batchable(session: Session) -> bool:
    """Whether rows of several requests may be stacked: every input and output begins with a length that may vary."""
    firsts = {spec.shape[0] if spec.shape else 0 for spec in (*session.inputs, *session.outputs)}
    return all(isinstance(first, str) for first in firsts)


def _run(session: Session, parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    if len(parts) == 1:
        return session.run(parts[0])
    outputs = session.run({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    rows = sum(len(next(iter(part.values()))) for part in parts)
    for name, out in outputs.items():
        if len(out) != rows:
            raise InputError(
                f"{session.name}: output '{name}' has {len(out)} rows for {rows}; serve it with --max-batch 1"
            )
    return outputs
