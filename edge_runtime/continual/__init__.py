"""Learning one thing after another without forgetting the first: methods, a memory, and learning on a stream.

A method says how one step is done, and what is kept when a task ends::

    method = Ewc(strength=100.0)
    learn(trainer, first, method, epochs=3)
    method.consolidate(trainer, first)
    learn(trainer, second, method, epochs=3)
"""

from edge_runtime.continual.anchored import Ewc, SynapticIntelligence, fisher
from edge_runtime.continual.distilled import LearningWithoutForgetting
from edge_runtime.continual.learning import Method, Plain, learn
from edge_runtime.continual.memory import Memory, Replay
from edge_runtime.continual.projected import AveragedGem, Gem, project
from edge_runtime.continual.stream import Prequential, online

__all__ = [
    "AveragedGem",
    "Ewc",
    "Gem",
    "LearningWithoutForgetting",
    "Memory",
    "Method",
    "Plain",
    "Prequential",
    "Replay",
    "SynapticIntelligence",
    "fisher",
    "learn",
    "online",
    "project",
]
