"""The one form of a model that the rest works on.

Opset 21 or newer, no local functions, constants as initializers, a batch that may vary, one input and one
output.
"""

import itertools
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, version_converter

from converter.autodiff.shapes import infer_shapes
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

OPSET = 21
IR = 10  # of opset 21
BATCH = "batch"


def canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` in canonical form.

    Args:
        model: an inference graph with one data input, whose first axis is the batch, and one output.

    Raises:
        ModelError: it has several inputs or outputs, cannot be brought to opset 21, or its batch length is
            fixed in a way that cannot be freed.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made = modern(made)
    _only_data_inputs(made)
    lift_constants(made)
    for tensor in made.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE) and not tensor.HasField(
            "raw_data"
        ):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    _free_batch(made)
    return made


def modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without local functions, and of opset 21 or of the newer one that its operators need.

    Raises:
        ModelError: it cannot be converted.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version < OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # RuntimeError, ValueError and its own
            first = str(error).strip().splitlines()[0]
            raise ModelError(
                f"the model is of opset {version} and cannot be converted to {OPSET}: {first}"
            ) from error
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = needed_opset(model.graph.node, entry.version)
    model.ir_version = max(helper.find_min_ir_version_for(model.opset_import), IR)
    return model


def needed_opset(nodes: Iterable[onnx.NodeProto], opset: int) -> int:
    """The lowest version, from 21 on, in which these nodes of `opset` are the same: more runtimes load it."""
    needed = OPSET
    for node in nodes:
        if node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type):
            needed = max(needed, onnx.defs.get_schema(node.op_type, opset, "").since_version)
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs]:
                needed = max(needed, needed_opset(graph.node, opset))
    return needed


def _only_data_inputs(model: onnx.ModelProto) -> None:
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    data = [
        value for value in graph.input if value.name not in constants
    ]  # IR 3 lists the weights as inputs too
    for what, values in (("input", data), ("output", graph.output)):
        if len(values) != 1:
            names = ", ".join(value.name for value in values) or "none"
            raise ModelError(f"training needs a model with one data {what}; this one has {names}")
    if not data[0].type.tensor_type.shape.dim:
        raise ModelError(f"input '{data[0].name}': training needs its shape, with the batch as first axis")
    kept = data[0]
    del graph.input[:]
    graph.input.append(kept)


def lift_constants(model: onnx.ModelProto) -> None:
    """Turn the Constant nodes into initializers, in place; strings and sparse tensors stay as they are."""
    graph = model.graph
    nodes = []
    for node in graph.node:
        content = content_of(node) if node.op_type == "Constant" else None
        if content is None:
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
        else:
            graph.initializer.append(numpy_helper.from_array(content, node.output[0]))
    del graph.node[:]
    graph.node.extend(nodes)


def content_of(node: onnx.NodeProto) -> Array | None:
    """What a Constant node holds; None for strings and sparse tensors."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        array: Array = numpy_helper.to_array(value)
        return array
    kinds = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    return np.array(value, kinds[attribute.name]) if attribute.name in kinds else None


def _free_batch(model: onnx.ModelProto) -> None:
    """Let the batch vary: name the input's first length, and undo Reshapes that repeat a fixed one."""
    graph = model.graph
    first = graph.input[0].type.tensor_type.shape.dim[0]
    fixed = first.dim_value
    first.dim_param = BATCH
    if fixed:
        _unfix_reshapes(graph, fixed)
    del graph.value_info[:]
    shapes = infer_shapes(model)
    out = graph.output[0]
    shape = shapes.get(out.name, ())
    if not shape or shape[0] != BATCH:
        raise ModelError(
            f"{_culprit(graph, shapes)} fixes the batch length; export the model with a dynamic batch axis"
        )
    kind = out.type.tensor_type
    kind.ClearField("shape")
    for dim in shape:
        added = kind.shape.dim.add()
        if isinstance(dim, int):
            added.dim_value = dim
        else:
            added.dim_param = dim


def _unfix_reshapes(graph: onnx.GraphProto, fixed: int) -> None:
    """Reshape targets that begin with the fixed batch length: -1 if that is free, else 0 for "as it was"."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    numbers = itertools.count()
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[node.input[1]]).copy()
        if target.size == 0 or target[0] != fixed:
            continue
        target[0] = 0 if -1 in target else -1
        name = f"{node.input[1]}.free{next(numbers)}"
        graph.initializer.append(numpy_helper.from_array(target, name))
        node.input[1] = name


def _culprit(graph: onnx.GraphProto, shapes: dict[str, tuple[int | str, ...]]) -> str:
    def varies(name: str) -> bool:
        return any(BATCH in str(dim) for dim in shapes.get(name, ()))

    for node in graph.node:
        if any(map(varies, node.input)) and not any(map(varies, node.output)):
            return f"node '{node.name or node.output[0]}' ({node.op_type})"
    return f"output '{graph.output[0].name}'"
