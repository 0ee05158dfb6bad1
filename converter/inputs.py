"""Models whose inputs are made to be what is known of them: fixed lengths, fixed values, known ranks."""

from collections.abc import Mapping

import numpy as np
import onnx

from converter.model import copy, set_constant
from edge_runtime.data import Samples
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


def with_lengths(model: onnx.ModelProto, feed: Mapping[str, Array]) -> onnx.ModelProto:
    """A copy whose inputs have the shapes of `feed`, so that it can be measured without data."""
    fixed = copy(model)
    for value in fixed.graph.input:
        if value.name in feed:
            del value.type.tensor_type.shape.dim[:]
            for length in feed[value.name].shape:
                value.type.tensor_type.shape.dim.add(dim_value=length)
    return fixed


def with_fixed_input(model: onnx.ModelProto, name: str, number: str) -> onnx.ModelProto:
    """A copy in which one input is a constant, so that what it decides can be folded: a sample rate, a branch of an If.

    Args:
        model: the model.
        name: of the input; lengths of it that may vary become 1.
        number: its value, or several separated by commas, as text.

    Raises:
        ModelError: there is no such input, or the numbers do not fit it.
    """
    fixed = copy(model)
    value = next((value for value in fixed.graph.input if value.name == name), None)
    if value is None:
        names = ", ".join(value.name for value in fixed.graph.input)
        raise ModelError(f"the model has no input '{name}'; it has {names}")
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
    try:
        array = np.broadcast_to(
            np.array([float(part) for part in number.split(",")]).astype(kind), shape or (1,)
        )
    except ValueError as error:
        raise ModelError(f"input '{name}' cannot be fixed to '{number}': expected {kind}{shape}") from error
    fixed.graph.input.remove(value)
    set_constant(fixed.graph, name, array.reshape(shape))
    return fixed


def with_known_ranks(model: onnx.ModelProto, samples: Samples | None) -> onnx.ModelProto:
    """The model, or where an input declares no shape, a copy in which it has the axes of the data, all lengths free.

    Raises:
        ModelError: there is no data for it.
    """
    shapeless = [value.name for value in model.graph.input if not value.type.tensor_type.HasField("shape")]
    weights = {tensor.name for tensor in model.graph.initializer}
    ranked = copy(model) if set(shapeless) - weights else model
    for value in ranked.graph.input:
        if value.name not in shapeless or value.name in weights:
            continue
        x = None if samples is None else samples.x
        if x is None or (x.dtype.names is not None and value.name not in x.dtype.names):
            raise ModelError(f"input '{value.name}' declares no shape, and there is no data to take it from")
        for axis in range((x if x.dtype.names is None else x[value.name]).ndim):
            value.type.tensor_type.shape.dim.add(dim_param=f"{value.name}.{axis}")
    return ranked
