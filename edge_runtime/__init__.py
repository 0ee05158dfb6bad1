"""The device side: targets, bundles, sessions and training, on numpy and onnxruntime alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle, Manifest, Preprocess
    from edge_runtime.data import Samples
    from edge_runtime.errors import BackendError, FleetError, LittoralError, ModelError, TransferError
    from edge_runtime.session import Session
    from edge_runtime.target import Target
    from edge_runtime.trainer import Trainer

__all__ = [
    "BackendError",
    "Bundle",
    "FleetError",
    "LittoralError",
    "Manifest",
    "ModelError",
    "Preprocess",
    "Samples",
    "Session",
    "Target",
    "Trainer",
    "TransferError",
]

_HOMES = {
    "bundle": ("Bundle", "Manifest", "Preprocess"),
    "data": ("Samples",),
    "errors": ("BackendError", "FleetError", "LittoralError", "ModelError", "TransferError"),
    "session": ("Session",),
    "target": ("Target",),
    "trainer": ("Trainer",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a device that only runs models loads nothing of what trains them."""
    if name not in _MODULES:
        raise AttributeError(f"module 'edge_runtime' has no attribute '{name}'")
    found = getattr(import_module(f"edge_runtime.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
