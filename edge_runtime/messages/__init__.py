"""What device and cloud say to each other: the topics, and the twin's two halves with what goes beside them."""

from edge_runtime.messages.telemetry import Beat, Stats
from edge_runtime.messages.twin import STATES, Command, Desired, Release, Reported, Result, Shadow

__all__ = ["STATES", "Beat", "Command", "Desired", "Release", "Reported", "Result", "Shadow", "Stats"]
