"""What a gateway must not lose: what its devices shall be, what they said, and what the cloud has not got yet.

SQLite with a write-ahead log that is flushed at every commit: what a device was told to be taken is on the disk. The
disk is bounded: when what waits is too much, the oldest statistics go first, then the oldest results; the last report
of each device is one row and always stays.
"""

import hashlib
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import BackendError

_TABLES = """
CREATE TABLE IF NOT EXISTS up (
    id INTEGER PRIMARY KEY AUTOINCREMENT, device TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    body BLOB NOT NULL, UNIQUE (device, kind, key));
CREATE TABLE IF NOT EXISTS twins (
    device TEXT PRIMARY KEY, v INTEGER NOT NULL DEFAULT 0, desired BLOB,
    reported_v INTEGER NOT NULL DEFAULT -1, reported BLOB);
CREATE TABLE IF NOT EXISTS commands (
    device TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, expires INTEGER NOT NULL, result BLOB,
    PRIMARY KEY (device, id));
"""
_KEPT_S = 86_400  # how long an answer is kept after its command has expired
_ROW = 64  # bytes that a row takes beside its body, roughly


@dataclass(frozen=True, slots=True)
class Twin:
    """What a device shall be and what it last said it is, as messages; versions are 0 and -1 where there is none."""

    device: str
    v: int
    desired: bytes | None
    reported_v: int
    reported: bytes | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message for the cloud."""

    id: int
    device: str
    kind: str
    body: bytes


class Store:
    """The store in a file; threads may share it.

    Args:
        path: of the database.
        max_bytes: that may wait for the cloud.

    Raises:
        BackendError: the file cannot be opened. Every method raises it when the disk is full.
    """

    def __init__(self, path: Path, max_bytes: int = 64 << 20) -> None:
        self._lock, self._max_bytes = threading.Lock(), max_bytes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_TABLES}")
        except (OSError, sqlite3.Error) as error:
            raise BackendError(f"{path}: the gateway's store cannot be opened: {error}") from error
        self.dropped = 0  # messages that the disk's bound cost
        self._bytes = int(self._rows(f"SELECT COALESCE(SUM(LENGTH(body) + {_ROW}), 0) FROM up")[0][0])  # noqa: S608  # nosec B608

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ------------------------------------------------------------------ what shall be
    def twin(self, device: str) -> Twin:
        """Of one device; empty where nothing is known."""
        rows = self._rows("SELECT * FROM twins WHERE device = ?", device)
        return Twin(*rows[0]) if rows else Twin(device, 0, None, -1, None)

    def unanswered(self) -> list[Twin]:
        """Those whose wish has not been answered."""
        return [Twin(*row) for row in self._rows("SELECT * FROM twins WHERE v > 0 AND reported_v < v")]

    def desire(self, device: str, v: int, body: bytes) -> bool:
        """Keep what the device shall be; whether it is newer than what was known."""
        query = """INSERT INTO twins (device, v, desired) VALUES (?, ?, ?)
            ON CONFLICT (device) DO UPDATE SET v = excluded.v, desired = excluded.desired WHERE excluded.v > twins.v"""
        return bool(self._write((query, (device, v, body)))[0])

    def report(self, device: str, v: int, body: bytes) -> None:
        """Keep what the device says it is, and queue it for the cloud; an older report does not replace a newer."""
        query = """INSERT INTO twins (device, reported_v, reported) VALUES (?, ?, ?)
            ON CONFLICT (device) DO UPDATE SET reported_v = excluded.reported_v, reported = excluded.reported
            WHERE excluded.reported_v >= twins.reported_v"""
        queued = """INSERT OR REPLACE INTO up (device, kind, key, body)
            SELECT ?, 'reported', '', ? FROM twins WHERE device = ? AND reported_v = ?"""
        self._replacing(
            device, "reported", "", (query, (device, v, body)), (queued, (device, body, device, v))
        )

    def report_again(self, device: str) -> None:
        """Queue the last report once more."""
        twin = self.twin(device)
        if twin.reported is not None:
            self.queue(device, "reported", "", twin.reported)

    def reporters(self) -> list[str]:
        """The devices that have reported."""
        return [row[0] for row in self._rows("SELECT device FROM twins WHERE reported IS NOT NULL")]

    # ------------------------------------------------------------------ commands
    def command(self, device: str, number: str, body: bytes, expires: int) -> bytes | None:
        """Keep a command until it is answered; the answer, if there is one already."""
        self._write(
            ("INSERT OR IGNORE INTO commands VALUES (?, ?, ?, ?, NULL)", (device, number, body, expires))
        )
        rows = self._rows("SELECT result FROM commands WHERE device = ? AND id = ?", device, number)
        return rows[0][0] if rows else None

    def result(self, device: str, number: str, body: bytes, now: float) -> None:
        """Keep an answer, and queue it."""
        self._write(
            ("UPDATE commands SET result = ? WHERE device = ? AND id = ?", (body, device, number)),
            ("DELETE FROM commands WHERE expires < ?", (int(now) - _KEPT_S,)),
        )
        self.queue(device, "result", number, body)

    def pending(self, device: str, now: float) -> list[bytes]:
        """The device's commands that are neither answered nor expired."""
        query = "SELECT body FROM commands WHERE device = ? AND result IS NULL AND expires > ? ORDER BY rowid"
        return [row[0] for row in self._rows(query, device, int(now))]

    # ------------------------------------------------------------------ what waits for the cloud
    def queue(self, device: str, kind: str, key: str, body: bytes) -> None:
        """Add a message; one of the same device, kind and key is replaced. The key of statistics is their hash."""
        if kind == "stats":
            key = hashlib.sha256(body).hexdigest()
        row = "INSERT OR REPLACE INTO up (device, kind, key, body) VALUES (?, ?, ?, ?)"
        self._replacing(device, kind, key, (row, (device, kind, key, body)))

    def waiting(self, most: int = 1000) -> list[Waiting]:
        """The oldest messages."""
        return [
            Waiting(*row)
            for row in self._rows("SELECT id, device, kind, body FROM up ORDER BY id LIMIT ?", most)
        ]

    def sent(self, messages: list[Waiting]) -> None:
        """The cloud has these; one that was replaced meanwhile has another id, and stays."""
        gone = self._write(*(("DELETE FROM up WHERE id = ?", (each.id,)) for each in messages))
        self._bytes -= sum(len(each.body) + _ROW for each, n in zip(messages, gone, strict=True) if n)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def _replacing(self, device: str, kind: str, key: str, *statements: Any) -> None:
        """Write, and count what waits: the last statement puts the message in the place of one like it, or nowhere."""
        query = "SELECT LENGTH(body) FROM up WHERE device = ? AND kind = ? AND key = ?"
        before = self._rows(query, device, kind, key)
        self._write(*statements)
        after = self._rows(query, device, kind, key)
        self._bytes += sum(each[0] + _ROW for each in after) - sum(each[0] + _ROW for each in before)
        if self._bytes > self._max_bytes:
            self._shrink()

    def _shrink(self) -> None:
        query = """SELECT id, LENGTH(body) FROM up WHERE kind != 'reported'
            ORDER BY CASE kind WHEN 'stats' THEN 0 ELSE 1 END, id"""
        doomed = []
        for number, length in self._rows(query):
            if self._bytes <= self._max_bytes * 9 // 10:
                break
            doomed.append((number,))
            self._bytes -= length + _ROW
        self.dropped += len(doomed)
        self._write(*(("DELETE FROM up WHERE id = ?", each) for each in doomed))

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise BackendError(f"the gateway's store cannot be read: {error}") from error

    def _write(self, *statements: tuple[str, tuple]) -> list[int]:  # type: ignore[type-arg]
        """In one transaction; how many rows each statement changed."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                changed = [self._db.execute(query, values).rowcount for query, values in statements]
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise BackendError(f"the gateway's store cannot be written: {error}") from error
            return changed
