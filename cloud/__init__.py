"""The top floor: model repository, fleet, rollouts, gateway and console.

Every name is loaded when it is first used: a gateway needs no web framework, and a command only what it works with.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud.audit import Audit
    from cloud.database import Database
    from cloud.fleet import Fleet
    from cloud.gateway import Gateway
    from cloud.home import Home
    from cloud.repository import Repository
    from cloud.rollouts import Rollouts, Spec

__all__ = ["Audit", "Database", "Fleet", "Gateway", "Home", "Repository", "Rollouts", "Spec"]

_HOMES = {
    "audit": ("Audit",),
    "database": ("Database",),
    "fleet": ("Fleet",),
    "gateway": ("Gateway",),
    "home": ("Home",),
    "repository": ("Repository",),
    "rollouts": ("Rollouts", "Spec"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module 'cloud' has no attribute '{name}'")
    found = getattr(import_module(f"cloud.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
