"""The emulated device: runs the device side for another processor, and counts its instructions exactly."""

from edge_runtime.emulator.counter import Count
from edge_runtime.emulator.machine import Emulated, count, run
from edge_runtime.emulator.needs import Need, available, missing

__all__ = ["Count", "Emulated", "Need", "available", "count", "missing", "run"]
