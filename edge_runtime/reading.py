"""Frozen dataclasses of parameters, read from a table of JSON or from ``key=value,key=value``; each slip is named."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from edge_runtime.errors import InputError, hint

T = TypeVar("T")


def default(each: Any) -> object:
    """A field's default value; MISSING if it has none."""
    return each.default_factory() if each.default_factory is not MISSING else each.default


def split(text: str) -> dict[str, str]:
    """The pairs of ``key=value,key=value``.

    Raises:
        InputError: a part is no pair.
    """
    found = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals:
            raise InputError(f"'{part.strip()}' is not KEY=VALUE")
        found[key] = value
    return found


def read(table: object, kinds: Mapping[str, type[T]], usual: str) -> T:
    """The dataclass of a table's `kind`, from its other entries.

    Args:
        table: what was read.
        kinds: the dataclasses by their kinds.
        usual: the kind of a table that says none; empty if it has to.

    Raises:
        InputError: a kind or a key is unknown, one is missing, or a value is not of its type or range.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"expected a table, got {type(table).__name__}")
    values = dict(table)
    kind = str(values.pop("kind", usual))
    if kind not in kinds:
        raise InputError(
            f"kind is '{kind}'{hint(kind, kinds)}; there are {', '.join(kinds)}"
            if kind
            else f"kind is missing; there are {', '.join(kinds)}"
        )
    known: dict[str, Any] = {each.name: each for each in fields(kinds[kind])}  # type: ignore[arg-type]
    made = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{kind} has no '{key}'{hint(key, known)}; it has {', '.join(known)}")
        try:
            made[key] = _READ[known[key].type](value)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{key} is {value!r}, which is not of its type") from error
    lacking = [name for name, each in known.items() if default(each) is MISSING and name not in made]
    if lacking:
        raise InputError(f"{kind} needs {' and '.join(lacking)}")
    return kinds[kind](**made)


def _integer(value: object) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)  # type: ignore[call-overload, no-any-return]


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)  # type: ignore[arg-type]


def _flag(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise ValueError
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _several(read: Callable[[object], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: tuple(map(read, value.split("/") if isinstance(value, str) else list(value)))


def _table(read: Callable[[object], Any]) -> Callable[[Any], dict[str, Any]]:
    def table(value: Any) -> dict[str, Any]:
        pairs = (part.split(":") for part in value.split("/")) if isinstance(value, str) else value.items()
        return {str(name): read(each) for name, each in pairs}

    return table


_READ: Mapping[object, Callable[[Any], Any]] = {
    int: _integer,
    float: _number,
    bool: _flag,
    str: _text,
    tuple[int, ...]: _several(_integer),
    tuple[float, ...]: _several(_number),
    Mapping[str, str]: _table(_text),
    Mapping[str, float]: _table(_number),
}
