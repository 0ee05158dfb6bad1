"""The audit log: a chain of hashes that nobody can rewrite unseen, and its head written down, signed, elsewhere.

Each row's hash is SHA-256 over the hash before it and the row in canonical JSON (keys sorted, no spaces, ASCII); the
first follows 64 zeros. A row that is changed, taken out or put in breaks the chain from there on. Who may write the
whole table can still cut its end or compute it anew: against that, `Anchor` appends the head to a file of its own,
signed, each line with the digest of the one before. Keep that file, or a copy, where the database's owner cannot
write. (The form is that of Schneier and Kelsey, "Secure audit logs to support computer forensics", 1999, without its
forward-secure keys.)
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select, text

from cloud.database.tables import events
from edge_runtime.errors import InputError

if TYPE_CHECKING:
    from cloud.database import Database

FIRST = "0" * 64
_PAGE = 5000
_CHAIN = ("sequence", "at", "actor", "action", "subject", "detail")


@dataclass(frozen=True, slots=True)
class Event:
    """One row: who did what to whom, when (seconds since 1970), and the hash that ties it to the rows before."""

    sequence: int
    at: float
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    hash: str

    def to_json(self) -> dict[str, Any]:
        """As an object."""
        return asdict(self)


def digest(before: str, row: Mapping[str, Any]) -> str:
    """The row's hash, hexadecimal, behind the row whose hash is `before`."""
    kept = {name: row[name] for name in _CHAIN}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(before.encode() + canonical.encode()).hexdigest()


class Audit:
    """The log in the database."""

    def __init__(self, database: "Database") -> None:
        self._database = database

    def add(
        self,
        connection: Connection,
        actor: str,
        action: str,
        subject: str = "",
        detail: Mapping[str, Any] | None = None,
        *,
        at: float | None = None,
    ) -> int:
        """Write one event within the caller's transaction, and return its number: it is there if the deed is.

        Raises:
            InputError: `detail` is nothing that JSON can hold.
        """
        _lock(connection)
        last = connection.execute(
            select(events.c.sequence, events.c.hash).order_by(events.c.sequence.desc()).limit(1)
        ).first()
        row: dict[str, Any] = {
            "sequence": last.sequence + 1 if last else 1,
            "at": round(time.time() if at is None else at, 6),
            "actor": actor[:128],
            "action": action[:64],
            "subject": subject[:128],
            "detail": dict(detail or {}),
        }
        try:
            row["detail"] = json.loads(json.dumps(row["detail"], allow_nan=False))  # as it will be read again
            row["hash"] = digest(last.hash if last else FIRST, row)
        except (TypeError, ValueError) as error:
            raise InputError(f"the audit event {action!r}: its detail is no JSON: {error}") from error
        connection.execute(insert(events).values(**row))
        return int(row["sequence"])

    def verify(self, anchor: "Anchor | None" = None) -> tuple[int, int | None]:
        """How many rows there are, and the number of the first that does not follow; None where all do.

        With an anchor, also what it wrote down must still be there: for a chain cut short or computed anew, the first
        row that the anchor knows otherwise.
        """
        known = dict(anchor.heads()) if anchor else {}
        before, number, broken = FIRST, 0, None
        for row in self._rows():
            number += 1
            expected = digest(before, dict(row._mapping))
            wrong = row.sequence != number or row.hash != expected or known.pop(number, row.hash) != row.hash
            if wrong and broken is None:
                broken = number
            before = row.hash
        if broken is None and known:
            broken = min(number + 1, *known)
        return number, broken

    def page(self, after: int = 0, limit: int = 100, *, subject: str = "") -> list[Event]:
        """The events behind number `after`, oldest first; of one subject where it is given."""
        query = select(events).where(events.c.sequence > after).order_by(events.c.sequence).limit(limit)
        if subject:
            query = query.where(events.c.subject == subject)
        with self._database.read() as connection:
            return [Event(**row._mapping) for row in connection.execute(query)]

    def latest(self, limit: int = 100) -> list[Event]:
        """The last events, newest first."""
        query = select(events).order_by(events.c.sequence.desc()).limit(limit)
        with self._database.read() as connection:
            return [Event(**row._mapping) for row in connection.execute(query)]

    def head(self) -> tuple[int, str]:
        """Number and hash of the last event; 0 and zeros before the first."""
        found = self.latest(1)
        return (found[0].sequence, found[0].hash) if found else (0, FIRST)

    def _rows(self) -> Iterator[Row[Any]]:
        after = -(1 << 62)  # a row may have been put before the first
        while True:
            query = select(events).where(events.c.sequence > after).order_by(events.c.sequence).limit(_PAGE)
            with self._database.read() as connection:
                rows = connection.execute(query).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].sequence


def _lock(connection: Connection) -> None:
    """One writer at a time until the transaction ends: two rows must not follow the same one."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE"))
    else:  # a write, though it changes nothing, takes SQLite's only lock for writers
        connection.execute(text("UPDATE events SET sequence = sequence WHERE sequence = -1"))


Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], bool]


class Anchor:
    """The chain's heads in a file that is only appended to: a line is the head, and a signature over it.

    Args:
        path: the file.
        sign: from bytes to their signature.
        check: whether the second is the signature of the first.
    """

    def __init__(self, path: Path, sign: Sign, check: Check) -> None:
        self.path, self._sign, self._check = path, sign, check

    @classmethod
    def with_key(cls, path: Path, key: Path) -> "Anchor":
        """Signed by HMAC-SHA256 with the secret in the file `key`, which is made if it is not there."""
        if not key.exists():
            key.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(32))
        secret = key.read_bytes()

        def sign(content: bytes) -> bytes:
            return hmac.digest(secret, content, "sha256")

        return cls(path, sign, lambda content, given: hmac.compare_digest(sign(content), given))

    def write(self, audit: Audit, at: float | None = None) -> int:
        """Append the head, if it is a new one; the number of the event that it stands for.

        Raises:
            InputError: what stands in the file already is damaged.
        """
        number, found = audit.head()
        heads = self.heads()
        if heads and heads[-1][0] >= number:
            return heads[-1][0]
        body = json.dumps(
            {"at": round(at or time.time(), 3), "before": self._tail(), "hash": found, "sequence": number},
            separators=(",", ":"),
        )
        line = f"{body}\t{self._sign(body.encode()).hex()}\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as stream:
            stream.truncate(
                sum(len(each) + 1 for each in self._lines())
            )  # the power may have failed in a line
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())
        return number

    def heads(self) -> list[tuple[int, str]]:
        """Number and hash of each event written down, oldest first.

        Raises:
            InputError: a line is damaged, taken out, or not signed by the key. A last line that was cut off while
                it was written does not count.
        """
        found: list[tuple[int, str]] = []
        before = FIRST
        for number, line in enumerate(self._lines(), 1):
            body, _, signature = line.partition(b"\t")
            try:
                told = json.loads(body)
                good = self._check(body, bytes.fromhex(signature.decode())) and told["before"] == before
                found.append((told["sequence"], told["hash"]))
            except (ValueError, KeyError, TypeError):
                good = False
            if not good:
                raise InputError(f"{self.path}: line {number} is damaged, or was not written with this key")
            before = hashlib.sha256(line).hexdigest()
        return found

    def _lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1].splitlines()

    def _tail(self) -> str:
        lines = self._lines()
        return hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST
