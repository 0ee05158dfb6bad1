"""What changed between two versions of a bundle, so that a device need not fetch what it has; see `patch`."""

from edge_runtime.delta.patch import Patch, Tensor, apply, make

__all__ = ["Patch", "Tensor", "apply", "make"]
