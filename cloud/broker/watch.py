"""Whom the shards refuse, read from what they write on stderr, so that it can be entered in the audit log.

A broker of MQTT 3.1.1 drops what a device may not say or hear, and tells it nothing; mosquitto tells its log, and so
does the broker of the package. The pipe never makes a shard wait: while nobody reads, lines are lost.
"""

import os
import re
import sys
import threading
from collections import deque
from typing import NamedTuple

from cloud.limits import Limiter
from federated.link.broker import may_read

# mosquitto 2.0: lib/send_publish.c, src/handle_publish.c ("Denied PUBLISH"), src/handle_subscribe.c, lib/net_mosq.c
_DENIED = re.compile(rb"Denied (PUBLISH|SUBSCRIBE) from (\S+) \(.*?'(.*)'")
_SUBSCRIBED = re.compile(rb"^\d+: (\S+) [012] (\S+)$")
_REFUSED = re.compile(rb"SSL routines:[^:]*:(.*)$")
_LEFT = b"unexpected eof"  # a client that died is not refused
_NOISE = re.compile(
    rb"^\d+: (?!Error|Warning|OpenSSL)"
)  # of mosquitto at work; the rest goes on to our stderr
# Most of what it says; these are passed over first. A device may be called "Received", so a packet's name follows.
_WORK = tuple(
    b"%s %s" % (did, packet) for did in (b"Received", b"Sending") for packet in (b"P", b"S", b"U", b"C", b"D")
)
_TIME = len("1795284337: ")
_BLOCK, _LONGEST, _KEPT = 1 << 16, 1 << 12, 1000


class Refused(NamedTuple):
    """One refusal: where, of whom ("" where no certificate was good), what, and how many more were not kept."""

    shard: str
    client: str
    kind: str
    reason: str
    missed: int


class Watch:
    """Reads the shards' stderr; `taken` gives what has come."""

    def __init__(self) -> None:
        self._found: deque[Refused] = deque(maxlen=_KEPT)
        self._limit = Limiter(2, 20)

    def pipe(self, shard: str) -> int:
        """A file descriptor for a shard's stderr; whoever starts the shard closes it afterwards."""
        ours, theirs = os.pipe()
        os.set_blocking(theirs, False)
        threading.Thread(target=self._read, args=(shard, ours), name=shard, daemon=True).start()
        return theirs

    def taken(self) -> list[Refused]:
        """What has come since the last call."""
        found = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def back(self, refused: list[Refused]) -> None:
        """What could not be entered yet."""
        self._found.extendleft(reversed(refused[-_KEPT:]))

    def _read(self, shard: str, handle: int) -> None:
        rest = b""
        while block := os.read(handle, _BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[-_LONGEST:]
            for line in lines:
                if not line.startswith(_WORK, _TIME):
                    self.line(shard, line)
        os.close(handle)

    def line(self, shard: str, line: bytes) -> None:
        """Take one line."""
        if found := _DENIED.search(line):
            self._keep(shard, found[2], found[1].decode().lower(), found[3])
        elif found := _SUBSCRIBED.match(line):
            if not may_read(found[1].decode("utf-8", "replace"), found[2].decode("utf-8", "replace")):
                self._keep(shard, found[1], "subscribe", found[2])
        elif not _NOISE.match(line):
            if (found := _REFUSED.search(line)) and _LEFT not in line:
                self._keep(shard, b"", "certificate", found[1])
            sys.stderr.buffer.write(line + b"\n")
            sys.stderr.buffer.flush()

    def _keep(self, shard: str, client: bytes, kind: str, reason: bytes) -> None:
        missed = self._limit.refused
        if self._limit.allow():
            self._limit.refused = 0
            said = [each.decode("utf-8", "replace") for each in (client[:64], reason[:200])]
            self._found.append(Refused(shard, said[0], kind, said[1], missed))
