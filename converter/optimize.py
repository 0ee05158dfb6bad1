"""`optimize`: constant folding, vertical fusion and dead-code removal; the same function, computed with less."""

import logging
from functools import partial

import onnx
import onnx_ir
import onnxscript.optimizer
from onnx_ir.passes.common import (
    IdentityEliminationPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
)
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules import common

from converter import fusion, verify
from converter.model import Model, copy, load, prune_unused, strip_metadata
from edge_runtime.errors import ModelError

_SHAPE_RULES = [
    common.collapse_slice_rule,
    common.materialize_reshape_shape_rule,
    common.no_op_cast_rule,
    common.no_op_expand_rule,
    common.no_op_transpose_rule,
    common.reshape_reshape_rule,
    common.squeeze_reshape_1d_rule,
    common.transpose_transpose_rule,
    common.unsqueeze_unsqueeze_rule,
]
RULES = (fusion.fuse_batch_normalization, fusion.pool_for_mean)


def optimize(model: Model, *, trainable: bool = False, tolerance: float = 1e-5) -> onnx.ModelProto:
    """Fold constants, fuse batch normalisation into the layer before, and remove what no output needs.

    Args:
        model: a model or the path of one; it is not changed.
        trainable: keep what training needs: batch normalisation, and every weight under its own name.
        tolerance: largest difference of the outputs that is accepted, relative to outputs larger than 1.

    Returns:
        The optimised model.

    Raises:
        InputError: there is nothing at the path.
        ModelError: it is not a valid model, or the result differs from it.
    """
    source = load(model)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    optimized = _fold(source, trainable)
    optimized = onnx.shape_inference.infer_shapes(optimized, data_prop=True)
    for rule in () if trainable else RULES:
        rule(optimized.graph)
    prune_unused(optimized.graph)
    strip_metadata(optimized)
    reference, inputs = verify.runner(source)
    difference = verify.compare(reference, verify.runner(optimized)[0], inputs)
    if not difference.within(tolerance):
        raise ModelError(
            f"optimisation changed the outputs by {difference.max_abs:.3g}; {tolerance:g} is accepted"
        )
    return optimized


def _fold(source: onnx.ModelProto, trainable: bool) -> onnx.ModelProto:
    if not trainable:
        folded: onnx.ModelProto = onnxscript.optimizer.optimize(copy(source))
        return folded
    # The whole optimiser would merge weights that are equal, as two fresh normalisations are, which ties them,
    # and drop a bias that is still zero.
    model = onnx_ir.serde.deserialize_model(source)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    weights = frozenset(tensor.name for tensor in source.graph.initializer if tensor.data_type in floats)
    onnxscript.optimizer.fold_constants(model, should_fold=partial(_unless, weights))
    model = rewrite(model, _SHAPE_RULES)
    _without_phantom_biases(model, frozenset(tensor.name for tensor in source.graph.initializer))
    for tidy in (IdentityEliminationPass(), RemoveUnusedNodesPass(), LiftConstantsToInitializersPass()):
        tidy(model)
    return onnx_ir.serde.serialize_model(model)


def _unless(weights: frozenset[str], node: onnx_ir.Node) -> bool | None:
    """Do not fold what is calculated from weights: a transposed weight would be a constant of another name."""
    if node.op_type in ("Shape", "Size", "CastLike"):  # of the shape or the type alone
        return None
    return False if any(value is not None and value.name in weights for value in node.inputs) else None


def _without_phantom_biases(model: onnx_ir.Model, given: frozenset[str]) -> None:
    """Remove the zero biases that PyTorch's exporter writes for convolutions without one: they would be trained."""
    for node in model.graph:
        bias = node.inputs[2] if node.op_type == "Conv" and len(node.inputs) > 2 else None
        if bias is None or bias.name in given or bias.const_value is None:
            continue
        if not bias.const_value.numpy().any():
            node.resize_inputs(2)
