"""Shapes with lengths that vary, found by inferring fixed shapes twice.

ONNX's own symbolic inference loses the batch at the first computed Reshape. With numbers in place of the
names it loses nothing, so it runs with two sets of primes: a length that is equal in both runs is fixed, one
that follows a prime (or a multiple of it) varies with that name.
"""

from collections.abc import Mapping, Sequence

import onnx
from onnx import shape_inference

from converter.autodiff.graph import Inferred, Shape
from edge_runtime.tensors import Dim

_FIRST = (61, 83, 101, 131, 151, 173)
_SECOND = (67, 89, 103, 137, 157, 179)
_UNINFERRED = (
    "GroupNormalization",
    "MeanVarianceNormalization",
)  # ONNX knows no shape for these: their input's


def infer_shapes(model: onnx.ModelProto) -> Inferred:
    """The shape of every value whose rank is known: lengths, or names such as "batch", "4*batch" and "?7/8"."""
    names = _varying(model)
    first, types = _with_lengths(model, dict(zip(names, _FIRST, strict=False)))
    second, _ = _with_lengths(model, dict(zip(names, _SECOND, strict=False)))
    shapes = {
        value: shape_of(shape, second[value], names)
        for value, shape in first.items()
        if len(shape) == len(second.get(value, ())) and (shape or value in second)
    }
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    return Inferred(shapes, types, names, opset)


def shape_of(first: Sequence[int], second: Sequence[int], names: Sequence[str]) -> Shape:
    """The shape that is `first` with the first set of primes and `second` with the second."""
    return tuple(_dim(a, b, names) for a, b in zip(first, second, strict=True))


def both(shape: Shape, names: Sequence[str]) -> tuple[list[int], list[int]]:
    """A shape with either set of primes for the names; a length that is not known is -1."""
    pairs = [_pair(dim, names) for dim in shape]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _pair(dim: Dim, names: Sequence[str]) -> tuple[int, int]:
    if isinstance(dim, int):
        return dim, dim
    if dim.startswith("?"):
        first, second = dim[1:].split("/")
        return int(first), int(second)
    factor, _, name = dim.rpartition("*")
    if name not in names:
        return -1, -1
    index = names.index(name)
    return int(factor or 1) * _FIRST[index], int(factor or 1) * _SECOND[index]


def _varying(model: onnx.ModelProto) -> list[str]:
    found: dict[str, None] = {}
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                found[dim.dim_param] = None
    return list(found)[: len(_FIRST)]


def _with_lengths(
    model: onnx.ModelProto, lengths: Mapping[str, int]
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Shapes with numbers for the names, a length that stays unknown being -1; and element types."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in lengths:
                dim.dim_value = lengths[dim.dim_param]
    for value in fixed.graph.output:  # what it declares may contradict the numbers
        value.type.tensor_type.ClearField("shape")
    for node in fixed.graph.node:
        if node.op_type in _UNINFERRED:
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    graph = shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        kind = value.type.tensor_type
        if kind.elem_type:
            types[value.name] = kind.elem_type
        if kind.HasField("shape"):
            shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return shapes, types


def _dim(a: int, b: int, names: Sequence[str]) -> Dim:
    if a == b and a >= 0:
        return a
    for name, p, q in zip(names, _FIRST, _SECOND, strict=False):
        if a > 0 and a % p == 0 and b % q == 0 and a // p == b // q:
            return name if a == p else f"{a // p}*{name}"
    return f"?{a}/{b}"
