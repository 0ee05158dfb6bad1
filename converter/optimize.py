"""`optimize`: constant folding, fusion and dead-code removal; the same function, computed with less."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnx
import onnx_ir
import onnxscript.optimizer
from onnx import version_converter
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    DeduplicateInitializersPass,
    IdentityEliminationPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    LiftSubgraphInitializersToMainGraphPass,
    NameFixPass,
    OutputFixPass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
)
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules import common

from converter import verify
from converter.fusion.attention import SINCE
from converter.fusion.fuse import ATTENTION, RULES, SPLIT, Rewrite, fuse
from converter.model import Model, load, prune_unused, strip_metadata
from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.errors import ModelError

OPSET = 21
"""ONNX 1.16: the first with blocked and 4-bit quantisation; read by every onnxruntime since 1.18."""
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
# All of onnxscript's but those that take x + 1e-12 for x; `fusion.activation` removes what does exactly nothing.
_TIDY_RULES = [
    *_SHAPE_RULES,
    common.cast_cast_rule,
    common.cast_constant_of_shape_rule,
    common.cast_constant_of_shape_without_value_rule,
    common.collapse_slice2_rule,
    common.dropout_inference_rule,
    common.dropout_zero_rule,
    common.flatten_to_reshape_rule,
    common.max_max_rule,
    common.max_min_rule,
    common.min_max_rule,
    common.min_min_rule,
    common.no_op_dynamic_scatter_nd_rule,
    common.no_op_static_scatter_nd_rule,
    common.one_reshape_matmul_reshape_rule,
    common.remove_optional_bias_from_conv_rule,
    common.remove_optional_bias_from_conv_transpose_rule,
    common.remove_optional_bias_from_gemm_rule,
    common.slice_split_rule,
    common.successive_clip_relu_rule,
    common.successive_clip_rule,
    common.successive_relu_clip_rule,
    common.successive_relu_rule,
    common.two_reshapes_matmul_reshape_rule,
]


def optimize(
    model: Model,
    *,
    trainable: bool = False,
    tolerance: float = 1e-5,
    samples: Samples | None = None,
    attention: bool = False,
    split: bool = False,
) -> onnx.ModelProto:
    """Fold constants, fuse operators (`converter.fusion`), and remove what no output needs.

    Args:
        model: a model or the path of one; it is not changed. A model of an opset before 21 is raised to it.
        trainable: keep what training needs: batch normalisation, and every weight under its own name.
        tolerance: largest difference of the outputs that is accepted, relative to outputs larger than 1; or four times
            what rounding alone does to the model's outputs (`verify.rounding`), if that is more.
        samples: data to compare the result with the model on; None takes random inputs, which a model whose free
            lengths depend on each other may refuse.
        attention: write attention as the operator of opset 23, and RMS normalisation; onnxruntime from 1.23 has them,
            NPU compilers mostly not, and heads can no longer be pruned.
        split: merge parallel layers also where a Split must follow: fewer operators, not always less time.

    Returns:
        The optimised model.

    Raises:
        InputError: there is nothing at the path, or the samples do not fit.
        ModelError: it is not a valid model, does not run on the inputs, or the result differs from it.
    """
    source = load(model)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    original = verify.Original(source, samples, tolerance)
    if trainable:
        base = _tidied(_fold_for_training(source))
    else:
        raised = _raised(source)
        base = _tidied(_fold(raised if raised is source or original.equals(raised) else source))
    found = original.difference(base)
    if not original.accepts(found):
        raise ModelError(
            f"optimisation changed the outputs by {found.max_abs:.3g}; {tolerance:g} is accepted"
        )
    if trainable:
        return base
    fused = _fused(base, RULES + (SPLIT if split else ()), original.equals)
    return _with_attention(fused, original.equals) if attention else fused


def _raised(source: onnx.ModelProto, opset: int = OPSET) -> onnx.ModelProto:
    """The model in that opset, where onnx can raise it there; else the model itself."""
    version = next((entry.version for entry in source.opset_import if entry.domain in ("", "ai.onnx")), opset)
    if version >= opset:
        return source
    try:
        raised: onnx.ModelProto = version_converter.convert_version(source, opset)
        onnx.checker.check_model(raised)
    except Exception as error:  # noqa: BLE001  the converter raises what its adapters raise
        say(f"stays at opset {version}: {str(error).strip().splitlines()[0]}")
        return source
    return raised


def _fold(source: onnx.ModelProto) -> onnx.ModelProto:
    model = onnx_ir.serde.deserialize_model(source)
    RemoveInitializersFromInputsPass()(model)  # as exporters before ONNX 1.4 declared weights
    InlinePass()(model)
    for _ in range(2):
        onnxscript.optimizer.fold_constants(model, should_fold=_worth_folding)
        model = rewrite(model, _TIDY_RULES)
    for tidy in (
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        LiftSubgraphInitializersToMainGraphPass(),
        DeduplicateInitializersPass(),
        CommonSubexpressionEliminationPass(),
        OutputFixPass(),
        NameFixPass(),
    ):
        tidy(model)
    return onnx_ir.serde.serialize_model(model)


_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Concat"})
_COMBINES = frozenset({"Add", "Sub", "Mul", "Div"})


def _worth_folding(node: onnx_ir.Node) -> bool | None:
    """Fold what moves or combines weights, whatever their size, but not what makes them larger (as Cast from int8)."""
    known = [value for value in node.inputs if value is not None and value.const_value is not None]
    if len(known) < len(node.inputs) or any(len(v.uses()) > 1 and v.const_value.nbytes > 8192 for v in known):  # type: ignore[union-attr]
        return None
    if node.op_type in _COMBINES:
        shapes = [value.const_value.shape.numpy() for value in known]  # type: ignore[union-attr]
        return True if np.broadcast_shapes(*shapes) in shapes else None
    return True if node.op_type in _MOVES else None


def _fused(
    base: onnx.ModelProto, rules: Sequence[Rewrite], equal: Callable[[onnx.ModelProto], bool]
) -> onnx.ModelProto:
    """With every rule applied, or, where that changes the outputs too much, those that do not, one after another."""
    result = _apply(base, rules)
    if equal(result):
        return result
    result = base
    for rule in rules:
        candidate = _apply(result, [rule])
        if equal(candidate):
            result = candidate
        else:
            say(f"{rule.__name__} is left out: it changes the outputs by too much")
    return result


def _with_attention(model: onnx.ModelProto, equal: Callable[[onnx.ModelProto], bool]) -> onnx.ModelProto:
    """The model with the operators of opset 23 where it has a use for them and the outputs stay; else the model."""
    newer = {"Attention", "RMSNormalization"}
    result = _apply(_raised(model, SINCE), RULES + ATTENTION)
    gained = newer & (
        {node.op_type for node in result.graph.node} - {node.op_type for node in model.graph.node}
    )
    return result if gained and equal(result) else model


def _apply(model: onnx.ModelProto, rules: Sequence[Rewrite]) -> onnx.ModelProto:
    graph = onnx_ir.serde.deserialize_model(model)
    fuse(graph, rules)
    NameFixPass()(graph)
    return _tidied(onnx_ir.serde.serialize_model(graph))


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    prune_unused(model.graph)
    return strip_metadata(model)


def _fold_for_training(source: onnx.ModelProto) -> onnx.ModelProto:
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
