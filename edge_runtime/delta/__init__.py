"""What changed between two versions of a bundle, so that a device need not fetch what it has; see `patch`."""

from edge_runtime.delta.matching import Tensor
from edge_runtime.delta.patch import Patch, apply, make

__all__ = ["Patch", "Tensor", "apply", "make"]
