"""Who may do what: bearer tokens of people and programs, the console's session, and the limit on wrong guesses."""

import base64
import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from cloud.database import Database
from cloud.database.tables import tokens
from edge_runtime.errors import InputError, hint

ROLES = ("viewer", "operator", "admin")  # each may do what those before it may
PREFIX = "littoral_"  # so that a token that was leaked is recognised by a scanner
COOKIE = "littoral_session"
SESSION_S = 12 * 3600
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls: the token's name, and its role."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether the role is the actor's, or below it."""
        return ROLES.index(self.role) >= ROLES.index(role)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens in the database; a token itself is seen once, when it is made."""

    def __init__(self, database: Database, clock: Clock = time.time) -> None:
        self._database, self._clock = database, clock

    def create(self, connection: Connection, name: str, role: str, days: float | None = None) -> str:
        """Make a token.

        Raises:
            InputError: the role is unknown, or the name is taken.
        """
        if role not in ROLES:
            raise InputError(f"no role '{role}'{hint(role, ROLES)}; there are {', '.join(ROLES)}")
        if connection.execute(select(tokens.c.name).where(tokens.c.name == name)).first():
            raise InputError(f"a token '{name}' exists; delete it first, or take another name")
        token, now = PREFIX + secrets.token_urlsafe(32), self._clock()
        expires = None if days is None else now + days * 86_400
        row = {"digest": digest(token), "name": name, "role": role, "created": now, "expires": expires}
        connection.execute(insert(tokens).values(row))
        return token

    def delete(self, connection: Connection, name: str) -> bool:
        """Take a token's rights away; False where there is none of that name."""
        return connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount > 0

    def all(self) -> list[dict[str, Any]]:
        """Every token without its digest, by name."""
        kept = (tokens.c.name, tokens.c.role, tokens.c.created, tokens.c.expires)
        with self._database.read() as connection:
            return [dict(row) for row in connection.execute(select(*kept).order_by(tokens.c.name)).mappings()]

    def find(self, token: str) -> Actor | None:
        """Whose token it is; None where it is unknown or has expired."""
        wanted = digest(token)
        with self._database.read() as connection:
            row = connection.execute(select(tokens).where(tokens.c.digest == wanted)).mappings().first()
        if row is None or not hmac.compare_digest(row["digest"], wanted) or self._old(row["expires"]):
            return None
        return Actor(row["name"], row["role"])

    def named(self, name: str) -> tuple[Actor, str] | None:
        """The actor of that name and its token's digest; None where there is none or it has expired."""
        with self._database.read() as connection:
            row = connection.execute(select(tokens).where(tokens.c.name == name)).mappings().first()
        if row is None or self._old(row["expires"]):
            return None
        return Actor(row["name"], row["role"]), row["digest"]

    def _old(self, expires: float | None) -> bool:
        return expires is not None and expires <= self._clock()


class Sessions:
    """The console's sessions: nothing is kept but the key that signs them.

    A session names its token and ends with it: the signature is over the token's digest too. So every API process that
    has the key knows every session.
    """

    def __init__(self, key: bytes, tokens: Tokens, clock: Clock = time.time) -> None:
        self._key, self._tokens, self._clock = key, tokens, clock
        self._ended: OrderedDict[str, None] = OrderedDict()

    def create(self, actor: Actor) -> str:
        """The cookie's value."""
        found = self._tokens.named(actor.name)
        if found is None:
            raise InputError(f"the token '{actor.name}' is gone")
        name = base64.urlsafe_b64encode(actor.name.encode()).decode().rstrip("=")
        text = f"{name}.{int(self._clock()) + SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{text}.{self._sign(text, found[1])}"

    def find(self, cookie: str) -> Actor | None:
        """Whose session it is; None where it is forged, over, or its token is gone."""
        text, _, signature = cookie.rpartition(".")
        parts = text.split(".")
        if len(parts) != 3 or not parts[1].isdecimal() or len(cookie) > 512 or signature in self._ended:
            return None
        try:
            name = base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)).decode()
        except ValueError:
            return None
        found = self._tokens.named(name)
        if found is None or int(parts[1]) <= self._clock():
            return None
        good = hmac.compare_digest(self._sign(text, found[1]).encode(), signature.encode())
        return found[0] if good else None

    def end(self, cookie: str) -> None:
        """Take a session's rights away, in this process."""
        self._ended[cookie.rpartition(".")[2]] = None
        while len(self._ended) > 10_000:
            self._ended.popitem(last=False)

    def _sign(self, text: str, kept: str) -> str:
        return hmac.new(self._key, f"{text}\n{kept}".encode(), hashlib.sha256).hexdigest()


def session_key(path: Path) -> bytes:
    """The key in the file, which is made, for its owner alone, where there is none."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    return path.read_bytes()


class Failures:
    """How often an address guessed wrong: after `limit` times within `seconds` it has to wait."""

    def __init__(self, limit: int = 10, seconds: float = 300, clock: Clock = time.monotonic) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds that the address has to wait; 0 for none."""
        times = self._times.get(address)
        if times is None or len(times) < self._limit:
            return 0
        return max(0.0, times[0] + self._seconds - self._clock())

    def add(self, address: str) -> None:
        """Count a wrong guess; the addresses heard of longest ago are forgotten."""
        times = self._times.setdefault(address, deque(maxlen=self._limit))
        times.append(self._clock())
        self._times.move_to_end(address)
        while len(self._times) > 10_000:
            self._times.popitem(last=False)
