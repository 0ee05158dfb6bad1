"""Federated learning with Flower: averaging as plain numpy, the apps and the in-process run as thin adapters.

Every name is loaded when it is first used: a device imports what it needs of this package, without Flower, and no more
than that stays in its memory.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Read while flwr is imported, which only modules of this package do: nothing may leave the machine unasked.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

if TYPE_CHECKING:
    from federated.aggregate import federated_average, sample_clients
    from federated.flower.client import client_app
    from federated.flower.grid import run_in_process
    from federated.flower.server import server_app
    from federated.history import History, Round
    from federated.partition import dirichlet, iid
    from federated.run import federate
    from federated.settings import Settings
    from federated.update import Update

__all__ = [
    "History",
    "Round",
    "Settings",
    "Update",
    "client_app",
    "dirichlet",
    "federate",
    "federated_average",
    "iid",
    "run_in_process",
    "sample_clients",
    "server_app",
]

_LAZY = {
    "History": "federated.history",
    "Round": "federated.history",
    "Settings": "federated.settings",
    "Update": "federated.update",
    "client_app": "federated.flower.client",
    "dirichlet": "federated.partition",
    "federate": "federated.run",
    "federated_average": "federated.aggregate",
    "iid": "federated.partition",
    "run_in_process": "federated.flower.grid",
    "sample_clients": "federated.aggregate",
    "server_app": "federated.flower.server",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
