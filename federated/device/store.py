"""What a device keeps on disk: its memory with its latest reply, in one file, and requests not yet answered.

Memory and reply are one atomic write. So a request that comes again, after whatever was killed, finds either both
(the reply is sent again, nothing is trained twice) or neither (it is worked on as if for the first time).
"""

import os
from pathlib import Path

from edge_runtime import console
from edge_runtime.errors import InputError, TransferError
from edge_runtime.files import atomic
from federated.device.work import Memory
from federated.link import wire
from federated.link.chunks import DIGEST_BYTES
from federated.link.wire import Message, Record

_STATE, _REQUESTS, _PARTS, _MODEL = "state", "requests", "parts", "model.bundle"
_HELD, _CODEC, _BEFORE, _ANSWERED = "held", "codec", "before", "replies"


class Store:
    """A device's folder. One process at a time may use it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open the folder, made if need be.

        Raises:
            InputError: it cannot be written.
        """
        self._folder = Path(folder)
        self.parts = self._folder / _PARTS
        self.model = self._folder / _MODEL  # the device's own, once a run has ended with personal models
        try:
            for path in (self._folder / _REQUESTS, self.parts):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be the device's folder ({error.strerror}); give another"
            ) from error
        self.memory, self._last = self._read()

    def _read(self) -> tuple[Memory, str]:
        path = self._folder / _STATE
        if not path.is_file():
            return Memory(), ""
        try:
            found = wire.decode(path.read_bytes())
        except TransferError:
            console.say(f"{path}: is damaged; the device begins without it")
            return Memory(), ""
        head = found.head
        held, codec, before = (
            {name: array.copy() for name, array in found.records[each].items.items()}  # the rest can go
            for each in (_HELD, _CODEC, _BEFORE)
        )
        memory = Memory(held, head["number"], codec, before, int(head["round"] or 0), str(head["run"]))
        return memory, str(head["work"])

    def pending(self) -> dict[bytes, bytes]:
        """The requests that were not answered when the process ended, by digest."""
        paths = sorted((self._folder / _REQUESTS).glob("*"), key=lambda path: path.stat().st_mtime)
        return {
            bytes.fromhex(path.name): path.read_bytes()
            for path in paths
            if len(path.name) == 2 * DIGEST_BYTES
        }

    def answered(self) -> list[bytes]:
        """The digest of the request whose reply is here, if there is one."""
        return [bytes.fromhex(self._last)] if self._last else []

    def reply(self, work: str) -> bytes | None:
        """The reply to a request, if it was the last that was answered."""
        if work != self._last:
            return None
        found: bytes = wire.decode((self._folder / _STATE).read_bytes()).records[_ANSWERED].items[work]
        return found

    def keep(self, work: str, request: bytes | bytearray) -> None:
        """Keep a request until it is answered."""
        with atomic(self._folder / _REQUESTS / work) as partial:
            partial.write_bytes(request)

    def commit(self, work: str, reply: bytes) -> None:
        """Keep the reply together with the memory as it is now."""
        memory = self.memory
        records = {
            _HELD: Record("arrays", memory.held),
            _CODEC: Record("arrays", memory.codec),
            _BEFORE: Record("arrays", memory.before),
            _ANSWERED: Record("arrays", {work: reply}),
        }
        with atomic(self._folder / _STATE) as partial:
            head = {"number": memory.number, "round": memory.round, "run": memory.run, "work": work}
            partial.write_bytes(wire.encode(Message(head, records)))
        self._last = work
        (self._folder / _REQUESTS / work).unlink(missing_ok=True)
