"""Which channels of a model hang together: every operator's rule applied in the order of the graph."""

import onnx

from compress.pruning import channel_layers, channel_shapes
from compress.pruning.channels import RULES, Channels, unknown

__all__ = ["analyse", "channel_layers", "channel_shapes"]  # importing the two registers their rules


def analyse(model: onnx.ModelProto) -> Channels:
    """Find out which channels of a model hang together; those of its outputs must stay.

    Args:
        model: with known shapes; `compress.pruning.prepare.prepared` brings it to the form that the rules read.

    Raises:
        ModelError: a shape cannot be inferred.
    """
    found = _applied(model, frozenset())
    stuck = [name for name, labels in found.ambiguous.items() if not found.classes.root(labels).any()]
    if not stuck:
        return found
    again = _applied(model, frozenset(stuck))
    return again if again.free() > found.free() else found


def _applied(model: onnx.ModelProto, turned: frozenset[str]) -> Channels:
    channels = Channels.of(model, turned)
    for node in model.graph.node:
        if node.op_type != "Constant":
            RULES.get(node.op_type, unknown)(channels, node)
    for output in model.graph.output:
        channels.classes.lock(channels.get(output.name))
    return channels
