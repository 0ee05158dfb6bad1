"""Which devices are meant: "target=rpi4,room=kitchen,name=pi-*", as SQL over the tables and as a test of one device."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from types import ModuleType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from cloud.database import tables as own_tables
from edge_runtime.errors import InputError, hint

if TYPE_CHECKING:
    from cloud.fleet.devices import Device

# What is a column; every other key is a label.
OF_DEVICE = ("name", "site", "target", "status", "online")
OF_TWIN = ("model", "state", "rollout")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEPTH = 8  # groups that name groups


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: the key's value is `value` (`*` stands for anything), or is not."""

    key: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        """As it was written."""
        return f"{self.key}{'!=' if self.negated else '='}{self.value}"

    def holds(self, found: str | None) -> bool:
        """Whether a device whose value is `found` is meant; None where it has none."""
        fits = found is not None and re.fullmatch(_regex(self.value), found) is not None
        return fits != self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that all hold; none means every device.

    Keys are name, site, target, status, online (true or false), model (SHA-256 of the bundle), state, rollout, group,
    and any label. `*` in a value stands for any text, so ``room=*`` is every device that has the label.

    >>> str(Selector.parse("target=rpi4, room!=kitchen"))
    'target=rpi4,room!=kitchen'
    """

    terms: tuple[Term, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """From text; "" and "all" are every device.

        Raises:
            InputError: a part is not KEY=VALUE or KEY!=VALUE.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return cls() if parts in ([], ["all"]) else cls(tuple(_term(part) for part in parts))

    def __str__(self) -> str:
        """As text; `parse` gives it back."""
        return ",".join(map(str, self.terms))

    def expand(self, groups: Mapping[str, str]) -> "Selector":
        """The same with each group=NAME replaced by what the group's own selector says.

        Raises:
            InputError: there is no such group, or groups name each other in a circle.
        """
        selector = self
        for _ in range(_DEPTH):
            if not any(term.key == "group" for term in selector.terms):
                return selector
            selector = Selector(tuple(one for term in selector.terms for one in _expanded(term, groups)))
        raise InputError(f"selector '{self}': groups name each other, more than {_DEPTH} deep")

    def where(self, tables: ModuleType = own_tables) -> sa.ColumnElement[bool]:
        """The conditions as SQL over `devices` joined with `twins`; groups have to be expanded before."""
        return reduce(sa.and_, (_condition(term, tables) for term in self.terms), sa.true())

    def matches(self, device: "Device") -> bool:
        """Whether the device is meant; groups have to be expanded before."""
        return all(term.holds(_value(device, term.key)) for term in self.terms)


def _term(part: str) -> Term:
    key, equals, value = part.partition("=")
    negated = key.endswith("!")
    key, value = key.rstrip("!").strip(), value.strip()
    if not equals or not value or not _KEY.fullmatch(key):
        known = (*OF_DEVICE, *OF_TWIN, "group")
        raise InputError(
            f"selector '{part}'{hint(key, known)}: expected KEY=VALUE or KEY!=VALUE, KEY one of "
            f"{', '.join(known)} or a label"
        )
    if key == "online" and value not in ("true", "false", "*"):
        raise InputError(f"selector '{part}': expected online=true or online=false")
    return Term(key, value, negated)


def _expanded(term: Term, groups: Mapping[str, str]) -> tuple[Term, ...]:
    if term.key != "group":
        return (term,)
    if term.value not in groups:
        raise InputError(f"selector '{term}': there is no such group{hint(term.value, groups)}")
    if term.negated:
        inner = Selector.parse(groups[term.value]).terms
        if len(inner) != 1 or inner[0].key == "group":
            raise InputError(f"selector '{term}': only a group of one plain condition can be negated")
        return (Term(inner[0].key, inner[0].value, not inner[0].negated),)
    return Selector.parse(groups[term.value]).terms


def _regex(value: str) -> str:
    return ".*".join(re.escape(part) for part in value.split("*"))


def _condition(term: Term, tables: ModuleType) -> sa.ColumnElement[bool]:
    if term.key == "group":
        raise InputError(f"selector '{term}': the group has to be expanded first")
    if term.key == "online":
        return (
            tables.devices.c.online.is_((term.value == "true") != term.negated)
            if term.value != "*"
            else sa.true()
        )
    column: sa.ColumnElement[Any]
    if term.key in OF_DEVICE:
        column = tables.devices.c[term.key]
    elif term.key in OF_TWIN:
        column = tables.twins.c[term.key]
    else:
        column = tables.devices.c.labels[term.key].as_string()
    if "*" in term.value:
        fits: sa.ColumnElement[bool] = column.regexp_match(f"^{_regex(term.value)}$")
    else:
        fits = column == term.value
    return sa.or_(column.is_(None), sa.not_(fits)) if term.negated else fits


def _value(device: "Device", key: str) -> str | None:
    if key == "online":
        return "true" if device.online else "false"
    if key in OF_DEVICE or key in OF_TWIN:
        return str(getattr(device, key))
    return device.labels.get(key)
