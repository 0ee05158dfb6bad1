"""The device side: targets, bundles, sessions and training, on numpy and onnxruntime alone."""

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
