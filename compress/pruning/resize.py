"""Removing classes of channels from a graph: every constant that they run through, and the lengths in its nodes."""

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels
from converter.model import attribute, copy, set_constant
from edge_runtime.tensors import Array


def stays(channels: Channels, name: str, axis: int, removed: Labels) -> Array:
    """Which indices along a constant's axis are kept: bool[length]."""
    return ~np.isin(channels.classes.root(channels.ties[name, axis].labels), removed)


def remove(model: onnx.ModelProto, channels: Channels, removed: Labels) -> onnx.ModelProto:
    """The model without these classes of channels."""
    result = copy(model)
    graph = result.graph
    values: dict[str, Array] = {}
    for name, axis in channels.ties:
        value = values.get(name, channels.known[name])
        values[name] = value.compress(stays(channels, name, axis, removed), axis=axis)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in values:
            node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(values.pop(node.output[0])))
    for name, value in values.items():
        set_constant(graph, name, value)
    for node in graph.node:
        _resize_node(graph, node, channels, removed)
    del graph.value_info[:]
    onnx.checker.check_model(result)
    return result


def _resize_node(graph: onnx.GraphProto, node: onnx.NodeProto, channels: Channels, removed: Labels) -> None:
    """Lengths that stand in a node itself: groups of a depthwise convolution, and shapes given as constants."""
    if node.op_type == "Conv" and attribute(node, "group", 1) > 1 and channels.shape(node.input[1])[1] == 1:
        for found in node.attribute:
            if found.name == "group":
                found.i = channels.kept(node.input[0], removed)[1]
        return
    if node.op_type == "Split":
        _resize_split(graph, node, channels, removed)
        return
    where = {"Reshape": 1, "Expand": 1, "Resize": 3}.get(node.op_type)
    if where is None or len(node.input) <= where or node.input[where] not in channels.known:
        return
    old = channels.known[node.input[where]]
    before, after = channels.shape(node.output[0]), channels.kept(node.output[0], removed)
    lead = len(before) - len(old)
    pairs = zip(old.tolist(), before[lead:], after[lead:], strict=True)
    new = np.array([a if length > 0 and a != b else length for length, b, a in pairs], np.int64)
    if not np.array_equal(old, new):
        node.input[where] = f"{node.output[0]}.lengths"
        set_constant(graph, node.input[where], new)


def _resize_split(graph: onnx.GraphProto, node: onnx.NodeProto, channels: Channels, removed: Labels) -> None:
    axis = int(attribute(node, "axis", 0))
    before, after = (
        [shape(name)[axis] for name in node.output]
        for shape in (channels.shape, lambda name: channels.kept(name, removed))
    )
    if before == after:
        return
    kept = [found for found in node.attribute if found.name != "num_outputs"]  # the parts may differ now
    del node.attribute[:], node.input[1:]
    node.attribute.extend(kept)
    node.input.append(f"{node.output[0]}.lengths")
    set_constant(graph, node.input[1], np.array(after, np.int64))
