"""Applies rewrites to a graph until none finds anything more.

A rewrite is a function of a node: it looks whether its pattern ends there, changes the graph if so, and says whether it
did.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from converter.fusion import values
from converter.fusion.activation import fuse_activation
from converter.fusion.affine import fuse_before, fuse_behind
from converter.fusion.attention import fuse_attention, keep_heads_together
from converter.fusion.branches import merge_concatenated, merge_with_split
from converter.fusion.dense import fuse_bias, merge_layers
from converter.fusion.normalization import fuse_normalization, fuse_scale
from converter.fusion.pooling import pool_for_mean, pool_for_pad
from converter.fusion.transposes import cancel_transposes, join_transposes

Rewrite = Callable[[ir.Node], bool]

RULES: tuple[Rewrite, ...] = (
    fuse_behind,
    fuse_activation,
    fuse_normalization,
    fuse_scale,
    fuse_bias,
    fuse_before,
    merge_layers,
    merge_concatenated,
    pool_for_mean,
    pool_for_pad,
    cancel_transposes,
    join_transposes,
)
"""What every engine and NPU compiler runs, in the order in which they are tried at each node."""
ATTENTION: tuple[Rewrite, ...] = (fuse_attention, keep_heads_together)
"""Need opset 23 and an engine that has the operator Attention."""
SPLIT: tuple[Rewrite, ...] = (merge_with_split,)
"""Gives fewer operators, not always less time."""
_MOST_PASSES = 12


def fuse(model: ir.Model, rules: Sequence[Rewrite] = RULES) -> Mapping[str, int]:
    """Apply `rules` in place, also in graphs inside the graph, until nothing changes.

    Returns:
        How often each rule found something, by its name.
    """
    found: Counter[str] = Counter()
    for inner in model.graph.subgraphs():  # they do not say which operators they use
        inner.opset_imports.update(model.graph.opset_imports)
    for _ in range(_MOST_PASSES):
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
        before = found.total()
        for node in values.nodes(model):
            for rule in rules:
                if node.graph is not None and rule(node):
                    found[rule.__name__] += 1
        if found.total() == before:
            break
    RemoveUnusedNodesPass()(model)
    return found
