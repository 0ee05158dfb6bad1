"""A technique and its parameters as one short text: ``name:key=value,key=value``, as settings and flags have it.

What a name builds is a frozen dataclass; its fields are the keys, and the types of their defaults say how a value is
read. So ``multi-krum:f=0.2`` is ``MultiKrum(f=0.2)``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from edge_runtime.errors import InputError, hint

T = TypeVar("T")


def split(text: str, known: Iterable[str], what: str) -> tuple[str, dict[str, str]]:
    """The name and the keys with their values, as text.

    >>> split("krum:f=3,m=2", ["krum"], "defence")
    ('krum', {'f': '3', 'm': '2'})

    Raises:
        InputError: the name is not known, or a parameter has no value.
    """
    name, _, rest = text.partition(":")
    known = list(known)
    if name not in known:
        raise InputError(f"{what} '{name}' is unknown{hint(name, known)}; there are {', '.join(known)}")
    pairs = [part.partition("=") for part in rest.split(",") if part.strip()]
    for key, equals, value in pairs:
        if not equals or not value.strip():
            raise InputError(f"{what} '{text}': '{key}' has no value; write {name}:{key.strip()}=VALUE")
    return name, {key.strip(): value.strip() for key, _, value in pairs}


def build(text: str, table: Mapping[str, Callable[..., T]], what: str) -> T:
    """The value that `text` describes: one of the dataclasses of `table` by its name.

    Raises:
        InputError: a name or key is not known, or a value is not what the key takes.
    """
    name, given = split(text, table, what)
    made = table[name]
    kinds = {each.name: type(each.default) for each in fields(made) if each.default is not MISSING}  # type: ignore[arg-type]
    for key in given:
        if key not in kinds:
            takes = f"it takes {', '.join(kinds)}" if kinds else "it takes none"
            raise InputError(f"{what} '{name}' has no parameter '{key}'{hint(key, kinds)}; {takes}")
    return made(**{key: read(value, kinds[key], f"{what} '{name}': {key}") for key, value in given.items()})


def read(value: str, kind: type, where: str) -> Any:
    """The value as `kind`: bool, int, float or str.

    Raises:
        InputError: it is none.
    """
    if kind is bool:
        if value not in ("yes", "no"):
            raise InputError(f"{where}={value}: expected yes or no")
        return value == "yes"
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(
            f"{where}={value}: expected {'a whole number' if kind is int else 'a number'}"
        ) from error
