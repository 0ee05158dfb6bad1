"""One end of the link between the coordinator and one device: whole payloads in and out, sealed and resumable."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from edge_runtime.errors import TransferError
from federated.link import chunks
from federated.link.chunks import ACK, CHUNK, DONE, OFFER, WANT, WHOLE, Receiver, Sending, Taken
from federated.link.keys import Key

Publish = Callable[[str, Iterable[bytes]], None]
OnPayload = Callable[[bytes | bytearray], bool | None]
"""Takes a payload; False says that it is of no use now and is to be taken again if it comes again."""
OnAgain = Callable[[bytes], None]


class Channel:
    """Sends payloads until the other end has them, and takes in those that it sends.

    Nothing is lost by a break: `resume` asks the other end what it lacks, and only that is sent again. The same
    payload sent twice arrives once; the other end is told the second time by `on_again`.
    """

    def __init__(
        self,
        key: Key,
        topics: tuple[str, str],
        publish: Publish,
        on_payload: OnPayload,
        *,
        on_again: OnAgain = lambda _digest: None,
        keep: bool = False,
        hold_s: float = 0,
        chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
        max_bytes: int = chunks.MAX_BYTES,
        folder: Path | None = None,
    ) -> None:
        """One end.

        Args:
            key: that both ends hold.
            topics: out and in.
            publish: sends frames on a topic, in order.
            on_payload: takes a whole payload, its digest checked.
            on_again: takes the digest of a payload that came before and is offered once more.
            keep: what has arrived until `forget`, for an other end that may begin anew.
            hold_s: for how long "I have it" waits, because an answer that is sent meanwhile says it too.
            chunk_bytes: the length of a chunk.
            max_bytes: the longest payload that is taken.
            folder: for transfers that should outlive the process.
        """
        self._key, (self._out, self._in) = key, topics
        self._publish, self._on_payload, self._on_again = publish, on_payload, on_again
        self._keep, self._chunk_bytes, self._max_bytes = keep, chunk_bytes, max_bytes
        self.receiver = Receiver(folder)
        self._sending: dict[bytes, Sending] = {}
        self._hold_s, self._held = hold_s, dict[bytes, tuple[float, tuple[bytes, ...]]]()
        self._lock = threading.RLock()
        self._active = time.monotonic()
        self.bytes_in = self.bytes_out = 0  # of sealed frames, as MQTT carries them

    def send(self, payload: bytes, answers: bytes | None = None) -> bytes:
        """Send the payload, or ask after it if it is on its way; returns its digest.

        Args:
            payload: any bytes.
            answers: the digest of a payload that came, to which this is an answer: it says that it has arrived.
        """
        sending = Sending(payload, self._chunk_bytes)
        digest = sending.about.digest
        with self._lock:
            if answers is not None:
                self._held.pop(answers, None)
            known = self._sending.setdefault(digest, sending)
        self._put(sending.start() if known is sending else [known.offer()])
        return digest

    def forget(self, digest: bytes) -> None:
        """Do not offer this payload any more."""
        with self._lock:
            self._sending.pop(digest, None)

    def waits(self, digest: bytes) -> bool:
        """Whether this payload is on its way and has not arrived."""
        with self._lock:
            return digest in self._sending and not self._sending[digest].delivered

    @property
    def busy(self) -> bool:
        """Whether a payload is on its way."""
        with self._lock:
            return any(not each.delivered for each in self._sending.values())

    def resume(self, *, everything: bool = False) -> None:
        """Ask the other end what it lacks of the payloads that have not arrived; or of all, if it began anew."""
        with self._lock:
            found = [each for each in self._sending.values() if everything or not each.delivered]
        self._put([sending.offer() for sending in found])

    def stalled(self, seconds: float) -> bool:
        """Whether a payload has not arrived and nothing has come for so long."""
        with self._lock:
            waiting = any(not each.delivered for each in self._sending.values())
        return waiting and time.monotonic() - self._active > seconds

    def feed(self, sealed: bytes) -> None:
        """Take what came on the topic in.

        Raises:
            TransferError: it is not from the other end, or damaged; nothing has changed.
        """
        frame = chunks.unpack(self._key.open(self._in, sealed), self._max_bytes)
        self.bytes_in += len(sealed)
        self._active = time.monotonic()
        if frame.kind in (WHOLE, CHUNK, OFFER):
            self._take(frame.about.digest, self.receiver.take(frame))
            return
        with self._lock:
            sending = self._sending.get(frame.about.digest)
            if sending is None or (frame.kind != DONE and sending.about != frame.about):
                return  # an answer to what is not sent any more
            sending.delivered = frame.kind == DONE
            if sending.delivered and not self._keep:
                del self._sending[frame.about.digest]
        if frame.kind == WANT:
            self._put(sending.missing(chunks.wanted(frame), frame.index))
        elif frame.kind == ACK:
            self._put(sending.next(frame.index))

    def settle(self) -> None:
        """Say of what has arrived that it has, where no answer came in time to say it."""
        with self._lock:
            due = [digest for digest, (ends, _) in self._held.items() if time.monotonic() >= ends]
            frames = [frame for digest in due for frame in self._held.pop(digest)[1]]
        if frames:
            self._put(frames)

    def _take(self, digest: bytes, taken: Taken) -> None:
        with self._lock:
            hold = taken.payload is not None and self._hold_s > 0
            if hold:
                self._held[digest] = time.monotonic() + self._hold_s, taken.answers
            else:
                self._held.pop(digest, None)
        if not hold:
            self._put(taken.answers)
        if taken.payload is not None and self._on_payload(taken.payload) is False:
            self.receiver.forget(digest)
        if taken.again is not None:
            self._on_again(taken.again)

    def _put(self, frames: Iterable[bytes]) -> None:
        self._active = time.monotonic()
        self._publish(self._out, self._seal(frames))

    def _seal(self, frames: Iterable[bytes]) -> Iterator[bytes]:
        for frame in frames:
            sealed = self._key.seal(self._out, frame)
            self.bytes_out += len(sealed)
            yield sealed


def refuse(error: TransferError, count: dict[str, int]) -> None:
    """Count a refused message by what is wrong with it; whoever sends rubbish is not to fill a log with it."""
    text = str(error)
    if text in count or len(count) < 100:
        count[text] = count.get(text, 0) + 1
