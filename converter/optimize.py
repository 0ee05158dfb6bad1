"""`optimize`: constant folding, vertical fusion and dead-code removal; the same function, computed with less."""

import logging

import onnx
import onnxscript.optimizer

from converter import fusion, verify
from converter.model import Model, copy, load, prune_unused, strip_metadata
from edge_runtime.errors import ModelError

RULES = (fusion.fuse_batch_normalization, fusion.pool_for_mean)


def optimize(model: Model, *, tolerance: float = 1e-5) -> onnx.ModelProto:
    """Fold constants, fuse batch normalisation into the layer before, and remove what no output needs.

    Args:
        model: a model or the path of one; it is not changed.
        tolerance: largest difference of the outputs that is accepted, relative to outputs larger than 1.

    Returns:
        The optimised model.

    Raises:
        InputError: there is nothing at the path.
        ModelError: it is not a valid model, or the result differs from it.
    """
    source = load(model)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    optimized = onnxscript.optimizer.optimize(copy(source))
    optimized = onnx.shape_inference.infer_shapes(optimized, data_prop=True)
    for rule in RULES:
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
