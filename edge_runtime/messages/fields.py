"""Reading a message's fields: each is there, of its type and within its bounds, or one sentence says which is not."""

import json
import re
from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import FleetError

MAX_BYTES = 64 << 10  # of one message; bulk never travels here
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def dump(value: Any) -> bytes:
    """The bytes of a message, or of its object: JSON without spaces, without what is None."""
    fields = value if isinstance(value, Mapping) else _fields(value)
    return _ENCODER.encode({key: item for key, item in fields.items() if item is not None}).encode()


def _fields(message: Any) -> dict[str, Any]:
    """A message's fields as they are: `dataclasses.asdict` copies all that is in them, at ten times the cost."""
    if not hasattr(message, "__slots__"):
        raise TypeError(f"{type(message).__name__} is nothing that a message holds")
    return {name: getattr(message, name) for name in message.__slots__}


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_fields)


class Fields:
    """The fields of one message.

    Args:
        content: the message's bytes, or its object when it is part of another.
        what: how errors call it.

    Raises:
        FleetError: it is too long, is no JSON, or is no object. Every method raises it for a field that is missing,
            of another type, or out of bounds.
    """

    def __init__(self, content: bytes | bytearray | Mapping[str, Any], what: str) -> None:
        self.what = what
        if isinstance(content, Mapping):
            self.value: Mapping[str, Any] = content
            return
        if len(content) > MAX_BYTES:
            raise FleetError(f"{what} has {len(content)} bytes; at most {MAX_BYTES} are taken")
        try:
            value = json.loads(str(content, "utf-8"))
        except (ValueError, RecursionError) as error:
            raise FleetError(f"{what} is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise FleetError(f"{what} is {type(value).__name__}; expected an object")
        self.value = value

    def number(self, name: str, *, default: int | None = None, least: int = 0, most: int = 1 << 53) -> int:
        """A whole number between `least` and `most`."""
        found = self.value.get(name, default)
        if type(found) is not int or not least <= found <= most:
            raise self._wrong(name, f"a whole number from {least} to {most}")
        return found

    def real(self, name: str) -> float | None:
        """A number, or None."""
        found = self.value.get(name)
        if found is None:
            return None
        if type(found) not in (int, float) or not -1e18 < found < 1e18:
            raise self._wrong(name, "a number")
        return float(found)

    def flag(self, name: str) -> bool | None:
        """True, False, or None."""
        found = self.value.get(name)
        if found is not None and type(found) is not bool:
            raise self._wrong(name, "true or false")
        return found

    def text(self, name: str, *, default: str | None = None, most: int = 1024) -> str:
        """A text of at most `most` characters."""
        found = self.value.get(name, default)
        if not isinstance(found, str) or len(found) > most:
            raise self._wrong(name, f"a text of at most {most} characters")
        return found

    def name(self, name: str, *, default: str | None = None) -> str:
        """A name: letters, digits, dot, underscore, hyphen; at most 64, the first a letter or digit."""
        found = self.text(name, default=default)
        if found and not _NAME.fullmatch(found):
            raise self._wrong(name, "letters, digits, '.', '_' and '-', at most 64")
        return found

    def digest(self, name: str, *, optional: bool = False) -> str:
        """A SHA-256 in hexadecimal; empty where it is optional and missing."""
        found = self.text(name, default="" if optional else None)
        if not (optional and not found) and not _DIGEST.fullmatch(found):
            raise self._wrong(name, "a SHA-256 in 64 lower-case hexadecimal digits")
        return found

    def window(self, name: str) -> tuple[str, str] | None:
        """Two times of day in UTC, "02:00" and "04:00"; None where it is missing."""
        found = self.value.get(name)
        if found is None:
            return None
        if not (
            isinstance(found, list | tuple)
            and len(found) == 2
            and all(isinstance(each, str) and _TIME.fullmatch(each) for each in found)
        ):
            raise self._wrong(name, 'two times of day in UTC such as ["02:00", "04:00"]')
        return found[0], found[1]

    def names(self, name: str, *, most: int = 64) -> tuple[str, ...]:
        """A list of at most `most` texts; empty where it is missing."""
        found = self.value.get(name, ())
        if not (
            isinstance(found, list | tuple)
            and len(found) <= most
            and all(isinstance(each, str) and len(each) <= 256 for each in found)
        ):
            raise self._wrong(name, f"a list of at most {most} texts")
        return tuple(found)

    def object(self, name: str) -> Mapping[str, Any] | None:
        """An object, or None."""
        found = self.value.get(name)
        if found is not None and not isinstance(found, Mapping):
            raise self._wrong(name, "an object")
        return found

    def one_of(self, name: str, known: tuple[str, ...], *, default: str | None = None) -> str:
        """One of the known words."""
        found = self.value.get(name, default)
        if found not in known:
            raise self._wrong(name, f"one of {', '.join(known)}")
        return str(found)

    def _wrong(self, name: str, accepted: str) -> FleetError:
        got = repr(self.value[name])[:80] if name in self.value else "nothing"
        return FleetError(f"{self.what}: '{name}' is {got}; expected {accepted}")
