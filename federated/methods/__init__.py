"""How a device learns in a round, and what of its weights it shares: one file a method; see `method`."""

from federated.methods.method import Averaged, Memory, parse

__all__ = ["Averaged", "Memory", "parse"]
