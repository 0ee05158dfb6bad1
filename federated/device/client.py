"""The device's process: it waits for work over the link, does it once, and sends the answer until it has arrived."""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from edge_runtime import console
from edge_runtime.data import Samples
from edge_runtime.errors import TransferError
from edge_runtime.trainer import Trainer
from federated.device import work
from federated.device.memory import settle
from federated.device.store import Store
from federated.link import chunks, wire
from federated.link.keys import Key
from federated.link.mqtt import Address
from federated.link.peer import Peer

if TYPE_CHECKING:
    from federated.privacy.he import DeviceKey

_LINGER_S = 5.0  # that a device which leaves spends on an answer that is on its way


class _Leaving(BaseException):
    """Work at hand is let go of, as by KeyboardInterrupt: nothing on the way may take it for a failure of the work."""


class Device:
    """One device. `run` serves until `stop` or `leave` is called, from another thread or a signal's handler."""

    def __init__(
        self,
        trainer: Trainer,
        samples: Samples,
        key: Key,
        address: Address,
        folder: str | os.PathLike[str],
        *,
        chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
        progress: bool = False,
        conditions: Callable[[], Mapping[str, bool]] = dict,
        encryption: "DeviceKey | None" = None,
    ) -> None:
        """Make the device; it connects when it runs.

        Args:
            trainer: what learns, from the bundle that the coordinator has too.
            samples: the device's own, with labels.
            key: the device's name, number and secret.
            address: of the broker, with the device's user and password.
            folder: what the device keeps across restarts.
            chunk_bytes: the length of the chunks that it sends.
            progress: one line on stderr for each piece of work.
            conditions: whether it is charging, idle and unmetered, as far as it knows.
            encryption: the devices' key, for runs with homomorphic encryption.
        """
        self._left = self._working = False
        self._told: dict[str, float] = {}  # what the coordinator was told of the last training
        self._trainer, self._samples, self._progress = trainer, samples, progress
        self._store = Store(folder)
        self._store.memory.encryption = encryption
        self._queue: queue.SimpleQueue[tuple[bytes, bytes | bytearray] | None] = queue.SimpleQueue()
        self._busy: set[bytes] = set()
        self._lock = threading.Lock()
        self.worked = 0
        self.peer = Peer(
            address, key, self._take, on_again=self._again, chunk_bytes=chunk_bytes, folder=self._store.parts,
            about=conditions, aside=lambda: self._told,
        )  # fmt: skip
        for digest in self._store.answered():
            self.peer.channel.receiver.remember(digest)
        for digest, payload in self._store.pending().items():
            self.peer.channel.receiver.remember(digest)
            self._enqueue(digest, payload)

    def run(self) -> None:
        """Serve."""
        settle()
        with self.peer:
            try:
                while (entry := self._queue.get()) is not None and not self._left:
                    self._serve(*entry)
                    del entry  # or the request would stay until the next one comes
            except _Leaving:
                self._working = (
                    False  # the request is on disk, and is worked on when the device is here again
                )
            self._linger()
            self.peer.leave()

    def stop(self) -> None:
        """Let `run` return after the work that has come."""
        self._queue.put(None)

    def leave(self, *_: object) -> None:
        """Let `run` return now: a handler of signals, for the thread that runs.

        Work at hand is let go of; its request is on disk, as is an answer that has not arrived. So nothing is lost when
        the device comes back: the coordinator gets what it would have got.

        Raises:
            _Leaving: into the work at hand.
        """
        again, self._left = self._left, True
        self._queue.put(None)
        if self._working and not again:
            raise _Leaving

    def _linger(self) -> None:
        """Give an answer that is on its way a little time to arrive."""
        ends = time.monotonic() + _LINGER_S
        while self.peer.channel.busy and self.peer.connected and time.monotonic() < ends:
            time.sleep(0.02)

    def _take(self, payload: bytes | bytearray) -> None:
        digest = chunks.digest_of(payload)
        self._store.keep(digest.hex(), payload)
        self._enqueue(digest, payload)

    def _enqueue(self, digest: bytes, payload: bytes | bytearray) -> None:
        with self._lock:
            if digest in self._busy:
                return
            self._busy.add(digest)
        self._queue.put((digest, payload))

    def _again(self, digest: bytes) -> None:
        """The coordinator asks again for what it asked before: it has lost the reply, or did not get it yet."""
        reply = self._store.reply(digest.hex())
        with self._lock:
            busy = digest in self._busy
        if reply is not None:
            self.peer.channel.send(reply, digest)
        elif not busy:  # so long ago that the reply is gone
            self.peer.channel.receiver.forget(digest)

    def _serve(self, digest: bytes, payload: bytes | bytearray) -> None:
        name = digest.hex()
        reply = self._store.reply(name)
        if reply is None:
            self._working = True
            reply = self._work(chunks.ticket(digest), payload)
            self._working = False
            self._store.commit(name, reply)
        with self._lock:
            self._busy.discard(digest)
        self.peer.channel.send(reply, digest)
        settle()

    def _work(self, name: str, payload: bytes | bytearray) -> bytes:
        try:
            request = wire.decode(payload)
        except TransferError as error:
            return wire.encode(wire.Message({"work": name, "error": str(error)}))
        kind = request.head.get("kind")
        answer = work.answer(request, name, self._store.memory, self._trainer, self._samples)
        self.worked += 1
        self._tell(kind, answer)
        if kind == work.PERSONALISE and work.METRICS in answer.records:
            self._trainer.export(self._store.model)
        del request
        settle()
        if self._progress:
            said = answer.head.get("error") or _figures(answer)
            console.say(f"{kind}: {said}")
        with suppress(TransferError):
            return wire.encode(answer)
        return wire.encode(wire.Message({"work": name, "error": "the answer cannot be sent"}))

    def _tell(self, kind: object, answer: wire.Message) -> None:
        """Say in the state, too, what an answer said openly: under secure aggregation it says neither."""
        if kind == work.TRAIN and work.METRICS in answer.records:
            metrics = answer.records[work.METRICS].items
            self._told = {"samples": metrics[work.NUM_EXAMPLES], "loss": metrics["loss"]}


def _figures(answer: wire.Message) -> str:
    found = answer.records[work.METRICS].items if work.METRICS in answer.records else {}
    return "  ".join(f"{name} {value:.4g}" for name, value in found.items())
